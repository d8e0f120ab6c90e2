"""What `fleet profile` takes besides keeping a variant busy: on a lab device, with a very small model.

Staging, proving, the start of Python and of the runtime, and clearing away, over real SSH; the device's
processor is this machine's. What is asked of the line is two files of some hundred bytes and 200 kB
of labels the first time, and nothing where the release is there.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from orchestrator.app import Fleet
from orchestrator.profiling import prepared, profile
from orchestrator.selftest.scratch import MODEL, scratch

ROUNDS, SECONDS, TARGET_S = 5, 1.0, 3.0


def main() -> None:
    """Measure the same variant again and again; print a table and one line."""
    with tempfile.TemporaryDirectory(prefix="profile-time-") as folder:
        site = Path(folder) / "site"
        (site / "inventory/demo").mkdir(parents=True)
        (site / "fleet.toml").write_text("")
        groups = {name: {} for name in ("pi-group", "canary")}
        (site / "inventory/demo/devices.yaml").write_text(json.dumps({"groups": groups}))
        fleet = Fleet(site)
        fleet.lab.up(1)
        try:
            (device,) = fleet.select("all")
            with scratch(fleet, device, Path(folder) / "scratch") as made:
                made.offer("1.0.0")
                inner = Fleet(made.folder)
                new = [round_of(inner, device.name) for _ in range(ROUNDS)]
                inner.execute(inner.plan(device.name, inner.site.playbook("selftest")))
                there = [round_of(inner, device.name) for _ in range(ROUNDS)]
        finally:
            fleet.lab.down()
    print("| one variant | wall s | of it not measuring, s | bytes sent |\n|---|---|---|---|")
    for name, rounds in (("not on the device", new), ("on the device", there)):
        wall, sent = (statistics.median(each) for each in zip(*rounds, strict=True))
        print(f"| {name} | {wall:.2f} | {wall - SECONDS:.2f} | {sent:.0f} |")
    besides = statistics.median(wall for wall, _ in new) - SECONDS
    print(json.dumps({"besides_s": round(besides, 2), "target_s": TARGET_S}))


def round_of(fleet: Fleet, device: str) -> tuple[float, int]:
    """Seconds and bytes of one profile of the only variant, asking the device included."""
    began = time.perf_counter()
    with fleet:
        (tried,) = profile(fleet, prepared(fleet, MODEL, device), {}, seconds=SECONDS)
    if tried.measurement is None:
        sys.exit(f"nothing was measured: {tried.outcome.because}")
    return time.perf_counter() - began, tried.outcome.bytes_sent


if __name__ == "__main__":
    main()

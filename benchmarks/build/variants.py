"""`fleet build` against calling the tools directly, one process a variant, one after the other.

Both sides make the same six variants of the demo's model in one run, in turn. fleet also measures
accuracy and latency and makes golden cases; the tools only convert. Prints medians, ratios and one
JSON line. `python benchmarks/build/variants.py [ROUNDS]`, after `python demo/train.py inventory/demo`.
"""

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "inventory" / "demo"
VARIANTS = (
    "tflite-float32",
    "tflite-float16",
    "tflite-int8-dynamic",
    "tflite-int8",
    "onnx-float32",
    "onnx-int8",
)
DIRECT = Path(__file__).with_name("direct.py")
FLEET = [sys.executable, "-m", "orchestrator.cli", "build", "fashion"]


def main() -> None:
    """Run every case `ROUNDS` times and print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    rows: dict[str, list[float]] = {}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name, value in once(Path(folder)).items():
                rows.setdefault(name, []).append(value)
    medians = {name: statistics.median(values) for name, values in rows.items()}
    targets = judged(medians)
    for name, value in medians.items():
        print(f"{name:<44}{value:10.2f}")
    for name, (value, most) in targets.items():
        print(
            f"{name:<44}{value:10.2f}   target ≤ {most:g}  {'met' if value <= most else 'MISSED'}"
        )
    print(json.dumps({"rounds": rounds, "medians": medians, "cores": os.cpu_count()}))


def once(folder: Path) -> dict[str, float]:
    """One round: seconds and MiB of every case."""
    found: dict[str, float] = {}
    costs = {}
    peaks = {}
    for variant in VARIANTS:
        costs[variant], peaks[variant] = timed([sys.executable, str(DIRECT), variant, str(folder)])
    found["tools directly, serially (s)"] = sum(costs.values())
    found["tools directly, peak memory (MiB)"] = max(peaks.values())
    site = copied(folder / "site")
    found["fleet build, cold (s)"], peak = timed([*FLEET, "--site", str(site)])
    found["fleet build, peak memory of a process (MiB)"] = peak
    found["fleet build again (s)"], _ = timed([*FLEET, "--site", str(site)])
    other = copied(folder / "other")
    most = [option for variant in VARIANTS[:-1] for option in ("--variant", variant)]
    timed([*FLEET, *most, "--site", str(other)])
    found["one variant added (s)"], _ = timed([*FLEET, "--site", str(other)])
    found["that variant by its tool (s)"] = costs[VARIANTS[-1]]
    return found


def judged(medians: dict[str, float]) -> dict[str, tuple[float, float]]:
    """The figures that have a target, each with it."""
    direct = medians["tools directly, serially (s)"]
    added = medians["one variant added (s)"] - medians["that variant by its tool (s)"]
    memory = (
        medians["fleet build, peak memory of a process (MiB)"]
        - medians["tools directly, peak memory (MiB)"]
    )
    return {
        "cold ÷ tools": (medians["fleet build, cold (s)"] / direct, 0.7),
        "again (s)": (medians["fleet build again (s)"], 2.0),
        "one variant added, beyond its tool (s)": (added, 2.0),
        "memory beyond the converter's (MiB)": (memory, 150.0),
    }


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds and the peak memory (MiB) of the largest process below a command."""
    read, write = os.pipe()
    began = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        said = "" if done.returncode == 0 else done.stdout[-500:] + done.stderr[-500:]
        os.write(write, json.dumps([peak, said]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        peak, said = json.loads(answer.read())
    os.waitpid(pid, 0)
    if said:
        sys.exit(f"{' '.join(command)}\n{said}")
    return time.perf_counter() - began, peak


def copied(site: Path) -> Path:
    """A fresh site with the demo's model and data, and nothing built."""
    (site / "inventory").mkdir(parents=True)
    ignore = shutil.ignore_patterns("fleet.lock", "devices.lab.yaml")
    shutil.copytree(SITE, site / "inventory" / "demo", ignore=ignore)
    shutil.copy(ROOT / "fleet.toml", site)
    return site


if __name__ == "__main__":
    main()

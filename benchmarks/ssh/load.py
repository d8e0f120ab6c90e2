"""Whole deployments to a thousand addresses, one real sshd at each: seconds, CPU and memory.

    python benchmarks/ssh/load.py [--devices 1000] [--mib 1] [--at-once 16] [--most-s 1800] [--json FILE]

Controller and devices share this machine; what each side uses is counted apart. What is measured
when the time is up is printed all the same, and the exit status says that it was not everything.
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from farm import PORT, Farm, Target

HERE = Path(__file__).parent


def target(farm: Farm) -> Path:
    """What the controller is told of the devices."""
    names = [str(farm.folder / name) for name in ("login", "known_hosts", "homes")]
    file = farm.folder / "target.json"
    Target(farm.hosts, PORT, farm.user, *names, "", "").write(file)
    return file


def steps(farm: Farm, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Every step of a rollout as it ends, until the time is up."""
    words = [str(target(farm)), str(asked.at_once), str(int(asked.mib * (1 << 20)))]
    command = [sys.executable, str(HERE / "rollout.py"), *words]
    found = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        alarm = threading.Timer(asked.most_s, process.kill)
        alarm.start()
        assert process.stdout is not None
        for line in process.stdout:
            found.append(row := json.loads(line))
            print(
                f"{row['step']:<28}{row['good']:>6}{row['wall_s']:>10.2f}{row['cpu_s']:>10.2f}"
                f"{row['commands']:>10}{row['bytes_sent'] / 2**20:>10.1f}"
                f"{row['peak_mib']:>8.0f}",
                flush=True,
            )
        alarm.cancel()
    return found


def main() -> None:
    """Start the servers, roll out, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--mib", type=float, default=1.0)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--most-s", type=float, default=1800.0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no server may stay behind
    with Farm() as farm:
        began = time.perf_counter()
        farm.grow(asked.devices)
        about = {
            "devices": asked.devices,
            "mib": asked.mib,
            "at_once": asked.at_once,
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": os.getloadavg()[0],
            "up_s": round(time.perf_counter() - began, 1),
            "servers_mib": round(farm.memory_mib()),
        }
        print(json.dumps(about))
        heads = ("good", "wall s", "cpu s", "commands", "MiB sent", "peak")
        print(
            f"{'step':<28}{heads[0]:>6}"
            + "".join(f"{each:>10}" for each in heads[1:5])
            + "    peak"
        )
        before = farm.cpu_s()
        found = steps(farm, asked)
        farm.settled()
        about["devices_cpu_s"] = round(farm.cpu_s() - before, 1)
        about["controller_cpu_s"] = round(sum(row["cpu_s"] for row in found), 1)
        about["seconds"] = round(sum(row["wall_s"] for row in found), 1)
        print(json.dumps({name: about[name] for name in list(about)[-3:]}))
    if asked.json:
        asked.json.write_text(json.dumps({"about": about, "steps": found}, indent=1) + "\n")
    wrong = [row["step"] for row in found if row["good"] != asked.devices]
    if wrong or not found or found[-1]["step"] != "5 % changed, metered line":
        sys.exit(f"not everything went well in time: {', '.join(wrong) or 'cut short'}")


if __name__ == "__main__":
    main()

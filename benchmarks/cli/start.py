"""How long `fleet --help` takes against importing typer and rich alone: medians and the ratio."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 15
TARGET = 2.5
FLEET = Path(sys.executable).with_name("fleet")
CASES = {
    "typer and rich": [sys.executable, "-c", "import typer, rich.console, rich.table"],
    "fleet --help": [str(FLEET), "--help"],
    "fleet deploy --help": [str(FLEET), "deploy", "--help"],
}


def main() -> None:
    """Run every case in turn, `ROUNDS` times, and print medians in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, command in CASES.items():
            began = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            times[name].append((time.perf_counter() - began) * 1e3)
    medians = {name: statistics.median(each) for name, each in times.items()}
    base = medians["typer and rich"]
    for name, ms in medians.items():
        print(f"{name:<24}{ms:8.0f} ms   {ms / base:5.2f} x")
    ratio = medians["fleet --help"] / base
    print(json.dumps({"ratio": round(ratio, 2), "target": TARGET, "met": ratio <= TARGET}))


if __name__ == "__main__":
    main()

"""`make demo`: a trained model, a fleet of real sshd devices, a good and a bad day; about five minutes.

Every step is the very command a user would type; its exit code is checked. Run it again as often
as you like: it starts with a fresh lab and keeps the ledger's history.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
MODELS = ROOT / "inventory" / "demo" / "models.yaml"


def main() -> None:
    """The whole story."""
    began = time.monotonic()
    say("A small CNN, trained on Fashion-MNIST; in three versions.")
    run(
        f"{sys.executable} demo/train.py inventory/demo",
        shown="python demo/train.py inventory/demo",
    )

    say("Version 1: every variant is built, measured and judged. A second build makes nothing.")
    release("v1", "1.0.0")
    run("fleet build fashion")

    say("A fleet: 4 Jetsons, 5 Raspberry Pis, 3 phones. Emulated, but every one a real SSH server.")
    run("fleet lab down")
    run("fleet lab up --devices 12")
    run("fleet facts --target canary --refresh")

    say("Which variant does a device get, and why not another?")
    run("fleet explain jetson-01")
    run("fleet explain pi-01")
    run("fleet explain phone-01")

    say("Deploy. The canaries go first; each device hashes, proves and only then switches.")
    run("fleet deploy --target all --yes")

    say("Version 2 is as accurate, but far too slow: the limit is 0.2 ms on the device.")
    release("v2", "2.0.0")
    run("fleet build fashion")
    run("fleet deploy --target all --yes", expected=4)
    say("Halted (exit code 4): every device still serves version 1. The audit agrees.")
    run("fleet audit --target all")

    say("Version 3 was trained longer.")
    release("v3", "3.0.0")
    run("fleet build fashion")
    run("fleet deploy --target all --yes")

    say("Somebody changes one bit of a model on a device. The audit finds it (exit code 5).")
    run("fleet lab break pi-02 --how tampered")
    run("fleet audit --target pi-group", expected=5)

    say("One group goes back. The old release is still there: nothing is sent; it is proved again.")
    run("fleet rollback --target jetson-group --yes")
    run("fleet history --limit 12")

    say(f"That took {time.monotonic() - began:.0f} s. The lab is still up. Try:")
    for hint in (
        "fleet deploy --target pi-02 --repair --yes   # the damaged release, put in order",
        "fleet deploy --target all --yes          # everything on version 3 again",
        "fleet lab break phone-01 --how offline && fleet audit",
        "fleet plan --target 'arch=aarch64 & ram_mib>=4000 & !canary'",
        "fleet lab down",
    ):
        print(f"    {hint}")
    print("  (with .venv/bin on your PATH: . .venv/bin/activate)")


def say(text: str) -> None:
    """A sentence of the story."""
    print(f"\n\033[1m── {text}\033[0m" if sys.stdout.isatty() else f"\n── {text}", flush=True)


def run(command: str, *, expected: int = 0, shown: str = "") -> None:
    """A command as a user would type it; any other exit code ends the demo."""
    print(f"$ {shown or command}", flush=True)
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        shlex.split(command), cwd=ROOT, env={**os.environ, "PATH": path}, check=False
    )
    if done.returncode != expected:
        sys.exit(f"demo: exit code {done.returncode}, expected {expected}: {shown or command}")


def release(name: str, version: str) -> None:
    """What a user does in an editor: another source, another version."""
    text = MODELS.read_text()
    text = re.sub(
        r"source: models/fashion-\w+\.keras", f"source: models/fashion-{name}.keras", text
    )
    text = re.sub(r'version: "[\d.]+"', f'version: "{version}"', text)
    MODELS.write_text(text)
    print(
        f"# inventory/demo/models.yaml: source: models/fashion-{name}.keras, version: {version!r}"
    )


if __name__ == "__main__":
    main()

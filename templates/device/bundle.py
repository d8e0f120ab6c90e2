"""Runs on the device: what its Python takes, and wheels unpacked into a folder of fleet's own.

    python3 bundle.py look                       one line of JSON
    python3 bundle.py unpack PART NEW MODULE     exit status 0, or the reason on the last line

No pip is needed, and nothing outside the folder is touched. Python 3.6 and later.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile

IMPORT_S = 180
IMPORTS = """import sys
sys.path.insert(0, sys.argv[1])
import importlib
import numpy
importlib.import_module(sys.argv[2])"""


def look():
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import runtimes

    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (AttributeError, ValueError, OSError):
        libc = ""  # not glibc
    own = runtimes.runtimes(bundles=False)
    return {
        "implementation": sys.implementation.name,
        "version": "%d.%d" % sys.version_info[:2],
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "libc": libc,
        "own": {name: own[name] for name in runtimes.PACKAGES if name in own},
    }


def unpack(part, new, module):
    """What pip would do with wheels that hold nothing but packages, flushed to the disk."""
    os.mkdir(new)
    for name in sorted(os.listdir(part)):
        with zipfile.ZipFile(os.path.join(part, name)) as wheel:
            for entry in wheel.infolist():
                place(wheel, entry, new)
    if hasattr(os, "sync"):
        os.sync()
    command = [sys.executable, "-c", IMPORTS, new, module]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as process:
        try:
            _, said = process.communicate(timeout=IMPORT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return "importing %s took longer than %d s" % (module, IMPORT_S)
    if process.returncode:
        words = said.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
        return "%s cannot be imported (%d): %s" % (module, process.returncode, words[-1])
    return ""


def place(wheel, entry, new):
    """One file; those below *.data go where an installer puts them, programs nowhere."""
    parts = entry.filename.split("/")
    if parts[0].endswith(".data"):
        if parts[1] not in ("purelib", "platlib"):
            return
        parts = parts[2:]
    if not parts[-1]:
        return
    if ".." in parts or parts[0] == "":
        raise ValueError("%s would lie outside of its folder" % entry.filename)
    path = os.path.join(new, *parts)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    with wheel.open(entry) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 18)


if __name__ == "__main__":
    if sys.argv[1] == "look":
        print(json.dumps(look()))
    else:
        try:
            wrong = unpack(*sys.argv[2:5])
        except Exception as error:
            wrong = "%s: %s" % (type(error).__name__, error)
        sys.exit(wrong or 0)

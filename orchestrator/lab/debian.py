"""Debian systems for devices, fetched by apt and unpacked: no root, no foreign code run.

Packages come from the mirror that this machine's own apt uses, checked against Debian's archive
key. Nothing is installed here, and no package's scripts run.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from orchestrator.lab.cache import kept
from orchestrator.lab.errors import DebianMissing

PACKAGES = "packages.txt"
"""Beside a system's files: name, version and SHA-256 of every package in it."""

_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_MERGED = ("bin", "sbin", "lib", "lib64")
_LEFT_OUT = ("doc", "man", "locale", "info", "lintian", "bug", "zoneinfo")
_ALTERNATIVES = {
    "usr/bin/mawk": "awk",
    "usr/bin/which.debianutils": "which",
    "usr/lib/*/blas/libblas.so.3": "../libblas.so.3",
    "usr/lib/*/lapack/liblapack.so.3": "../liblapack.so.3",
}
"""Files → the links to them, as seen from them, that packages' scripts would make."""
_APT_S = 300.0


@dataclass(frozen=True, slots=True)
class Debian:
    """A Debian for devices: its release, its architecture, and packages that bring their own.

    `only` are the files that are wanted of these packages alone; all of all packages if empty.
    """

    suite: str
    arch: str
    packages: tuple[str, ...]
    only: tuple[str, ...] = ()


def system(debian: Debian, tell: Callable[[str], None]) -> Path:
    """The folder with a Debian's files (``root``) and their list (`PACKAGES`), fetched once.

    Raises:
        DebianMissing: this machine cannot fetch it; says why.
    """
    name = f"debian-{debian.suite}-{debian.arch}"
    return kept(name, debian, partial(_made, debian), tell)


def machine() -> str:
    """Debian's name of this machine's own architecture.

    Raises:
        DebianMissing: this machine does not say.
    """
    if shutil.which("dpkg") is None:
        raise DebianMissing("this machine has no dpkg")
    return _ran(["dpkg", "--print-architecture"]).strip()


def by_loader(tree: str | Path, program: str, at: str, own: str = "") -> list[str]:
    """How a program of a fetched system starts on this machine: with the libraries that came with it.

    Args:
        tree: where the system lies now.
        at: where it lies when the program is started.
        own: a folder among its libraries that holds the program's own.
    """
    (loader,) = Path(tree, "usr").glob("lib*/ld-linux*.so.*")
    (libraries,) = (path for path in Path(tree, "usr/lib").glob("*-linux-*") if path.is_dir())
    there = f"{at}/usr/lib/{libraries.name}"
    path = f"{there}:{there}/{own}" if own else there
    return [f"{at}/{loader.relative_to(tree)}", "--library-path", path, f"{at}/{program}"]


def _made(debian: Debian, folder: Path) -> None:
    for program in ("apt-get", "dpkg-deb", "tar"):
        if shutil.which(program) is None:
            raise DebianMissing(f"this machine has no {program}")
    if not Path(_KEYRING).is_file():
        raise DebianMissing(f"this machine has no {_KEYRING} (package debian-archive-keyring)")
    apt, root = folder / "apt", folder / "root"
    fetched = _fetched(debian, apt)
    lines = []
    _merge_usr(root)
    for package in sorted(fetched):
        _unpack(package, root, debian.only)
        lines.append(_described(package))
    for pattern, link in _ALTERNATIVES.items():
        for file in root.glob(pattern):
            at = Path(os.path.normpath(file.parent / link))
            at.symlink_to(os.path.relpath(file, at.parent))
    (folder / PACKAGES).write_text("".join(lines))
    shutil.rmtree(apt)


def _fetched(debian: Debian, apt: Path) -> list[Path]:
    """The packages and, unless only some files are wanted, all that they depend on."""
    for path in ("lists/partial", "cache/archives/partial", "log"):
        (apt / path).mkdir(parents=True)
    (apt / "status").touch()
    source = f"deb [arch={debian.arch} signed-by={_KEYRING}] {_mirror()} {debian.suite} main\n"
    (apt / "sources.list").write_text(source)
    settings = {
        "Dir::State": apt,
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
        "Dir::Log": apt / "log",
        "Dir::Etc::sourcelist": apt / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Architecture": debian.arch,
        "APT::Architectures::": debian.arch,
        "APT::Sandbox::User": "",
        "APT::Install-Recommends": "false",
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
    }
    options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    archives = apt / "cache" / "archives"
    _ran(["apt-get", *options, "-qq", "update"])
    if debian.only:
        _ran(["apt-get", *options, "-qq", "download", *debian.packages], at=archives)
    else:
        _ran(["apt-get", *options, "-qq", "-y", "--download-only", "install", *debian.packages])
    return list(archives.glob("*.deb"))


def _mirror() -> str:
    """Where this machine's own apt gets Debian from."""
    wanted = ["Created-By: Packages", "Origin: Debian", "Label: Debian"]
    said = _ran(["apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted]).split()
    if not said:
        raise DebianMissing("this machine's apt knows no Debian mirror", hint="apt-get update")
    return said[0]


def _merge_usr(root: Path) -> None:
    """The links that Debian's installer makes before it unpacks anything."""
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for path in (root, root / "usr", *(root / "usr" / name for name in _MERGED)):
        path.chmod(0o755)


def _unpack(package: Path, root: Path, only: tuple[str, ...]) -> None:
    left_out = [f"--exclude=./usr/share/{name}/*" for name in _LEFT_OUT]
    tar = ["tar", "-x", "-C", str(root), "--keep-directory-symlink", *left_out]
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE
    ) as opened:
        _ran([*tar, *(f"./{path}" for path in only)], stdin=opened.stdout)


def _described(package: Path) -> str:
    said = _ran(["dpkg-deb", "--show", "--showformat=${Package} ${Version}", str(package)])
    digest = _ran(["sha256sum", str(package)]).split()[0]
    return f"{said} {digest}\n"


def _ran(argv: Sequence[str], *, at: Path | None = None, stdin: IO[bytes] | None = None) -> str:
    env = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            argv,
            cwd=at,
            env=env,
            stdin=stdin or subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_APT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DebianMissing(f"{argv[0]} took more than {_APT_S:.0f} s") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise DebianMissing(f"{argv[0]}: {said[-1] if said else done.returncode}")
    return done.stdout

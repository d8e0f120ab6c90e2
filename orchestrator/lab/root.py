"""The root directory of a device with namespaces of its own: its programs, users, keys and /home."""

import os
import shutil
from pathlib import Path

from orchestrator.lab import linux
from orchestrator.lab.adbd import HOME as ADBD
from orchestrator.lab.adbd import command
from orchestrator.lab.keys import dropbear_key
from orchestrator.lab.spec import (
    DEVICE_UID,
    DEVICE_USER,
    HOST,
    DeviceSpec,
    Places,
    Spec,
    Tier,
)
from orchestrator.lab.sshd import namespaced_config
from orchestrator.lab.termux import ENVIRONMENT, HOME, PATH, build_programs
from orchestrator.lab.tree import OWN, furnish, put
from orchestrator.lab.userland import TERMUX, USERLANDS, Userland

_PASSWD = """root:x:0:0:root:/root:{shell}
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
{user}:x:{uid}:{uid}:emulated device:{home}:{shell}
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = f"root:x:0:\n{DEVICE_USER}:x:{DEVICE_UID}:\nnogroup:x:65534:\n"
_SHADOW = f"root:*:19000::::::\nsshd:*:19000::::::\n{DEVICE_USER}:*:19000::::::\n"
_DROPBEAR_KEY = "etc/dropbear/dropbear_ed25519_host_key"


def server(device: DeviceSpec, spec: Spec) -> list[str]:
    """The device's server, in the foreground, saying what it does."""
    if USERLANDS[device.userland].server == "dropbear":
        listen = ["-p", f"{device.address}:{device.port}", "-r", f"/{_DROPBEAR_KEY}"]
        return ["/usr/sbin/dropbear", "-F", "-E", "-s", *listen]
    if USERLANDS[device.userland].server == "adbd":
        return command(spec.adbd)
    return [_sshd(device, spec), "-D", "-e"]


def checking(device: DeviceSpec, spec: Spec) -> list[str]:
    """A command that ends well in a device in which its server could run."""
    ssh = USERLANDS[device.userland].server == "sshd"
    return [_sshd(device, spec), "-t"] if ssh else ["/bin/true"]


def _sshd(device: DeviceSpec, spec: Spec) -> str:
    kind = USERLANDS[device.userland]
    return f"{kind.prefix}/sbin/sshd" if kind.arch else spec.sshd


def build_root(root: Path, spec: Spec, device: DeviceSpec, places: Places) -> None:
    """Fill an empty directory with everything of a device but /proc and /dev."""
    kind = USERLANDS[device.userland]
    found = spec.foreign(device.userland)
    if kind.prefix == "/usr":
        _directories(root)
    if found and found.shell:
        build_programs(root, Path(found.tree), Path(found.shell))
    elif found:
        _whole_system(root, Path(found.tree))
    elif kind.tools == "host":
        _whole_system(root, Path("/"))
        if kind.shell:
            linux.bind(spec.program(kind.shell).path, root / "usr/bin/sh", read_only=True)
    else:
        _few_programs(root, spec, kind)
    _private(root, spec, device, places)
    if kind.python:
        _python(root, spec, device, places)
    if spec.shared:
        (root / OWN / "shared").mkdir()
        linux.bind(spec.shared, root / OWN / "shared")


def _directories(root: Path) -> None:
    for path in ("usr", "etc", "home", "root", "tmp", "var/tmp", "proc", "sys", "dev", "run/sshd"):
        (root / path).mkdir(parents=True)
    for path in ("tmp", "var/tmp"):
        (root / path).chmod(0o1777)


def _whole_system(root: Path, source: Path) -> None:
    """A system's programs, read-only, and the directories every Linux has."""
    linux.bind(source / "usr", root / "usr", read_only=True)
    _libraries_of_root(root, source, ("bin", "sbin", "lib", "lib32", "lib64", "libx32"))
    if (source / "etc/alternatives").is_dir():
        (root / "etc/alternatives").mkdir()
        linux.bind(source / "etc/alternatives", root / "etc/alternatives", read_only=True)


def _libraries_of_root(root: Path, source: Path, names: tuple[str, ...]) -> None:
    for name in names:
        theirs = source / name
        if theirs.is_symlink():
            (root / name).symlink_to(theirs.readlink())
        elif theirs.is_dir():
            (root / name).mkdir()
            linux.bind(theirs, root / name, read_only=True)
    for name in ("ld.so.cache", "localtime"):
        if (source / "etc" / name).exists():
            shutil.copyfile(source / "etc" / name, root / "etc" / name)


def _few_programs(root: Path, spec: Spec, kind: Userland) -> None:
    """One program under many names, a server, and what both load; nothing else of this machine."""
    for path in ("bin", "sbin", "usr/bin", "usr/sbin"):
        (root / path).mkdir(parents=True)
    tool = spec.program(kind.tools)
    _show(tool.path, root / "bin" / tool.name)
    for applet in tool.applets:
        if applet not in (tool.name, "sh"):
            (root / "bin" / applet).symlink_to(tool.name)
    used = [tool]
    if kind.shell:
        used.append(spec.program(kind.shell))
        _show(used[-1].path, root / "bin" / kind.shell)
    (root / "bin/sh").symlink_to(kind.shell or tool.name)
    if kind.server == "adbd":
        (root / ADBD).mkdir(parents=True)
        linux.bind(spec.adbd, root / ADBD, read_only=True)
    else:
        used.append(spec.program(kind.server))
        at = spec.sshd.lstrip("/") if kind.server == "sshd" else f"usr/sbin/{kind.server}"
        _show(used[-1].path, root / at)
    if kind.python:
        for path in ("usr/lib", "usr/lib32", "usr/lib64"):
            if Path("/", path).is_dir():
                (root / path).mkdir()
                linux.bind(Path("/", path), root / path, read_only=True)
        _libraries_of_root(root, Path("/"), ("lib", "lib32", "lib64"))
    else:
        for library in sorted({path for program in used for path in program.libraries}):
            _show(library, root / library.lstrip("/"))
        if Path("/usr/lib/openssh").is_dir() and kind.server == "sshd":
            (root / "usr/lib/openssh").mkdir(parents=True, exist_ok=True)
            linux.bind("/usr/lib/openssh", root / "usr/lib/openssh", read_only=True)


def _show(file: str, at: Path) -> None:
    """One file of this machine in a device's root, read-only."""
    at.parent.mkdir(parents=True, exist_ok=True)
    at.touch()
    linux.bind(file, at, read_only=True)


def _private(root: Path, spec: Spec, device: DeviceSpec, places: Places) -> None:
    """What makes it this device: users, keys, fixtures and its own /home."""
    furnish(root, spec, device, Tier.NAMESPACES)
    kind = USERLANDS[device.userland]
    phone = kind.prefix == TERMUX
    shell = f"{TERMUX}/bin/bash" if phone else "/bin/bash" if kind.shell == "bash" else "/bin/sh"
    home = HOME if phone else f"home/{DEVICE_USER}"
    quirks = places.quirks(device.name)
    found = spec.foreign(device.userland)
    env = {**(found.environment if found else {}), **(ENVIRONMENT if phone else {})}
    texts = {
        "etc/passwd": _PASSWD.format(
            shell=shell, user=DEVICE_USER, uid=DEVICE_UID, home=f"/{home}"
        ),
        "etc/group": _GROUP,
        "etc/shells": f"{shell}\n",
        "etc/hostname": f"{device.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n{device.address} {device.name}\n",
        "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files\n",
        "etc/ssh/sshd_config": _quirky(
            namespaced_config((device.address, device.port), env, PATH if phone else ""),
            quirks.read_text() if quirks.is_file() else "",
        ),
    }
    put(root, {path: text.encode() for path, text in texts.items()})
    secret = {"etc/ssh/ssh_host_ed25519_key": places.host_key(device.name).read_bytes()}
    if kind.server == "dropbear":
        secret = {_DROPBEAR_KEY: dropbear_key(places.host_key(device.name))}
    put(root, {**secret, "etc/shadow": _SHADOW.encode()}, mode=0o600)
    mine = places.home(device.name, Tier.NAMESPACES)
    linux.bind(mine / DEVICE_USER if phone else mine, root / (home if phone else "home"))
    if kind.server == "dropbear":
        _login_files(root / "home" / DEVICE_USER, spec)
    if kind.tools != "host":
        # Dropbear gives sessions a PATH of its own. A link would hide from Python where it lives.
        fixtures = sorted(path.name for path in (root / OWN / "bin").iterdir())
        starts = {name: f'#!/bin/sh\nexec /{OWN}/bin/{name} "$@"\n'.encode() for name in fixtures}
        put(root / "usr/bin", starts, mode=0o755)


def _quirky(config: str, quirks: str) -> str:
    """A configuration in which some lines are others; of some options the last value counts."""
    others = {line.split(" ")[0] for line in quirks.splitlines()}
    kept = [line for line in config.splitlines() if line.split(" ")[0] not in others]
    return quirks + "\n".join(kept) + "\n"


def _login_files(home: Path, spec: Spec) -> None:
    """Dropbear reads keys from the user's own home alone."""
    keys = home / ".ssh/authorized_keys"
    if keys.exists():
        return
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    keys.write_text(f"{spec.authorized_key}\n")
    owner = home.stat()
    for path in (keys, keys.parent, home):
        os.chown(path, owner.st_uid, owner.st_gid)
        handle = os.open(path, os.O_RDONLY)
        os.fsync(handle)  # a power cut must not lock everybody out
        os.close(handle)


def _python(root: Path, spec: Spec, device: DeviceSpec, places: Places) -> None:
    """The interpreter where it lies on the host or in its system, and the shared packages."""
    name = device.userland if spec.foreign(device.userland) else HOST
    python = spec.pythons()[name]
    prefix, program = Path(python.prefix), Path(python.executable)
    inside = root / str(prefix).lstrip("/")
    if name == HOST and not prefix.is_relative_to("/usr"):
        inside.mkdir(parents=True, exist_ok=True)
        linux.bind(prefix, inside, read_only=True)
    elif not (root / str(program).lstrip("/")).exists():
        _show(str(program), root / str(program).lstrip("/"))
    library = root / OWN / "lib"
    library.mkdir()
    linux.bind(places.runtime / name / "lib", library)

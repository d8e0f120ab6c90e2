"""Which way of making devices works here: found by trying in a forked child, never by versions."""

import os
import pwd
import subprocess
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from orchestrator.lab import linux, plain, storage, tree
from orchestrator.lab.boot import boot
from orchestrator.lab.linux import Namespace
from orchestrator.lab.root import checking
from orchestrator.lab.spec import DEVICE_USER, Places, Spec, Tier


@dataclass(frozen=True, slots=True)
class Chosen:
    """A tier that works. `as_root`: the lab keeps this user namespace and maps all users."""

    tier: Tier
    as_root: bool
    user: str
    why: str


@dataclass(frozen=True, slots=True)
class NoneWorks:
    """No tier works; `why` says what was tried and how it ended."""

    why: str


def choose(spec: Spec) -> Chosen | NoneWorks:
    """The best tier that boots a trial device whose sshd accepts its configuration."""
    attempts: tuple[tuple[Tier, bool, str], ...] = (
        (Tier.NAMESPACES, True, "namespaces as root"),
        (Tier.NAMESPACES, False, "namespaces as a plain user"),
        (Tier.PLAIN, False, "plain processes"),
    )
    said = [f"tier {spec.wanted!r} was asked for"] if spec.wanted else []
    for tier, as_root, name in attempts:
        if spec.wanted not in ("", tier) or (as_root and os.geteuid() != 0):
            continue
        if failure := _tried(spec, tier, as_root=as_root):
            said.append(f"{name}: {failure}")
            continue
        said.append(f"{name}: a trial device booted and its sshd accepted its configuration")
        return Chosen(tier, as_root, login_name(tier), "; ".join(said))
    return NoneWorks("; ".join(said))


def login_name(tier: Tier) -> str:
    """Who logs in: the device's own user, or without namespaces whoever runs the lab."""
    if tier is Tier.NAMESPACES:
        return DEVICE_USER
    return pwd.getpwuid(os.geteuid()).pw_name


def enter(*, as_root: bool) -> None:
    """Move this process into a mount namespace of its own, in which it may mount."""
    user, group = os.geteuid(), os.getegid()
    if as_root:
        linux.unshare(Namespace.MOUNT)
    else:
        linux.unshare(Namespace.USER | Namespace.MOUNT)
        linux.map_self(0, user, group)
    linux.keep_mounts_private()


def _tried(spec: Spec, tier: Tier, *, as_root: bool) -> str:
    """Why `tier` does not work; empty if it does."""
    attempt = _try_plain if tier is Tier.PLAIN else lambda spec: _try_namespaces(spec, as_root)
    return _in_child(lambda: attempt(spec))


def _try_namespaces(spec: Spec, as_root: bool) -> None:
    enter(as_root=as_root)
    device, places = spec.devices[0], Places(Path(spec.lab))
    if device.whole:  # it needs no namespaces: whoever can make others can make it
        device = replace(device, userland="host")
    tree.mount_runtimes(places, spec)
    storage.attach(places, device, as_root=as_root)
    booted = boot(spec, device, checking(device, spec), as_root=as_root).finish()
    _, status = os.waitpid(booted.holder, 0)
    if status != 0:
        said = places.log(device.name).read_text(errors="replace").strip()
        raise OSError(f"sshd -t: {said}")


def _try_plain(spec: Spec) -> None:
    device, places = spec.devices[0], Places(Path(spec.lab))
    if other := sorted({d.userland for d in spec.devices} - {"host"}):
        raise OSError(f"userland {', '.join(other)} needs a root of its own")
    try:
        login_name(Tier.PLAIN)
    except KeyError as error:
        raise OSError(f"user {os.geteuid()} is not in the password database") from error
    plain.build(spec, device, places)
    argv = [spec.sshd, "-t", "-f", str(places.root(device.name) / "etc/ssh/sshd_config")]
    _accepted(subprocess.run(argv, capture_output=True, timeout=20, check=False))


def _accepted(ended: subprocess.CompletedProcess[bytes]) -> None:
    if ended.returncode != 0:
        raise OSError(f"sshd -t: {ended.stderr.decode(errors='replace').strip()}")


def _in_child(attempt: Callable[[], None]) -> str:
    """Run `attempt` in a forked child; what it raised, or nothing."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            attempt()
            code = 0
        except Exception as error:  # noqa: BLE001 - whatever stops the attempt is its result
            with suppress(OSError):
                os.write(write, f"{error}".encode()[:2000])
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        message = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return message or ("" if status == 0 else f"ended with {os.waitstatus_to_exitcode(status)}")

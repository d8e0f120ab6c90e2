"""A runtime put on one device, or taken away: no pip, no root, nothing outside fleet's own folder."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from orchestrator.artifact.bundle import Bundle, Target
from orchestrator.catalog.runtime import InPython
from orchestrator.deploy.cargo import packed
from orchestrator.deploy.hands import Answer, BadAnswer, DeviceRefused, Hands
from orchestrator.deploy.probe import read_file
from orchestrator.errors import FleetError, Owner
from orchestrator.transport.transport import Buffer
from orchestrator.values import Value

_MARGIN_KIB = 4096
_LEASE_S = 1800
_UNPACK_S = 900.0


class Unsuitable(FleetError):
    """A device's Python takes no wheels of a runtime, and why."""

    path = ("BOOTSTRAP", "UNSUITABLE")
    owner = Owner.DEVICE


class Done(StrEnum):
    """What became of a device."""

    INSTALLED = "installed"
    ALREADY_THERE = "already-there"
    REMOVED = "removed"
    NOT_THERE = "not-there"
    WOULD_INSTALL = "would-install"
    WOULD_REMOVE = "would-remove"


class Bootstrapped(Value):
    """One device: what was done, and what it took. `size_bytes` is what all the wheels have."""

    device: str
    runtime: str
    done: Done
    version: str = ""
    because: str = ""
    bytes_sent: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Order:
    """What to do on devices: bring a runtime or take it away, under whose name.

    `bundle` gives the wheels for a target, or None where a dry run would have to fetch them;
    `opened` a wheel's bytes by its digest; `gone` tells of a lease's owner whether it is no more.
    """

    adapter: InPython
    owner: str
    gone: Callable[[str], bool]
    bundle: Callable[[Target], Bundle | None]
    opened: Callable[[str], Buffer]
    dry_run: bool = False


def bootstrap(hands: Hands, order: Order) -> Bootstrapped:
    """Bring a runtime to a device; the same again changes nothing and sends nothing.

    Raises:
        Unsuitable: its Python takes no such wheels.
        DeviceRefused: no room, no Python, somebody else at work, or it cannot be imported.
    """
    answer = hands.call("bundle_look", hands.device.python)
    seen, runtime = _seen(hands, answer), order.adapter.runtime.value
    if own := seen["own"].get(runtime):
        because = "the device has its own"
        return _done(hands, order, Done.ALREADY_THERE, version=own, because=because)
    target = suitable(hands.device.name, seen, answer.all("linker"), order.adapter)
    bundle = order.bundle(target)
    if bundle is None:
        because = f"would first find and fetch wheels for {target}"
        return _done(hands, order, Done.WOULD_INSTALL, because=because)
    name, version = bundle.name(order.adapter.wheel), bundle.version(order.adapter.wheel)
    told: dict[str, Any] = {"version": version, "size_bytes": bundle.size_bytes}
    if name in answer.all("bundle"):
        return _done(hands, order, Done.ALREADY_THERE, **told)
    if order.dry_run:
        need = needed_kib(bundle)
        short = f"needs {need} KiB, and {answer.one('free')} are free"
        because = short if need > int(answer.one("free") or 0) else ""
        return _done(hands, order, Done.WOULD_INSTALL, because=because, **told)
    with _leased(hands, order):
        sent = _bring(hands, order, bundle, name)
        module = order.adapter.module
        words = (name, order.owner, hands.device.python, runtime, module)
        hands.call("bundle_finish", *words, timeout_s=_UNPACK_S)
    return _done(hands, order, Done.INSTALLED, bytes_sent=sent, **told)


def remove(hands: Hands, order: Order) -> Bootstrapped:
    """Take a runtime away that fleet had brought; the device's own is not touched."""
    answer, runtime = hands.call("bundle_look", hands.device.python), order.adapter.runtime.value
    there = [n for n in answer.all("bundle") if n.startswith(f"{runtime}-")]
    if not there:
        return _done(hands, order, Done.NOT_THERE, because="fleet has brought none")
    version = there[-1].removeprefix(f"{runtime}-").rpartition(".")[0]
    if order.dry_run:
        return _done(hands, order, Done.WOULD_REMOVE, version=version)
    with _leased(hands, order):
        _held(hands, order, "bundle_remove", runtime, order.owner, str(_LEASE_S))
    return _done(hands, order, Done.REMOVED, version=version)


def suitable(device: str, seen: dict[str, Any], linkers: tuple[str, ...], need: InPython) -> Target:
    """What a device's Python takes, by its own word.

    Raises:
        Unsuitable: wheels are for CPython 3 and glibc; says what to do instead.
    """
    runtime, version = need.runtime.value, tuple(map(int, seen["version"].split(".")))
    libc = seen["libc"].partition(" ")
    if libc[0] != "glibc":
        bionic = any(each.startswith("linker") for each in linkers)
        pkg = "pkg install python-onnxruntime" if bionic else "apk add py3-onnxruntime"
        words = "bionic, Android's C library" if bionic else "musl, or no C library we know"
        raise Unsuitable(
            f"{device}: {runtime} has wheels for glibc alone, and this is {words}",
            hint=f"on the device: {pkg}; or name a runner: in the inventory",
        )
    if seen["implementation"] != "cpython" or version < need.python:
        least = ".".join(map(str, need.python))
        raise Unsuitable(
            f"{device}: {runtime} needs CPython {least} or newer, and {_spoken(seen)} is there",
            hint="install a newer Python on it and name it: python: /path in the inventory",
        )
    bits = int(seen["bits"])
    arch = {("aarch64", 32): "armv7l", ("x86_64", 32): "i686"}.get((seen["machine"], bits))
    major, _, minor = libc[2].partition(".")
    return Target(
        python=seen["version"],
        arch=arch or seen["machine"],
        glibc=(int(major), int(minor.partition(".")[0])),
        numpy=_known(seen["own"].get("numpy", "")),
    )


def _spoken(seen: dict[str, Any]) -> str:
    """``cpython 3.5``."""
    return f"{seen['implementation']} {seen['version']}"


def needed_kib(bundle: Bundle) -> int:
    """The wheels, what they become, and what Python compiles of it."""
    whole = sum(wheel.size_bytes + wheel.unpacked_bytes for wheel in bundle.wheels)
    return math.ceil(whole * 1.1 / 1024) + _MARGIN_KIB


def _bring(hands: Hands, order: Order, bundle: Bundle, name: str) -> int:
    """The wheels that are not there yet; what the device hashes is believed, and nothing else."""
    words = (name, order.owner, str(_LEASE_S), str(needed_kib(bundle)))
    there = _wheels(_held(hands, order, "bundle_begin", *words))
    wanted = {wheel.file: wheel.sha256 for wheel in bundle.wheels}
    missing = [(file, order.opened(d)) for file, d in wanted.items() if there.get(file) != d]
    if not missing:
        return 0
    sent: list[int] = []
    source = packed(missing)
    timeout_s = 120.0 + source.size / 10_000
    args = ("bundle_receive", name, order.owner)
    answer = hands.send(source, *args, timeout_s=timeout_s, sent=sent.append)
    if _wheels(answer) != wanted:
        raise DeviceRefused(hands.device.name, "transfer", "other bytes arrived than were sent")
    return sum(sent)


def _held(hands: Hands, order: Order, verb: str, *args: str) -> Answer:
    """A verb that takes the lease; one that a dead controller of this site holds is ended first."""
    try:
        return hands.call(verb, *args, timeout_s=120.0)
    except DeviceRefused as error:
        if error.word != "locked" or not order.gone(error.holder):
            raise
        hands.call("bundle_leave", error.holder)
        return hands.call(verb, *args, timeout_s=120.0)


@contextmanager
def _leased(hands: Hands, order: Order) -> Iterator[None]:
    """The lease is given back, also when something goes wrong; what was sent stays for next time."""
    try:
        yield
    except FleetError:
        try:
            hands.call("bundle_leave", order.owner)
        except FleetError:
            pass  # the line is gone; the lease ends by itself
        raise


def _wheels(answer: Answer) -> dict[str, str]:
    return {seen.path: seen.sha256 for seen in map(read_file, answer.all("file"))}


def _seen(hands: Hands, answer: Answer) -> dict[str, Any]:
    text = answer.one("python")
    try:
        seen: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise BadAnswer(
            f"{hands.device.name}: its Python does not tell what it is: {text[:200]!r}",
            hint=f"try it by hand: {hands.device.python} -V",
        ) from error
    return seen


def _known(version: str) -> str:
    return version if version[:1].isdigit() else ""


def _done(hands: Hands, order: Order, done: Done, **more: Any) -> Bootstrapped:
    runtime = order.adapter.runtime.value
    return Bootstrapped(device=hands.device.name, runtime=runtime, done=done, **more)

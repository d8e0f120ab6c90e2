"""One round trip of questions; the answers → Facts and installed releases, by pure parsers.

The questions are in templates/device/facts.sh; what a single answer means, in `inventory`.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from orchestrator.deploy.hands import Answer, BadAnswer, Hands
from orchestrator.inventory import board, condition, software
from orchestrator.inventory.accelerator import read_accelerators
from orchestrator.inventory.cpu import read_cpu
from orchestrator.inventory.facts import Facts, InstalledRuntime
from orchestrator.inventory.profile import Runtime
from orchestrator.rollout.drift import FileSeen, Hashed
from orchestrator.rollout.observation import Installed, Observed

_ALSO = ("tensorflow", "numpy")
"""Python packages that are no runtimes of fleet's, and worth knowing."""


def observe(hands: Hands, now: datetime) -> Observed:
    """Ask a device everything in one go.

    Raises:
        BadAnswer: what it says makes no sense.
    """
    runner = [hands.device.runner.command[0]] if hands.device.runner else []
    answer = hands.call("observe", hands.device.python, *runner, timeout_s=60.0)
    with _understood(hands):
        facts, installed = read_facts(answer, now), read_installed(answer)
    return Observed(device=hands.device.name, facts=facts, installed=installed)


def glance(hands: Hands, facts: Facts) -> Observed:
    """Ask a device only which releases it has; what it is, is known from an earlier visit.

    Raises:
        BadAnswer: what it says makes no sense.
    """
    answer = hands.call("installed")
    with _understood(hands):
        installed = read_installed(answer)
    return Observed(device=hands.device.name, facts=facts, installed=installed)


def current_files(hands: Hands) -> tuple[Hashed, ...]:
    """The current release of every model, its files hashed by the device just now.

    Raises:
        BadAnswer: what it says makes no sense.
    """
    answer = hands.call("hashes", timeout_s=600.0)
    with _understood(hands):
        return read_hashes(answer)


def read_hashes(answer: Answer) -> tuple[Hashed, ...]:
    """``model=``, ``current=`` and ``file=`` lines → one value a model."""
    found: list[Hashed] = []
    for key, value in answer.lines:
        match key:
            case "model":
                found.append(Hashed(model=value, current=None))
            case "current":
                found[-1] = found[-1].model_copy(update={"current": value or None})
            case "file":
                files = (*found[-1].files, read_file(value))
                found[-1] = found[-1].model_copy(update={"files": files})
    return tuple(found)


@contextmanager
def _understood(hands: Hands) -> Iterator[None]:
    try:
        yield
    except (ValueError, IndexError) as error:
        raise BadAnswer(
            f"{hands.device.name}: its answer makes no sense: {error}",
            hint="is something else than fleet's own script answering there?",
        ) from error


def read_file(line: str) -> FileSeen:
    """``<sha256> <bytes> <name>`` as the device prints it."""
    digest, size, name = line.split(" ", 2)
    return FileSeen(path=name, sha256=digest, size_bytes=int(size))


def read_facts(answer: Answer, now: datetime) -> Facts:
    """The raw answers → Facts. What a device did not answer stays empty."""
    python = _json(answer.one("runtimes"))
    lab = _json(answer.one("lab"))
    epoch = _int(answer.one("epoch"))
    cpu = read_cpu(answer.all("cpu"))
    properties = board.read_properties(answer.all("prop"))
    libc, libc_version = software.libc(answer.all("libc"))
    l4t = software.l4t(answer.one("l4t"))
    disk = _disk(answer.one("disk"))
    temperatures = condition.read_temperatures(answer.all("zone"))
    return Facts(
        observed_at=now,
        arch=answer.one("arch"),
        userland_bits=_userland_bits(answer, python),
        cores=_int(answer.one("cores")) or 1,
        cpu=cpu.cores,
        cpu_features=cpu.features,
        ram_mib=(_int(answer.one("ram_kib")) or 0) // 1024,
        ram_free_mib=(_int(answer.one("ram_free_kib")) or 0) // 1024,
        disk_mib=disk[0] // 1024,
        disk_free_mib=disk[1] // 1024,
        storage=disk[2],
        inodes_free=_disk(answer.one("inodes"))[1] or None,
        os=board.system(answer.one("os"), properties),
        kernel=answer.one("kernel"),
        libc=libc,
        libc_version=libc_version,
        prefix=answer.one("prefix"),
        board=board.board(answer.one("board"), answer.one("dmi"), properties, cpu.board),
        soc=board.soc(answer.one("compatible"), properties, cpu.soc),
        l4t=l4t,
        power_mode=condition.power_mode(answer.all("power")),
        throttled=condition.throttled(answer.one("throttled")),
        temperature_c=max((each.celsius for each in temperatures), default=None),
        temperatures=temperatures,
        accelerators=read_accelerators(
            answer.all("usb"),
            answer.all("pci"),
            answer.all("hailo"),
            l4t=l4t is not None,
            apex=bool(answer.one("apex")),
            rknpu=bool(answer.one("rknpu")),
        ),
        python=python.get("python"),
        runtimes=_runtimes(answer, python),
        providers=tuple(python.get("providers", ())),
        software=_software(answer, python, l4t),
        clock_skew_s=round(epoch - now.timestamp(), 0) if epoch else 0.0,
        emulated=str(lab.get("cpu") or "yes") if lab.get("emulated") else None,
    )


def _runtimes(answer: Answer, python: dict[str, Any]) -> tuple[InstalledRuntime, ...]:
    """Packages of Python, and programs: ``<runtime> <version>``, for a site's own its digest."""
    programs = dict(line.partition(" ")[::2] for line in answer.all("program"))
    versions = {**python, **programs}
    return tuple(
        InstalledRuntime(name=runtime, version=str(versions[runtime.value]))
        for runtime in Runtime
        if runtime.value in versions
    )


def _userland_bits(answer: Answer, python: dict[str, Any]) -> int:
    """Python's own word first, then the C library's, then the class of the shell's ELF file."""
    elf = {1: 32, 2: 64}.get(_int(answer.one("elf")) or 0)
    return int(python.get("bits") or _int(answer.one("bits")) or elf or 64)


def _software(
    answer: Answer, python: dict[str, Any], l4t: str | None
) -> tuple[software.Software, ...]:
    found = software.read_software(
        answer.all("package"),
        answer.all("library"),
        answer.one("cuda"),
        answer.all("hailo"),
        answer.one("rknn"),
        l4t,
    )
    named = {name: str(python[name]) for name in _ALSO if name in python}
    if answer.one("home").startswith("/data/data/com.termux/"):
        named["termux"] = answer.one("termux") or "unknown"
    more = tuple(software.Software(name=name, version=said) for name, said in named.items())
    return tuple(sorted((*found, *more), key=lambda each: each.name))


def read_installed(answer: Answer) -> tuple[Installed, ...]:
    """The models on a device with their releases, in order of their names.

    A switch that nobody confirmed goes back by itself, so it does not count as done.
    """
    models: dict[str, dict[str, Any]] = {}
    model = ""
    for key, value in answer.lines:
        if key == "model":
            model = value
            models[model] = {"releases": [], "unsettled": []}
        elif key in ("current", "previous") and model:
            models[model][key] = value or None
        elif key == "pending" and model:
            _, to, was, *_ = [*value.split(" "), "", ""]
            if models[model]["current"] == to:
                models[model]["current"] = was if was != "-" else None
        elif key == "release" and model:
            models[model]["releases"].append(value)
        elif key == "unsettled" and model:
            models[model]["unsettled"].append(value)
    return tuple(
        Installed(
            model=name,
            current=found.get("current"),
            previous=found.get("previous"),
            releases=tuple(sorted(found["releases"])),
            unsettled=tuple(sorted(found["unsettled"])),
        )
        for name, found in sorted(models.items())
    )


def _json(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _int(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _disk(df_line: str) -> tuple[int, int, str]:
    """The last line of df: total, available, and the file system where the line was not broken.

    It ends in total, used, available, use in per cent, mount point; the units are as asked for.
    """
    words = df_line.split()
    if len(words) < 5:
        return 0, 0, ""
    return _int(words[-5]) or 0, _int(words[-3]) or 0, words[0] if len(words) > 5 else ""

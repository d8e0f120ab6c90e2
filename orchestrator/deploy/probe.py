"""One round trip of questions; the answers → Facts and installed releases, by pure parsers."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from orchestrator.deploy.hands import Answer, BadAnswer, Hands
from orchestrator.inventory.facts import Facts, InstalledRuntime
from orchestrator.inventory.profile import Runtime
from orchestrator.rollout.drift import FileSeen, Hashed
from orchestrator.rollout.observation import Installed, Observed

_CORAL = ("1a6e:089a", "18d1:9302")
"""USB ids of the Edge TPU before and after its first inference."""


def observe(hands: Hands, now: datetime) -> Observed:
    """Ask a device everything in one go.

    Raises:
        BadAnswer: what it says makes no sense.
    """
    answer = hands.call("observe", hands.device.python, timeout_s=60.0)
    with _understood(hands):
        facts, installed = read_facts(answer, now), read_installed(answer)
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
    software = _json(answer.one("runtimes"))
    lab = _json(answer.one("lab"))
    epoch = _int(answer.one("epoch"))
    return Facts(
        observed_at=now,
        arch=answer.one("arch"),
        userland_bits=int(software.get("bits") or _int(answer.one("bits")) or 64),
        cores=_int(answer.one("cores")) or 1,
        cpu_features=tuple(sorted(answer.one("cpu_features").split())),
        ram_mib=(_int(answer.one("ram_kib")) or 0) // 1024,
        ram_free_mib=(_int(answer.one("ram_free_kib")) or 0) // 1024,
        disk_free_mib=(_available(answer.one("disk")) or 0) // 1024,
        inodes_free=_available(answer.one("inodes")) or None,
        os=answer.one("os").strip('"'),
        kernel=answer.one("kernel"),
        board=answer.one("board").strip("\0 "),
        l4t=_l4t(answer.one("l4t")),
        power_mode=answer.one("power").partition(":")[2].strip() or None,
        throttled=answer.one("throttled").partition("=")[2] or None,
        temperature_c=_celsius(answer.one("temperature")),
        accelerators=_accelerators(answer),
        python=software.get("python"),
        runtimes=tuple(
            InstalledRuntime(name=runtime, version=str(software[runtime.value]))
            for runtime in Runtime
            if runtime.value in software
        ),
        clock_skew_s=round(epoch - now.timestamp(), 0) if epoch else 0.0,
        emulated=str(lab.get("cpu") or "yes") if lab.get("emulated") else None,
    )


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


def _available(df_line: str) -> int | None:
    """The last line of df ends in available, use in per cent, mount point."""
    words = df_line.split()
    return _int(words[-3]) if len(words) >= 4 else None


def _l4t(line: str) -> str | None:
    """``# R36 (release), REVISION: 4.3, …`` → ``36.4.3``."""
    found = re.search(r"# R(\d+) \(release\), REVISION: ([\d.]+)", line)
    return f"{found[1]}.{found[2]}" if found else None


def _celsius(text: str) -> float | None:
    return int(text) / 1000 if text.lstrip("-").isdigit() else None


def _accelerators(answer: Answer) -> tuple[str, ...]:
    found = set()
    if answer.one("l4t"):
        found.add("cuda")
    if answer.one("apex") or any(usb in _CORAL for usb in answer.all("usb")):
        found.add("edgetpu")
    return tuple(sorted(found))

"""What names a board: its device tree, its BIOS, or Android's properties → model, chip, system."""

import re
from collections.abc import Iterable, Mapping

_CHIP = re.compile(r"[a-z]+[0-9][a-z0-9]*")
_PROPERTY = re.compile(r"\[([^\]]*)\]: \[(.*)\]")


def read_properties(lines: Iterable[str]) -> dict[str, str]:
    """``[ro.product.model]: [Pixel 7]``, as Android's getprop writes them → a mapping."""
    return {found[1]: found[2] for line in lines if (found := _PROPERTY.match(line))}


def board(model: str, dmi: str, properties: Mapping[str, str], cpu_says: str) -> str:
    """The board's own name for itself; empty where nothing has one."""
    maker, phone = (properties.get(f"ro.product.{key}", "") for key in ("manufacturer", "model"))
    named = phone if phone.lower().startswith(maker.lower()) else f"{maker} {phone}"
    return model.strip("\0 ") or named.strip() or cpu_says or dmi.strip()


def soc(compatible: str, properties: Mapping[str, str], cpu_says: str) -> str:
    """The system on a chip, in lower case.

    Args:
        compatible: the device tree's list, most special first: the board, then what it is made of.
    """
    names = [entry.partition(",")[2] for entry in compatible.split() if "," in entry]
    chips = [name for name in names[1:] if _CHIP.fullmatch(name)] or names[-1:]
    android = properties.get("ro.soc.model") or properties.get("ro.board.platform", "")
    return (chips[0] if chips else android or cpu_says).lower()


def system(pretty_name: str, properties: Mapping[str, str]) -> str:
    """The operating system: os-release's pretty name, or Android's version and API level."""
    if release := properties.get("ro.build.version.release"):
        return f"Android {release} (API {properties.get('ro.build.version.sdk', '?')})"
    return pretty_name.strip("\"'")

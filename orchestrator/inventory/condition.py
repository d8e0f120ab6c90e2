"""How a device is at the moment: power mode, throttling, temperatures."""

import re
from collections.abc import Iterable

from orchestrator.values import Value

_PLAUSIBLE_C = (-40.0, 150.0)
_NOT_MEASURED = ("PMIC-Die",)
"""Zones that always say 100 °C: Jetson TX1, TX2 and Nano have no sensor behind it."""

_THROTTLED = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
}
"""Bits of vcgencmd get_throttled; 16 higher: since boot. Source: Raspberry Pi documentation."""


class Temperature(Value):
    """What one thermal zone of the kernel says."""

    zone: str
    celsius: float


def read_temperatures(zones: Iterable[str]) -> tuple[Temperature, ...]:
    """``48199 cpu-thermal``: thousandths of a degree, and the zone's name. Nonsense is left out."""
    found = []
    for line in zones:
        degrees, _, zone = line.partition(" ")
        celsius = int(degrees) / 1000 if re.fullmatch(r"-?[0-9]+", degrees) else None
        if celsius is None or zone in _NOT_MEASURED:
            continue
        if _PLAUSIBLE_C[0] < celsius < _PLAUSIBLE_C[1] and celsius != 0:
            found.append(Temperature(zone=zone, celsius=celsius))
    return tuple(found)


def power_mode(lines: Iterable[str]) -> str | None:
    """The mode in what ``nvpmodel -q`` prints: ``NV Power Mode: 15W``."""
    found = [each[1] for line in lines if (each := re.search(r"Power Mode:\s*(.+?)\s*$", line))]
    return found[-1] if found else None


def throttled(line: str) -> str | None:
    """The bits in what ``vcgencmd get_throttled`` prints: ``throttled=0x50005``."""
    found = re.match(r"throttled=(0x[0-9a-fA-F]+)", line)
    return found[1].lower() if found else None


def throttling(bits: str | None, *, since_boot: bool = False) -> tuple[str, ...]:
    """What those bits mean: what holds now, or has held since the device booted."""
    number = int(bits, 16) if bits else 0
    shift = 16 if since_boot else 0
    return tuple(words for bit, words in _THROTTLED.items() if number >> shift + bit & 1)

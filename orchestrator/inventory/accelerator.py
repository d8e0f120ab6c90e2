"""What a device can compute with besides its processor: ids on its buses and device files → names."""

import re
from collections.abc import Iterable

_USB = {
    "1a6e:089a": "edgetpu",  # before its first inference
    "18d1:9302": "edgetpu",  # afterwards: it comes back under another name
}
_PCI = {
    "0x1ac1:0x089a": "edgetpu",
    "0x1e60:0x2864": "hailo",  # Hailo-8 and Hailo-8L; only the firmware knows which
    "0x1e60:0x45c4": "hailo10h",
}


def read_accelerators(
    usb: Iterable[str],
    pci: Iterable[str],
    hailo: Iterable[str],
    *,
    l4t: bool = False,
    apex: bool = False,
    rknpu: bool = False,
) -> tuple[str, ...]:
    """Names in order: ``cuda``, ``edgetpu``, ``hailo8l`` (or ``hailo``, where it does not say), ``rknpu``.

    Args:
        usb, pci: ``vendor:device`` of everything on the buses, as sysfs writes them.
        hailo: lines of ``hailortcli fw-control identify``; not empty where there is a Hailo.
        l4t: whether this is a Jetson; apex, rknpu: whether the driver's device file is there.
    """
    found = {_USB[each] for each in usb if each in _USB}
    found |= {_PCI[each] for each in pci if each in _PCI}
    found |= {name for name, there in (("cuda", l4t), ("edgetpu", apex), ("rknpu", rknpu)) if there}
    says = list(hailo)
    if says:
        chips = [each[1].lower() for line in says if (each := _architecture(line))]
        found = {name for name in found if not name.startswith("hailo")} | {*(chips or ["hailo"])}
    return tuple(sorted(found))


def _architecture(line: str) -> re.Match[str] | None:
    return re.match(r"Device Architecture: (HAILO\w+)", line)

"""What installers ask (PEP 600): on an emulated phone with Termux, as on a real one, nothing fits."""


def manylinux_compatible(_major: int, _minor: int, _arch: str) -> bool:
    """No wheel for manylinux runs on bionic."""
    return False

"""What a TensorRT engine is built for: two devices of which this is equal can share one. Pure."""

from orchestrator.inventory.facts import Facts
from orchestrator.values import Value

CAPABILITY = {
    "tegra210": "5.3",  # Nano, TX1
    "tegra186": "6.2",  # TX2
    "tegra194": "7.2",  # Xavier
    "tegra234": "8.7",  # Orin
    "tegra264": "11.0",  # Thor
}
"""System on a chip → compute capability of its GPU. Source: NVIDIA's table of CUDA GPUs."""


class Hardware(Value):
    """A GPU and the software that an engine's bytes depend on; its fields are the engine's key.

    The board is part of it: modules of one compute capability differ in how many multiprocessors
    they have and in memory, and NVIDIA warns of engines that were built on another model.
    Source: TensorRT developer guide, "Engine Portability".
    """

    board: str
    capability: str
    tensorrt: str
    jetpack: str

    def __str__(self) -> str:
        return (
            f"{self.board}, SM {self.capability}, TensorRT {self.tensorrt}, JetPack {self.jetpack}"
        )


def hardware(facts: Facts) -> Hardware | None:
    """What engines for a device are built for; None where it is no Jetson with TensorRT."""
    capability, tensorrt = CAPABILITY.get(facts.soc), facts.software_version("tensorrt")
    if capability is None or tensorrt is None:
        return None
    jetpack = facts.software_version("jetpack") or (f"of L4T {facts.l4t}" if facts.l4t else "?")
    return Hardware(board=facts.board, capability=capability, tensorrt=tensorrt, jetpack=jetpack)

"""How a maker's own compiler made an artifact, which the bytes themselves do not say. Pure."""

from pydantic import Field

from orchestrator.artifact.golden import GoldenSet
from orchestrator.catalog.assignment import Figures
from orchestrator.inventory.hardware import Hardware
from orchestrator.values import Name, Sha256, Value


class Compilation(Value):
    """A compiler's name and version, where it ran, of what, and what it said: kept as evidence.

    `made_of` is the digest of the artifact that was compiled, `log` that of the compiler's own
    words. For an Edge TPU, `accelerated` operations run on it and `remaining` ones on the
    processor, counted in the file itself; `streamed_bytes` of weights do not fit into its memory
    and cross the bus at every inference.
    """

    by: str
    where: str = Field(default="", exclude_if=lambda value: not value)
    made_of: Sha256
    log: Sha256
    accelerated: int | None = Field(default=None, exclude_if=lambda value: value is None)
    remaining: int | None = Field(default=None, exclude_if=lambda value: value is None)
    streamed_bytes: int | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def words(self) -> str:
        """What a person should know of it; empty where all is as hoped."""
        said = []
        if self.remaining:
            whole = (self.accelerated or 0) + self.remaining
            said.append(f"{self.remaining} of {whole} operations run on the processor")
        if self.streamed_bytes:
            said.append(f"{self.streamed_bytes} bytes of weights are streamed at every inference")
        return "; ".join(said)


class Engine(Value):
    """A variant as built on one kind of hardware, and what it measured there.

    `accepted` is whether its golden cases came out right there; one that was not built or proved
    says why and is built again when asked for. `p50_ms` and `p95_ms` were measured on `device`;
    `figures` are those of the artifact it was made of, beside which it was proved.
    """

    hardware: Hardware
    device: Name
    accepted: bool
    because: str = ""
    sha256: Sha256 | None = None
    size_bytes: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    figures: Figures | None = None
    golden: GoldenSet | None = None
    compilation: Compilation | None = None

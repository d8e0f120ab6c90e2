"""What a search for a mixed-precision variant found: which blocks stayed float, and why. Pure."""

from orchestrator.values import Value

NAMED = 4
"""How many blocks are named in a sentence; the others are counted."""


class Block(Value):
    """Neighbouring operations that are quantized together or not at all.

    `snr_db` is its sensitivity: signal over deviation of the model's outputs, in decibels, where
    this block alone is int8. The lower, the more sensitive. Found on calibration samples; no
    labels are needed.
    """

    name: str
    operations: tuple[str, ...]
    snr_db: float


class Candidate(Value):
    """One mixture that was made and judged: the `kept` most sensitive blocks float, the rest int8."""

    kept: int
    passed: bool
    because: str = ""


class Mixture(Value):
    """Blocks in the order of the model, names of those that stayed float, and what was tried."""

    blocks: tuple[Block, ...]
    kept: tuple[str, ...]
    tried: tuple[Candidate, ...]

    @property
    def passed(self) -> bool:
        """Whether what was chosen passed the gate; otherwise nothing short of float32 did."""
        return any(each.passed and each.kept == len(self.kept) for each in self.tried)

    @property
    def words(self) -> str:
        """What a person should know of it."""
        count, tried = len(self.blocks), _counted(len(self.tried), "mixture")
        if not self.passed:
            return (
                f"no mixture short of float32 passes: {tried} tried, in the last one "
                f"{len(self.kept)} of {count} blocks were float"
            )
        if not self.kept:
            return f"int8 alone passes: none of {_counted(count, 'block')} had to stay float"
        named = ", ".join(self.kept[:NAMED])
        more = f" and {len(self.kept) - NAMED} more" if len(self.kept) > NAMED else ""
        return f"{len(self.kept)} of {count} blocks stayed float: {named}{more} ({tried} tried)"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"

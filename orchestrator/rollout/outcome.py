"""What became of one step on one device: never only "failed"."""

from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator

from orchestrator.inventory.runner import Proof
from orchestrator.values import Value

EVIDENCE_BYTES = 16 * 1024
"""The most that is kept of one failure."""


def _capped(text: str) -> str:
    """The end of a text, so that it has at most `EVIDENCE_BYTES` in UTF-8."""
    return text.encode()[-EVIDENCE_BYTES:].decode("utf-8", "ignore")


Evidence = Annotated[str, AfterValidator(_capped)]
"""Versions, last words and what the kernel said, for whoever was not there."""


class Status(StrEnum):
    """How a step ended. Whatever is called failed left a proven release running."""

    SUCCEEDED = "succeeded"
    ALREADY_CURRENT = "already-current"
    NO_VARIANT = "no-variant"
    DEFERRED = "deferred"
    FAILED_UNCHANGED = "failed-unchanged"
    FAILED_ROLLED_BACK = "failed-rolled-back"
    FAILED_UNKNOWN = "failed-unknown"
    REFUSED = "refused"
    ABORTED = "aborted"

    @property
    def failed(self) -> bool:
        """Whether a device or a model is at fault, so that a gate counts it."""
        return self in (Status.FAILED_UNCHANGED, Status.FAILED_ROLLED_BACK, Status.FAILED_UNKNOWN)


class Smoke(Value):
    """What the smoke test measured on the device: latency of one inference, resident memory.

    A `proof` of ``runs-only`` says that outputs were not compared with the golden ones.
    """

    passed: bool
    because: str = ""
    proof: Proof = Proof.COMPARED
    runtime: str = ""
    cases: int = 0
    worst_output: str = ""
    worst_diff: float | None = None
    allowed_diff: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    load_ms: float | None = None
    rss_mib: float | None = None


class Outcome(Value):
    """One row of the ledger to be: what was tried on a device, and how it ended.

    `bytes_sent` counts what was streamed in all attempts, and `size_bytes` what a whole transfer
    would have been; `sent_as` says how the difference came about, `bytes_per_s` what the line
    carried when enough was sent to tell.
    """

    device: str
    model: str
    status: Status
    was: str | None = None
    release: str | None = None
    because: str = ""
    code: str = ""
    hint: str = ""
    bytes_sent: int = 0
    size_bytes: int = 0
    sent_as: str = ""
    bytes_per_s: float | None = None
    attempts: int = 1
    seconds: float = 0.0
    smoke: Smoke | None = None
    fingerprint: str | None = None
    evidence: Evidence = ""

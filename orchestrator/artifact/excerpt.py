"""A few evaluation samples, as one artifact takes them: what a device judges it by."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The bytes of an ``.npz`` with ``in_0`` …, ``y_0`` … and the metric; see `build.extraction`.

    `data` is the digest of the labels: figures on equal ones may be compared.
    """

    content: bytes
    sha256: str
    metric: str
    data: str

"""Golden cases: inputs with the outputs they must give, and how far an output may stray."""

from typing import Annotated

from pydantic import Field

from orchestrator.catalog.variant import Precision
from orchestrator.values import Sha256, Value

TOLERANCE: dict[Precision, float] = {
    Precision.FLOAT32: 1e-3,
    Precision.FLOAT16: 1e-2,
    Precision.INT8_DYNAMIC: 5e-2,
    Precision.INT8_WEIGHTS: 1e-3,
    Precision.INT8: 5e-2,
    Precision.INT8_IO: 5e-2,
    Precision.INT8_SYMMETRIC: 5e-2,
    Precision.INT16X8: 1e-2,
}
"""How far a float output may be off, as a share of that output's range over all golden cases.

Kernels of other CPUs add in another order and, quantized, may round to a neighbouring step; the
shares leave room for that and for nothing else. Integer outputs must be equal.
"""


class Tolerance(Value):
    """How far one named output may be from its golden values, in that output's own unit."""

    output: str
    max_abs_diff: Annotated[float, Field(ge=0)]


class GoldenSet(Value):
    """The golden cases of one artifact: an ``.npz`` in the store, and the tolerances.

    The file holds ``in_<input>`` and ``out_<output>`` for every input and output of the model,
    each with the cases along the first axis, exactly as the runtime takes and gives them
    (preprocessed, quantized where the variant's interface is). An array ``stateful`` is there
    where the model keeps state between runs, so that each case needs a fresh interpreter.
    """

    sha256: Sha256
    size_bytes: int
    cases: Annotated[int, Field(ge=1)]
    tolerances: tuple[Tolerance, ...]

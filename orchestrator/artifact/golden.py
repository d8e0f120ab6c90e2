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
    Precision.MIXED: 5e-2,
    Precision.INT8_IO: 5e-2,
    Precision.INT8_SYMMETRIC: 5e-2,
    Precision.INT16X8: 1e-3,
    Precision.AS_IS: 5e-2,
}
"""How far an output may be off, as a share of that output's range over all golden cases.

Kernels of other CPUs add in another order and, quantized, may round to a neighbouring step; the
shares leave room for that and for nothing else. Outputs that are integers by nature must be equal.

Measured on two trained CNNs, each file run by unlike kernels (LiteRT: XNNPACK, built-in and
reference ones; ONNX Runtime: fused and unfused): weight-only int8 9e-7, as float32; int16x8 equal;
float16 in ONNX 2e-3 where half precision is computed with rather than converted; int8 0.4 to 2.4 %
(6 steps of 255), symmetric int8 up to 3.1 %.
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

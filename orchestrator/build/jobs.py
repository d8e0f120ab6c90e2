"""What the builder asks of a worker process and what it gets back: values in two JSON files."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from orchestrator.artifact.golden import Tolerance
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import Format, Precision
from orchestrator.values import Value


class Samples(Value):
    """The data files of a model, and how their samples become the model's input.

    Paths are below `folder` and are shown as they stand in the catalog.
    """

    folder: str
    evaluation: str | None = None
    calibration: str | None = None
    golden: str | None = None
    cases: int
    preprocessing: Preprocessing

    @property
    def proving(self) -> str | None:
        """The file whose first samples are the golden cases."""
        return self.golden or self.evaluation or self.calibration


class Convert(Value):
    """Make the float32 model of one format from the source and check it against the source."""

    step: Literal["convert"] = "convert"
    source: str
    shown: str
    format: Format
    samples: Samples
    onnx2tf: str | None = None
    out: str


class Quantize(Value):
    """Make a smaller model of the same format from a float32 one."""

    step: Literal["quantize"] = "quantize"
    float_model: str
    format: Format
    precision: Precision
    samples: Samples
    out: str


class Measure(Value):
    """Measure an artifact and make its golden set; `float_model` is what it is compared with."""

    step: Literal["measure"] = "measure"
    artifact: str
    float_model: str
    format: Format
    precision: Precision
    samples: Samples
    out: str


Job: TypeAlias = Annotated[Convert | Quantize | Measure, Field(discriminator="step")]


class Made(Value):
    """A model file was written to the job's `out`.

    `max_abs_diff` is how far a float32 model's outputs are from its source's, where compared.
    """

    kind: Literal["made"] = "made"
    max_abs_diff: float | None = None


class Measured(Value):
    """Figures of an artifact, and its golden set written to the job's `out`.

    `snr_db` compares the outputs with the float32 model's: signal over deviation in decibels,
    None where there is no deviation or no evaluation data. `no_golden` says why there is no
    golden set, if there is none.
    """

    kind: Literal["measured"] = "measured"
    figures: Figures
    snr_db: float | None = None
    tolerances: tuple[Tolerance, ...] = ()
    cases: int = 0
    no_golden: str = ""


class Failed(Value):
    """The step did not work out; `lasting` when it would fail in the same way again."""

    kind: Literal["failed"] = "failed"
    because: str
    lasting: bool = True


class Refused(Value):
    """What was handed in cannot be meant: the parts of the error to raise."""

    kind: Literal["refused"] = "refused"
    error: Literal["source", "data", "golden"]
    file: str
    message: str
    hint: str


Result: TypeAlias = Annotated[Made | Measured | Failed | Refused, Field(discriminator="kind")]

JOB: TypeAdapter[Convert | Quantize | Measure] = TypeAdapter(Job)
RESULT: TypeAdapter[Made | Measured | Failed | Refused] = TypeAdapter(Result)

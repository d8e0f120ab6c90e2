"""What the builder asks of a worker process and what it gets back: values in two JSON files."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, TypeAdapter

from orchestrator.artifact.golden import Tolerance
from orchestrator.artifact.mixture import Block, Mixture
from orchestrator.catalog.acceptance import Acceptance, Metric
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.pruning import Pruning, Sparsity
from orchestrator.catalog.variant import Format, Recipe
from orchestrator.values import Value


class Samples(Value):
    """The data files of a model, and how their samples become the model's input.

    Paths are below `folder` and are shown as they stand in the catalog.
    """

    folder: str
    evaluation: str | None = None
    calibration: str | None = None
    golden: str | None = None
    training: str | None = None
    cases: int
    preprocessing: Preprocessing
    check: bool = True

    @property
    def proving(self) -> str | None:
        """The file whose first samples are the golden cases."""
        return self.golden or self.evaluation or self.calibration


class Prune(Value):
    """Make a source with fewer weights from a source; both of Keras, or both ONNX."""

    step: Literal["prune"] = "prune"
    source: str
    shown: str
    pruning: Pruning
    samples: Samples
    out: str


class Convert(Value):
    """Make the float32 model of one format from the source and check it against the source.

    `original` is whether the source is as it was handed in: only that one has to give what the
    golden file expects.
    """

    step: Literal["convert"] = "convert"
    source: str
    shown: str
    original: bool = True
    recipe: Recipe
    samples: Samples
    onnx2tf: str | None = None
    provenance: str = ""
    trust: bool = False
    out: str


class Quantize(Value):
    """Make an artifact from its parent, in most cases the float32 model of the same format."""

    step: Literal["quantize"] = "quantize"
    parent: str
    recipe: Recipe
    samples: Samples
    provenance: str = ""
    out: str


class Sense(Value):
    """Find out what each block of a float32 model loses by being int8, on calibration samples."""

    step: Literal["sense"] = "sense"
    parent: str
    recipe: Recipe
    samples: Samples


class Mix(Value):
    """Make int8 of a float32 model, with as few blocks float as the gate asks for.

    `reference` is what the gate compares with.
    """

    step: Literal["mix"] = "mix"
    parent: str
    reference: str
    recipe: Recipe
    samples: Samples
    acceptance: Acceptance
    blocks: tuple[Block, ...]
    provenance: str = ""
    out: str


class Identify(Value):
    """Find out what a source means, whatever its bytes are."""

    step: Literal["identify"] = "identify"
    source: str


class Measure(Value):
    """Measure an artifact and make its golden set; `reference` is what it is compared with.

    `weights` is the artifact's second file, where its format has one.
    """

    step: Literal["measure"] = "measure"
    artifact: str
    weights: str | None = None
    reference: str
    recipe: Recipe
    samples: Samples
    metric: Metric = Metric()
    out: str


class Extract(Value):
    """Write some evaluation samples as an artifact takes them, with what is needed to judge them."""

    step: Literal["extract"] = "extract"
    artifact: str
    weights: str | None = None
    format: Format
    samples: Samples
    metric: Literal["top1", "mse"]
    most: int
    out: str


AnyJob: TypeAlias = Prune | Convert | Quantize | Sense | Mix | Identify | Measure | Extract
Job: TypeAlias = Annotated[AnyJob, Field(discriminator="step")]


class Made(Value):
    """A model file was written to the job's `out`.

    `max_abs_diff` is how far a float32 model's outputs are from its source's, where compared;
    `mixture` what a search found, where there was one.
    """

    kind: Literal["made"] = "made"
    max_abs_diff: float | None = None
    mixture: Mixture | None = None


class Sensed(Value):
    """The blocks of a model, in its order, with their sensitivities."""

    kind: Literal["sensed"] = "sensed"
    blocks: tuple[Block, ...]


class Pruned(Value):
    """A source with fewer weights was written to the job's `out`; what was achieved."""

    kind: Literal["pruned"] = "pruned"
    sparsity: Sparsity


class Identified(Value):
    """What a source is, found out without running it.

    `digest` is that of its architecture and weights. `legacy` is whether Keras 1 or 2 wrote it,
    `code` what in it is a program, `quantized` what in it is no float32 number any more.
    """

    kind: Literal["identified"] = "identified"
    digest: str
    legacy: bool = False
    code: str = ""
    quantized: str = ""


class Measured(Value):
    """Figures of an artifact, and its golden set written to the job's `out`.

    `no_golden` says why there is no golden set, if there is none.
    """

    kind: Literal["measured"] = "measured"
    figures: Figures
    tolerances: tuple[Tolerance, ...] = ()
    cases: int = 0
    no_golden: str = ""


class Extracted(Value):
    """Samples were written to the job's `out`; `data` is the digest of what they are judged by."""

    kind: Literal["extracted"] = "extracted"
    data: str


class Failed(Value):
    """The step did not work out; `lasting` when it would fail in the same way again.

    `log` is what the worker wrote, as a path below the site.
    """

    kind: Literal["failed"] = "failed"
    because: str
    lasting: bool = True
    log: str = ""


class Refused(Value):
    """What was handed in cannot be meant: the parts of the error to raise."""

    kind: Literal["refused"] = "refused"
    error: Literal["source", "data", "golden"]
    file: str
    message: str
    hint: str


AnyResult: TypeAlias = Pruned | Made | Sensed | Identified | Measured | Extracted | Failed | Refused
Result: TypeAlias = Annotated[AnyResult, Field(discriminator="kind")]

JOB: TypeAdapter[AnyJob] = TypeAdapter(Job)
RESULT: TypeAdapter[AnyResult] = TypeAdapter(Result)

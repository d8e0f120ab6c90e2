"""What an artifact depends on, as one digest: source, data, recipe, and the tools used."""

from importlib.metadata import PackageNotFoundError, version

from pydantic import Field

from orchestrator.build.failures import MissingTool
from orchestrator.build.source_files import SAVED_MODEL
from orchestrator.catalog.acceptance import Acceptance
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import Format, Precision, Recipe
from orchestrator.values import Sha256, Value, canonical, digest

BUILDER = 6
"""Raise it when the builder's own code gives other bytes or figures for the same inputs."""

_RUNTIME = {
    Format.TFLITE: ("ai-edge-litert",),
    Format.ONNX: ("onnxruntime",),
    Format.ORT: ("onnxruntime", "onnx"),
    Format.OPENVINO: ("onnxruntime", "onnx", "openvino"),
}

_KERAS_TOOLS = {
    Format.TFLITE: ("tensorflow", "keras", "h5py"),
    Format.ONNX: ("tensorflow", "keras", "h5py", "tf2onnx", "onnx"),
}

_TENSORFLOW_TOOLS = {
    Format.TFLITE: ("tensorflow", "tf-keras"),
    Format.ONNX: ("tensorflow", "tf-keras", "tf2onnx", "onnx"),
}

_QUANTIZERS: dict[Format, tuple[str, ...]] = {
    Format.TFLITE: ("litert-quantizer",),
    Format.ONNX: ("onnx",),
    Format.ORT: (),
    Format.OPENVINO: (),
}


class Ingredients(Value):
    """Everything about a model that its artifacts depend on; data by digest, in order.

    `metric` is how they are judged, with the digest of the user's own file where there is one;
    `check` is whether calibration data is compared with the evaluation data. `acceptance` is what
    a search for a mixture goes by. `onnx2tf` is the version installed for ONNX → TFLite, None
    where it is not there. `legacy` is whether tf_keras reads the source, `trusted` the code in it
    that was let run, `quantized` what in it is quantized already.
    """

    source: Sha256
    suffix: str
    evaluation: Sha256 | None
    calibration: Sha256 | None
    golden: Sha256 | None
    training: Sha256 | None = Field(default=None, exclude_if=lambda value: value is None)
    cases: int
    preprocessing: Preprocessing
    metric: str = ""
    check: bool = False
    acceptance: Acceptance | None = None
    onnx2tf: str | None
    legacy: bool = False
    trusted: str = ""
    quantized: str = ""

    @property
    def from_onnx(self) -> bool:
        """Whether the source is ONNX."""
        return self.suffix == ".onnx"


class Step(Value):
    """One step, written down completely."""

    builder: int = BUILDER
    step: str
    recipe: Recipe
    ingredients: Ingredients
    tools: tuple[tuple[str, str], ...]


def conversion_key(ingredients: Ingredients, recipe: Recipe) -> str:
    """The digest of making an artifact; other data than what went into it is no part of it.

    Raises:
        MissingTool: a library for it is not installed.
    """
    if recipe.format.compiled and recipe.parent is not None:
        return digest(("compile", conversion_key(ingredients, recipe.parent), recipe))
    tools = _making_tools(ingredients, recipe)
    return _key("make", _used(_made_from(ingredients, recipe), recipe), recipe, tools)


def pruning_key(ingredients: Ingredients, recipe: Recipe) -> str:
    """The digest of making the pruned source, one for all formats and precisions.

    Statistics are found on the training data or, where there is none, on the calibration data.
    """
    unused: dict[str, object] = {
        "golden": None,
        "metric": "",
        "cases": 0,
        "acceptance": None,
        "onnx2tf": None,
    }
    checked = ingredients.check and ingredients.training is None
    if ingredients.training is not None:
        unused["calibration"] = None
    if not checked:
        unused["evaluation"] = None
    used = ingredients.model_copy(update={**unused, "check": checked})
    versions = _versions(_pruning_tools(ingredients), recipe)
    return digest(("prune", BUILDER, used, recipe.pruning, versions))


def pruned_suffix(ingredients: Ingredients) -> str:
    """The kind of file that a source of this kind becomes when it is pruned."""
    return ".onnx" if ingredients.from_onnx else ".keras"


def _made_from(ingredients: Ingredients, recipe: Recipe) -> Ingredients:
    """The same ingredients with the pruned source for the source, where a recipe prunes it."""
    source: dict[str, object] = {"training": None}
    if recipe.pruning:
        source["source"] = pruning_key(ingredients, recipe)
        source["suffix"] = pruned_suffix(ingredients)
    return ingredients.model_copy(update=source)


def _pruning_tools(ingredients: Ingredients) -> list[str]:
    kept = ["onnx", "onnxruntime"] if ingredients.from_onnx else ["tensorflow", "keras", "h5py"]
    return [*kept, "numpy"]


def sensitivity_key(ingredients: Ingredients, recipe: Recipe) -> str:
    """The digest of how sensitive a float32 model's blocks are to what a recipe does to them.

    Raises:
        MissingTool: a library for it is not installed.
    """
    alone = recipe.model_copy(update={"precision": Precision.INT8})
    tools = _making_tools(ingredients, alone)
    return _key("sense", _used(_made_from(ingredients, alone), alone), alone, tools)


def _making_tools(ingredients: Ingredients, recipe: Recipe) -> list[str]:
    tools = [*_RUNTIME[recipe.format], "numpy"]
    if recipe.pruning:
        tools += _pruning_tools(ingredients)
    if ingredients.suffix == ".tflite" or recipe.precision is Precision.AS_IS:
        return tools + [*_QUANTIZERS[recipe.format]] * (recipe.parent is not None)
    if ingredients.from_onnx:
        tools += ["onnx"]
    elif ingredients.legacy:
        tools += _TENSORFLOW_TOOLS[recipe.format]
        tools += ["h5py"] * (ingredients.suffix != SAVED_MODEL)
    else:
        tools += _KERAS_TOOLS[Format.ONNX if recipe.format.translated else recipe.format]
    if recipe.precision is not Precision.FLOAT32:
        tools += _QUANTIZERS[recipe.format]
    return tools


def provenance(ingredients: Ingredients, recipe: Recipe) -> str:
    """What a made file says of itself, as JSON: only what its bytes depend on.

    Data that a model is merely measured and checked with is no part of it: other evaluation
    data must not change the bytes that devices run, unless a search went by its verdict. A file
    taken as it is says nothing: it is not ours to change.
    """
    if recipe.precision is Precision.AS_IS:
        return ""
    calibrated = recipe.precision.calibrated or recipe.pruning is not None
    trained = {"training": ingredients.training} if recipe.pruning else {}
    said = {
        "source": ingredients.source,
        **recipe.model_dump(mode="json"),
        **trained,
        "builder": BUILDER,
        "calibration": ingredients.calibration if calibrated else None,
        "preprocessing": ingredients.preprocessing if calibrated else None,
        "tools": dict(_versions(_making_tools(ingredients, recipe), recipe)),
    }
    if recipe.precision.searched:
        said["evaluation"] = ingredients.evaluation
        said["judged_by"] = digest((ingredients.metric, ingredients.acceptance))
    if ingredients.trusted:
        said["trusted"] = ingredients.trusted
    return canonical({**said, "recipe": digest(said)}).decode().strip()


def measurement_key(ingredients: Ingredients, recipe: Recipe) -> str:
    """The digest of making and measuring an artifact: the key in the lock.

    What is compiled is proved by the golden cases of what it is compiled of. The compiler's version
    is not known before it runs, and is no part of it.
    """
    made = conversion_key(ingredients, recipe)
    if recipe.format.compiled and recipe.parent is not None:
        return digest(("compiled", made, measurement_key(ingredients, recipe.parent)))
    judged_by = ingredients.model_copy(
        update={
            "calibration": None,
            "training": None,
            "check": False,
            "acceptance": None,
            "onnx2tf": None,
        }
    )
    if judged_by.golden is None and judged_by.evaluation is None:
        judged_by = judged_by.model_copy(update={"calibration": ingredients.calibration})
    return digest(("measure", made, _key("measure", judged_by, recipe, ["numpy"])))


def _used(ingredients: Ingredients, recipe: Recipe) -> Ingredients:
    """What an artifact's bytes depend on: of the data, what it is calibrated and checked with.

    A search depends on all that it was judged by as well.
    """
    calibrated, searched = recipe.precision.calibrated, recipe.precision.searched
    checked = ingredients.check and calibrated
    unused: dict[str, object] = {"check": checked}
    if not searched:
        unused |= {"metric": "", "acceptance": None}
    if ingredients.golden is not None and not checked and not searched:
        unused["evaluation"] = None
    if not calibrated and (ingredients.golden or ingredients.evaluation):
        unused["calibration"] = None
    if recipe.format is not Format.TFLITE:
        unused["onnx2tf"] = None
    return ingredients.model_copy(update=unused)


def _key(step: str, ingredients: Ingredients, recipe: Recipe, tools: list[str]) -> str:
    versions = _versions(tools, recipe)
    return digest(Step(step=step, recipe=recipe, ingredients=ingredients, tools=versions))


def _versions(tools: list[str], recipe: Recipe) -> tuple[tuple[str, str], ...]:
    return tuple((name, _version(name, recipe)) for name in sorted(set(tools)))


def _version(package: str, recipe: Recipe) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise MissingTool(package, f"building {recipe.format} variants") from error

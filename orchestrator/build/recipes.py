"""What an artifact depends on, as one digest: source, data, recipe, and the tools used."""

from importlib.metadata import PackageNotFoundError, version

from orchestrator.build.failures import MissingTool
from orchestrator.build.source_files import SAVED_MODEL
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import Format, Precision, Recipe
from orchestrator.values import Sha256, Value, canonical, digest

BUILDER = 4
"""Raise it when the builder's own code gives other bytes or figures for the same inputs."""

_RUNTIME = {Format.TFLITE: ("ai-edge-litert",), Format.ONNX: ("onnxruntime",)}

_KERAS_TOOLS = {
    Format.TFLITE: ("tensorflow", "keras", "h5py"),
    Format.ONNX: ("tensorflow", "keras", "h5py", "tf2onnx", "onnx"),
}

_TENSORFLOW_TOOLS = {
    Format.TFLITE: ("tensorflow", "tf-keras"),
    Format.ONNX: ("tensorflow", "tf-keras", "tf2onnx", "onnx"),
}

_QUANTIZERS = {
    Format.TFLITE: ("litert-quantizer",),
    Format.ONNX: ("onnx",),
}


class Ingredients(Value):
    """Everything about a model that its artifacts depend on; data by digest, in order.

    `metric` is how they are judged, with the digest of the user's own file where there is one;
    `check` is whether calibration data is compared with the evaluation data. `onnx2tf` is the
    version installed for ONNX → TFLite, None where it is not there. `legacy` is whether tf_keras
    reads the source, `trusted` the code in it that was let run, `quantized` what in it is
    quantized already.
    """

    source: Sha256
    suffix: str
    evaluation: Sha256 | None
    calibration: Sha256 | None
    golden: Sha256 | None
    cases: int
    preprocessing: Preprocessing
    metric: str = ""
    check: bool = False
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
    tools = _making_tools(ingredients, recipe)
    return _key("make", _used(ingredients, recipe), recipe, tools)


def _making_tools(ingredients: Ingredients, recipe: Recipe) -> list[str]:
    tools = [*_RUNTIME[recipe.format], "numpy"]
    if ingredients.suffix == ".tflite" or recipe.precision is Precision.AS_IS:
        return tools + [*_QUANTIZERS[recipe.format]] * (recipe.parent is not None)
    if ingredients.from_onnx:
        tools += ["onnx"]
    elif ingredients.legacy:
        tools += _TENSORFLOW_TOOLS[recipe.format]
        tools += ["h5py"] * (ingredients.suffix != SAVED_MODEL)
    else:
        tools += _KERAS_TOOLS[recipe.format]
    if recipe.precision is not Precision.FLOAT32:
        tools += _QUANTIZERS[recipe.format]
    return tools


def provenance(ingredients: Ingredients, recipe: Recipe) -> str:
    """What a made file says of itself, as JSON: only what its bytes depend on.

    Data that a model is merely measured and checked with is no part of it: other evaluation
    data must not change the bytes that devices run. A file taken as it is says nothing: it is not
    ours to change.
    """
    if recipe.precision is Precision.AS_IS:
        return ""
    calibrated = recipe.precision.calibrated
    said = {
        "source": ingredients.source,
        **recipe.model_dump(mode="json"),
        "builder": BUILDER,
        "calibration": ingredients.calibration if calibrated else None,
        "preprocessing": ingredients.preprocessing if calibrated else None,
        "tools": dict(_versions(_making_tools(ingredients, recipe), recipe)),
    }
    if ingredients.trusted:
        said["trusted"] = ingredients.trusted
    return canonical({**said, "recipe": digest(said)}).decode().strip()


def measurement_key(ingredients: Ingredients, recipe: Recipe) -> str:
    """The digest of making and measuring an artifact: the key in the lock."""
    made = conversion_key(ingredients, recipe)
    judged_by = ingredients.model_copy(
        update={"calibration": None, "check": False, "onnx2tf": None}
    )
    if judged_by.golden is None and judged_by.evaluation is None:
        judged_by = judged_by.model_copy(update={"calibration": ingredients.calibration})
    return digest(("measure", made, _key("measure", judged_by, recipe, ["numpy"])))


def _used(ingredients: Ingredients, recipe: Recipe) -> Ingredients:
    """What an artifact's bytes depend on: of the data, what it is calibrated and checked with."""
    calibrated = recipe.precision.calibrated
    checked = ingredients.check and calibrated
    unused: dict[str, object] = {"metric": "", "check": checked}
    if ingredients.golden is not None and not checked:
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

"""What an artifact depends on, as one digest: source, data, recipe, and the tools used."""

from importlib.metadata import PackageNotFoundError, version

from orchestrator.build.failures import MissingTool
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import Format, Precision
from orchestrator.values import Sha256, Value, digest

BUILDER = 2
"""Raise it when the builder's own code gives other bytes or figures for the same inputs."""

_RUNTIME = {Format.TFLITE: ("ai-edge-litert",), Format.ONNX: ("onnxruntime",)}

_KERAS_TOOLS = {
    Format.TFLITE: ("tensorflow", "keras", "h5py"),
    Format.ONNX: ("tensorflow", "keras", "h5py", "tf2onnx", "onnx"),
}

_QUANTIZERS = {
    Format.TFLITE: ("litert-quantizer",),
    Format.ONNX: ("onnx",),
}


class Ingredients(Value):
    """Everything about a model that its artifacts depend on; data by digest, in order.

    `onnx2tf` is the version installed for ONNX → TFLite, None where it is not there.
    """

    source: Sha256
    suffix: str
    evaluation: Sha256 | None
    calibration: Sha256 | None
    golden: Sha256 | None
    cases: int
    preprocessing: Preprocessing
    onnx2tf: str | None

    @property
    def from_onnx(self) -> bool:
        """Whether the source is ONNX; otherwise it is Keras."""
        return self.suffix == ".onnx"


class Recipe(Value):
    """One step, written down completely."""

    builder: int = BUILDER
    step: str
    format: Format
    precision: Precision
    ingredients: Ingredients
    tools: tuple[tuple[str, str], ...]


def conversion_key(ingredients: Ingredients, form: Format, precision: Precision) -> str:
    """The digest of making an artifact; other data than what went into it is no part of it.

    Raises:
        MissingTool: a library for it is not installed.
    """
    tools = [*_RUNTIME[form], "numpy"]
    if ingredients.from_onnx:
        tools += ["onnx"]
    else:
        tools += _KERAS_TOOLS[form]
    if precision is not Precision.FLOAT32:
        tools += _QUANTIZERS[form]
    return _key("make", _used(ingredients, form, precision), form, precision, tools)


def measurement_key(ingredients: Ingredients, form: Format, precision: Precision) -> str:
    """The digest of making and measuring an artifact: the key in the lock."""
    made = conversion_key(ingredients, form, precision)
    judged_by = ingredients.model_copy(update={"calibration": None, "onnx2tf": None})
    if judged_by.golden is None and judged_by.evaluation is None:
        judged_by = judged_by.model_copy(update={"calibration": ingredients.calibration})
    return digest(("measure", made, _key("measure", judged_by, form, precision, ["numpy"])))


def _used(ingredients: Ingredients, form: Format, precision: Precision) -> Ingredients:
    """What an artifact's bytes depend on: of the data, what it is calibrated and checked with."""
    unused: dict[str, None] = {}
    if ingredients.golden is not None:
        unused["evaluation"] = None
    if precision is not Precision.INT8 and (ingredients.golden or ingredients.evaluation):
        unused["calibration"] = None
    if form is not Format.TFLITE:
        unused["onnx2tf"] = None
    return ingredients.model_copy(update=unused)


def _key(
    step: str, ingredients: Ingredients, form: Format, precision: Precision, tools: list[str]
) -> str:
    versions = tuple((name, _version(name, form)) for name in sorted(set(tools)))
    recipe = Recipe(
        step=step, format=form, precision=precision, ingredients=ingredients, tools=versions
    )
    return digest(recipe)


def _version(package: str, form: Format) -> str:
    try:
        return version(package)
    except PackageNotFoundError as error:
        raise MissingTool(package, f"building {form} variants") from error

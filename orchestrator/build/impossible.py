"""What cannot be made of a source at all, whatever its data: the reason and the next step."""

from orchestrator.build import onnx2tf
from orchestrator.build.recipes import Ingredients
from orchestrator.catalog.variant import Format, Precision, Recipe


def impossible(made_of: Ingredients, recipe: Recipe) -> str:
    """Why a recipe cannot be followed; empty where it can."""
    if recipe.format.compiled and recipe.parent is not None:
        return impossible(made_of, recipe.parent)
    own = {".tflite": Format.TFLITE, ".onnx": Format.ONNX}.get(made_of.suffix)
    if recipe.precision is Precision.AS_IS:
        if own is recipe.format and not recipe.pruning:
            return ""
        return (
            f"only a {recipe.format.suffix} source can be taken as it is: "
            f"leave out {recipe}, or hand in such a file"
        )
    if made_of.suffix == ".tflite" and recipe.format is not Format.TFLITE:
        return (
            "a .tflite source gives TFLite variants only: "
            "hand in the Keras model, SavedModel or .onnx it was made from"
        )
    if recipe.pruning and (made_of.legacy or made_of.suffix == ".tflite"):
        return (
            "only models of Keras 3 and .onnx can be pruned: save it again with Keras 3, "
            "or leave out pruning"
        )
    if made_of.quantized:
        return (
            f"its source is quantized already ({made_of.quantized}), and what that lost does not "
            f"come back: take it as it is ({own}-as-is), or hand in the float32 model"
        )
    if made_of.from_onnx and recipe.format is Format.TFLITE and made_of.onnx2tf is None:
        return onnx2tf.MISSING
    return ""

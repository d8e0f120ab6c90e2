"""float32 model → a smaller one of the same format; ONNX → other formats. Without TensorFlow."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.build import canonical, openvino_ir, ortformat
from orchestrator.build.calibration import calibration_set
from orchestrator.build.jobs import Made, Quantize
from orchestrator.build.provenance import embed
from orchestrator.build.runtimes import Arrays, OnnxSession, TfliteSession, opened
from orchestrator.build.samples import SampleSet
from orchestrator.catalog.variant import Format, Precision, Recipe

Quantizer = Callable[[Path, SampleSet | None, Path], None]

MOST_CALIBRATION = 500
"""Samples used to find the range of each tensor; more change nothing that can be measured."""


def tflite_float16(float_model: Path, _: SampleSet | None, out: Path) -> None:
    """Weights as float16, computed in float32 where the device has nothing better."""
    _litert_quantized(float_model, _float_casting, None, out)


def tflite_dynamic(float_model: Path, _: SampleSet | None, out: Path) -> None:
    """Weights as int8 per channel; activations are quantized while running."""
    _litert_quantized(float_model, _recipe("dynamic_wi8_afp32"), None, out)


def tflite_int8_weights(float_model: Path, _: SampleSet | None, out: Path) -> None:
    """Weights as int8 per channel, turned into float32 again when the model is loaded."""
    _litert_quantized(float_model, _recipe("weight_only_wi8_afp32"), None, out)


def tflite_int8(float_model: Path, calibration: SampleSet | None, out: Path) -> None:
    """Weights and activations as int8, inputs and outputs as they were.

    Ranges are the true minimum and maximum: the library's default, a moving average, clips
    (EfficientNet-Lite0: 66 % agreement with float32 against 89 %).
    """
    _tflite_static(float_model, _static_with_float_interface, calibration, out)


def tflite_int8_io(float_model: Path, calibration: SampleSet | None, out: Path) -> None:
    """As `tflite_int8`, and inputs and outputs are int8 too, with a scale and a zero point."""
    _tflite_static(float_model, _static, calibration, out)


def tflite_int16x8(float_model: Path, calibration: SampleSet | None, out: Path) -> None:
    """Activations as int16, weights as int8 per channel, inputs and outputs as they were."""
    _tflite_static(float_model, _static16_with_float_interface, calibration, out)


def onnx_float16(float_model: Path, _: SampleSet | None, out: Path) -> None:
    """Weights and arithmetic as float16, inputs and outputs as they were."""
    float16: Any = importlib.import_module("onnxruntime.transformers.float16")
    model = canonical.parsed(float_model.read_bytes())
    halved = float16.convert_float_to_float16(model, keep_io_types=True)
    out.write_bytes(canonical.canonical_bytes(halved))


def onnx_int8(float_model: Path, calibration: SampleSet | None, out: Path) -> None:
    """QDQ with unsigned activations and signed weights per channel, min-max ranges.

    Per tensor destroys depthwise nets (64 % agreement against 89 %); percentile and entropy
    calibration take gigabytes and gain nothing. The graph is folded and fused before.
    """
    _onnx_static(float_model, calibration, out, "QUInt8", {})


def onnx_int8_symmetric(float_model: Path, calibration: SampleSet | None, out: Path) -> None:
    """QDQ as TensorRT reads it: signed, every zero point 0, biases left in float."""
    asked = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False}
    _onnx_static(float_model, calibration, out, "QInt8", asked)


def _tflite_static(
    float_model: Path,
    recipe: Callable[[Any], None],
    calibration: SampleSet | None,
    out: Path,
) -> None:
    assert calibration is not None
    session = TfliteSession(float_model)
    feeds = [_native(session, calibration, i) for i in calibration.spread(MOST_CALIBRATION)]
    _litert_quantized(float_model, recipe, feeds, out)


def _onnx_static(
    float_model: Path,
    calibration: SampleSet | None,
    out: Path,
    activations: str,
    asked: dict[str, bool],
) -> None:
    assert calibration is not None
    ort: Any = importlib.import_module("onnxruntime.quantization")
    shapes: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
    session = OnnxSession(float_model)
    ready, raw = out.with_suffix(".ready"), out.with_suffix(".raw")
    shapes.quant_pre_process(str(float_model), str(ready), skip_symbolic_shape=True)
    feeds = [_native(session, calibration, i) for i in calibration.spread(MOST_CALIBRATION)]
    ort.quantize_static(
        str(ready),
        str(raw),
        _reader(ort, feeds),
        quant_format=ort.QuantFormat.QDQ,
        per_channel=True,
        activation_type=getattr(ort.QuantType, activations),
        weight_type=ort.QuantType.QInt8,
        calibrate_method=ort.CalibrationMethod.MinMax,
        extra_options=asked,
    )
    out.write_bytes(canonical.canonical_bytes(canonical.parsed(raw.read_bytes())))


QUANTIZERS: dict[tuple[Format, Precision], Quantizer] = {
    (Format.TFLITE, Precision.FLOAT16): tflite_float16,
    (Format.TFLITE, Precision.INT8_DYNAMIC): tflite_dynamic,
    (Format.TFLITE, Precision.INT8_WEIGHTS): tflite_int8_weights,
    (Format.TFLITE, Precision.INT8): tflite_int8,
    (Format.TFLITE, Precision.INT8_IO): tflite_int8_io,
    (Format.TFLITE, Precision.INT16X8): tflite_int16x8,
    (Format.ONNX, Precision.FLOAT16): onnx_float16,
    (Format.ONNX, Precision.INT8): onnx_int8,
    (Format.ONNX, Precision.INT8_SYMMETRIC): onnx_int8_symmetric,
}


def quantize(job: Quantize) -> Made:
    """Write the artifact to ``job.out``."""
    parent = Path(job.parent)
    if job.recipe.format.translated:
        _translate(parent, job.recipe, job.provenance, Path(job.out))
        return Made()
    calibration: SampleSet | None = None
    if job.recipe.precision.calibrated and job.samples.calibration:
        inputs = tuple(each.tensor for each in opened(parent, job.recipe.format).inputs)
        calibration = calibration_set(job.samples, inputs)
    QUANTIZERS[job.recipe.format, job.recipe.precision](parent, calibration, Path(job.out))
    return Made()


def _translate(model: Path, recipe: Recipe, provenance: str, out: Path) -> None:
    """Write an ONNX artifact in another format; what it says of itself goes along."""
    signed = out.with_name("signed.onnx")
    signed.write_bytes(model.read_bytes())
    embed(signed, provenance)
    if recipe.format is Format.ORT:
        ortformat.write(signed, out)
    else:
        openvino_ir.write(signed, out, halved=recipe.precision is Precision.FLOAT16)


def _litert_quantized(
    float_model: Path, recipe: Callable[[Any], None], feeds: list[Arrays] | None, out: Path
) -> None:
    quantizer: Any = importlib.import_module("litert_quantizer.quantizer")
    work = quantizer.Quantizer(str(float_model))
    recipe(work)
    ranges = None if feeds is None else _ranges(float_model, work, feeds)
    work.quantize(ranges).export_model(str(out), overwrite=True)


def _ranges(float_model: Path, work: Any, feeds: list[Arrays]) -> Any:
    calibrator: Any = importlib.import_module("litert_quantizer.calibrator")
    manager: Any = importlib.import_module("litert_quantizer.recipe_manager")
    updates: Any = importlib.import_module("litert_quantizer.utils.qsv_utils")
    recipes = manager.RecipeManager()
    recipes.load_quantization_recipe(work.get_quantization_recipe())
    calibration = calibrator.Calibrator(
        str(float_model), num_threads=1, qsv_update_func=updates.min_max_update
    )
    signature = next(iter(calibration.get_signature_list()), None)
    calibration.calibrate({signature: feeds}, recipes)
    return calibration.get_model_qsvs()


def _recipe(name: str) -> Callable[[Any], None]:
    def load(work: Any) -> None:
        recipes: Any = importlib.import_module("litert_quantizer.recipe")
        work.load_quantization_recipe(getattr(recipes, name)())

    return load


def _static(work: Any) -> None:
    """int8 throughout; one scale for the weights of a general matrix product.

    LiteRT's int8 BATCH_MATMUL reads one scale only: with one per channel it gives zeros.
    """
    _recipe("static_wi8_ai8")(work)
    _one_scale_for_products(work, activation_bits=8)


def _static_with_float_interface(work: Any) -> None:
    """int8 throughout, float at the edges."""
    _static(work)
    _float_interface(work)


def _static16_with_float_interface(work: Any) -> None:
    """int16 between the weights of int8, float at the edges."""
    _recipe("static_wi8_ai16")(work)
    _one_scale_for_products(work, activation_bits=16)
    _float_interface(work)


def _one_scale_for_products(work: Any, *, activation_bits: int) -> None:
    types: Any = importlib.import_module("litert_quantizer.qtyping")
    work.update_quantization_recipe(
        regex=".*",
        operation_name=types.TFLOperationName.BATCH_MATMUL,
        algorithm_key="min_max_uniform_quantize",
        op_config=types.OpQuantizationConfig(
            activation_tensor_config=types.TensorQuantizationConfig(
                num_bits=activation_bits, symmetric=activation_bits == 16
            ),
            weight_tensor_config=types.TensorQuantizationConfig(
                num_bits=8, symmetric=True, granularity=types.QuantGranularity.TENSORWISE
            ),
            compute_precision=types.ComputePrecision.INTEGER,
        ),
    )


def _float_interface(work: Any) -> None:
    types: Any = importlib.import_module("litert_quantizer.qtyping")
    for place in (types.TFLOperationName.INPUT, types.TFLOperationName.OUTPUT):
        work.update_quantization_recipe(
            regex=".*", operation_name=place, algorithm_key="no_quantize"
        )


def _float_casting(work: Any) -> None:
    types: Any = importlib.import_module("litert_quantizer.qtyping")
    work.update_quantization_recipe(
        regex=".*",
        operation_name=types.TFLOperationName.ALL_SUPPORTED,
        algorithm_key="float_casting",
        op_config=types.OpQuantizationConfig(
            weight_tensor_config=types.TensorQuantizationConfig(
                num_bits=16, dtype=types.TensorDataType.FLOAT
            ),
            compute_precision=types.ComputePrecision.FLOAT,
        ),
    )


def _native(session: TfliteSession | OnnxSession, samples: SampleSet, index: int) -> Arrays:
    feed = samples.feed(index)
    return {each.tensor.name: each.native(feed[each.tensor.name]) for each in session.inputs}


def _reader(ort: Any, feeds: list[Arrays]) -> Any:
    class Reader(ort.CalibrationDataReader):  # type: ignore[misc]
        """The calibration samples in order, once."""

        def __init__(self) -> None:
            self._left = iter(feeds)

        def get_next(self) -> Arrays | None:
            return next(self._left, None)

    return Reader()

"""One variant by its tool's own documented calls, as a script somebody would write."""

import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2] / "inventory" / "demo"
SOURCE = next(iter(sorted((ROOT / "models").glob("fashion-v3.keras"))))


def main(variant: str, out: Path) -> None:
    """Convert the demo's model."""
    samples = np.load(ROOT / "data" / "calibration.npz")["x"][:100].astype("float32") / 255
    if variant.startswith("tflite"):
        tflite(variant, samples, out / f"{variant}.tflite")
    else:
        onnx(variant, samples, out)


def tflite(variant: str, samples: np.ndarray, out: Path) -> None:
    """TensorFlow's converter, with its documented flags."""
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(SOURCE, compile=False)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if variant != "tflite-float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "tflite-float16":
        converter.target_spec.supported_types = [tf.float16]
    if variant == "tflite-int8":
        converter.representative_dataset = lambda: ([x[None]] for x in samples)
    out.write_bytes(converter.convert())


def onnx(variant: str, samples: np.ndarray, out: Path) -> None:
    """Keras's export, and ONNX Runtime's static quantization."""
    import keras

    model = keras.saving.load_model(SOURCE, compile=False)
    plain = out / "direct.onnx"
    shape = (1, *model.inputs[0].shape[1:])
    spec = [keras.InputSpec(shape=shape, dtype="float32", name="image")]
    model.export(plain, format="onnx", input_signature=spec, verbose=False)
    if variant == "onnx-int8":
        from onnxruntime.quantization import CalibrationDataReader, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):
            def __init__(self) -> None:
                self.left = iter([{"image": x[None]} for x in samples])

            def get_next(self) -> dict[str, np.ndarray] | None:
                return next(self.left, None)

        ready = out / "ready.onnx"
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantize_static(ready, out / "direct-int8.onnx", Reader(), per_channel=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

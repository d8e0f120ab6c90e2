"""Train the demo's models: one good, one slightly better, one far too slow for any device.

Run as ``python demo/train.py OUT_FOLDER``. What is already there is kept, unless ``--again``.
"""

import argparse
import gzip
import os
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import numpy as np

SEED = 2026
FASHION = Path("/usr/share/datasets/fashion-mnist")
CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
EVALUATED, CALIBRATED = 2000, 200
SLOW_CHANNELS, SLOW_LAYERS = 208, 3


class Data(NamedTuple):
    """Images as uint8 of shape (n, 28, 28, 1), 0 to 255; classes as integers of shape (n,)."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    labels: tuple[str, ...]


def main() -> None:
    """Write models and data below the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Train the demo's models.")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    parser.add_argument("--again", action="store_true", help="replace what is already there")
    chosen = parser.parse_args()
    models, data = chosen.out / "models", chosen.out / "data"
    files = [models / f"fashion-v{version}.keras" for version in (1, 2, 3)]
    files += [models / "labels.txt", data / "evaluation.npz", data / "calibration.npz"]
    if all(file.exists() for file in files) and not chosen.again:
        print(f"{chosen.out}: everything is there (--again makes it anew)")
        return
    for folder in (models, data):
        folder.mkdir(parents=True, exist_ok=True)
    images = fashion() if FASHION.is_dir() else digits()
    write_data(images, models, data)
    write_models(images, models)


def fashion() -> Data:
    """Fashion-MNIST as Debian's package dataset-fashion-mnist has it."""
    parts = (idx(f"{part}-{kind}") for part in ("train", "t10k") for kind in ("images", "labels"))
    train_x, train_y, test_x, test_y = parts
    return Data(train_x[..., None], train_y, test_x[..., None], test_y, CLASSES)


def idx(name: str) -> np.ndarray:
    """One IDX file, gzipped or not: two zero bytes, type, rank, sizes, then unsigned bytes."""
    plain = next(p for p in sorted(FASHION.glob(f"{name}-idx?-ubyte*")))
    raw = plain.read_bytes()
    raw = gzip.decompress(raw) if plain.suffix == ".gz" else raw
    rank = raw[3]
    shape = np.frombuffer(raw, ">u4", rank, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def digits() -> Data:
    """scikit-learn's 1797 handwritten digits, enlarged from 8x8 to 28x28."""
    from sklearn.datasets import load_digits

    print(f"{FASHION} is missing (apt-get install dataset-fashion-mnist): using digits instead")
    bunch = load_digits()
    nearest = np.arange(28) * 8 // 28
    images = (bunch.images * (255 / 16)).astype(np.uint8)[:, nearest][:, :, nearest]
    order = np.random.default_rng(SEED).permutation(len(images))
    x, y = images[order][..., None], bunch.target[order].astype(np.uint8)
    cut = len(x) * 3 // 4
    return Data(x[:cut], y[:cut], x[cut:], y[cut:], tuple(str(digit) for digit in range(10)))


def write_data(images: Data, models: Path, data: Path) -> None:
    """Raw samples as the catalog's data files have them, and the names of the classes."""
    np.savez_compressed(
        data / "evaluation.npz",
        x=images.test_x[:EVALUATED],
        y=images.test_y[:EVALUATED].astype(np.int64),
    )
    np.savez_compressed(data / "calibration.npz", x=images.train_x[:CALIBRATED])
    (models / "labels.txt").write_text("\n".join(images.labels) + "\n")
    print(f"{data}: {EVALUATED} samples for evaluation at most, {CALIBRATED} for calibration")


def write_models(images: Data, models: Path) -> None:
    """Train version 1; go on training for version 3; slow version 1 down for version 2."""
    import keras

    keras.utils.set_random_seed(SEED)
    epochs = 1 if len(images.train_x) > 10_000 else 12
    model = network(keras)
    train(keras, model, images, epochs=2 * epochs, rate=3e-3)
    save(keras, model, models / "fashion-v1.keras", images)
    save(keras, slowed(keras, model), models / "fashion-v2.keras", images)
    train(keras, model, images, epochs=epochs, rate=8e-4)
    save(keras, model, models / "fashion-v3.keras", images)


def network(keras: Any) -> Any:
    """A small convolutional net: `image` (28, 28, 1) in 0 to 1, `scores` (10,) adding up to 1."""
    layers = keras.layers
    image = keras.Input((28, 28, 1), name="image")
    x = layers.Conv2D(16, 3, strides=2, activation="relu", name="edges")(image)
    x = layers.Conv2D(32, 3, activation="relu", name="parts")(x)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(64, activation="relu", name="whole")(x)
    return keras.Model(image, layers.Dense(10, activation="softmax", name="scores")(x))


def slowed(keras: Any, model: Any) -> Any:
    """The same function at a multiple of the price: wide convolutions that only copy.

    Few of their channels carry anything, and their kernels hand it on as it is (what comes in
    is never negative). No converter can know that; every precision pays for all of it.
    """
    layers = keras.layers
    image = keras.Input((28, 28, 1), name="image")
    edges, *rest = model.layers[1:]
    x = edges(image)
    few, many = x.shape[-1], SLOW_CHANNELS
    wide = [(3, many, many)] * SLOW_LAYERS
    for size, inputs, outputs in ((1, few, many), *wide, (1, many, few)):
        copy = layers.Conv2D(outputs, size, padding="same", activation="relu")
        x = copy(x)
        kernel = np.zeros((size, size, inputs, outputs), np.float32)
        kernel[size // 2, size // 2, range(few), range(few)] = 1
        copy.set_weights([kernel, np.zeros(outputs, np.float32)])
    for layer in rest:
        x = layer(x)
    return keras.Model(image, x)


def train(keras: Any, model: Any, images: Data, *, epochs: int, rate: float) -> None:
    """Adam with its usual settings over shuffled batches."""
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="sparse_categorical_crossentropy",
        steps_per_execution=16,
    )
    x, y = images.train_x.astype(np.float32) / 255, images.train_y
    model.fit(x, y, batch_size=192, epochs=epochs, verbose=0)


def save(keras: Any, model: Any, file: Path, images: Data) -> None:
    """Write a model without its optimizer, which is twice its size, and say how good it is."""
    few = images.test_x[:EVALUATED].astype(np.float32) / 255
    right = model.predict(few, batch_size=250, verbose=0).argmax(1) == images.test_y[:EVALUATED]
    keras.Model(model.inputs[0], model.outputs[0]).save(file)
    size_mb = file.stat().st_size / 1e6
    print(
        f"{file}: accuracy {right.mean():.4f}, {model.count_params()} parameters, {size_mb:.1f} MB"
    )


if __name__ == "__main__":
    main()

"""The arithmetic of pruning, what models.yaml may ask of it, and the words for what it buys."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifact.bought import Packed, bought
from orchestrator.artifact.lock import Lock, LockedModel, read_lock, write_lock
from orchestrator.build.failures import Unprunable
from orchestrator.build.magnitude import (
    channels_kept,
    kept,
    share_at,
    threshold_for,
    thresholds,
)
from orchestrator.build.recipes import Ingredients, conversion_key, provenance, pruning_key
from orchestrator.build.verified_sparsity import verified
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Model, Preprocessing, read_models
from orchestrator.catalog.pruning import PrunedLayer, Pruning, Sparsity
from orchestrator.catalog.variant import BUILDABLE, Variant, unpruned
from orchestrator.errors import BadInput
from orchestrator.values import digest

SHARES = st.floats(0.01, 0.99)
RANDOM = np.random.default_rng(3)


def weights(count, spread=1.0):
    """Weights of which no two have the same magnitude."""
    signs = RANDOM.choice([-1, 1], count)
    return (RANDOM.permutation(np.arange(1, count + 1)) / count * signs * spread).astype("f4")


@given(st.integers(1, 400), SHARES)
def test_as_many_weights_go_as_were_asked_for(count, sparsity):
    values = weights(count)

    gone = ~kept(values, threshold_for(values, sparsity))

    assert gone.sum() == round(sparsity * count)
    assert not gone.any() or np.abs(values[gone]).max() < np.abs(values[~gone]).min(initial=2)


@given(st.lists(st.sampled_from([-2.0, -1.0, 0.0, 1.0, 2.0]), min_size=1, max_size=60), SHARES)
def test_weights_of_equal_magnitude_go_or_stay_together(values, sparsity):
    some = np.array(values, "f4")

    gone = ~kept(some, threshold_for(some, sparsity))

    assert gone.sum() <= round(sparsity * some.size)
    assert not {*np.abs(some[gone])} & {*np.abs(some[~gone])}


@given(st.lists(st.integers(2, 60), min_size=2, max_size=4), SHARES)
def test_a_global_threshold_counts_all_layers_together_and_one_by_layer_each(sizes, sparsity):
    whole = weights(sum(sizes))
    kernels = np.split(whole, np.cumsum(sizes)[:-1])

    together = thresholds(kernels, Pruning(sparsity=sparsity))
    each = thresholds(kernels, Pruning(sparsity=sparsity, scope="layer"))

    assert len({*together}) == 1
    gone = sum(int((~kept(k, t)).sum()) for k, t in zip(kernels, together, strict=True))
    assert gone == round(sparsity * whole.size)
    for kernel, threshold in zip(kernels, each, strict=True):
        assert (~kept(kernel, threshold)).sum() == round(sparsity * kernel.size)


def test_a_given_threshold_is_the_magnitude_below_which_weights_go():
    kernel = np.array([-0.3, 0.1, 0.2, 0.2999, 0.0], "f4")

    assert thresholds([kernel], Pruning(threshold=0.2)) == [0.2]
    assert kept(kernel, 0.2).tolist() == [True, False, True, True, False]


@given(st.integers(1, 500))
def test_the_schedule_rises_to_what_was_asked_for_and_stays(steps):
    shares = [share_at(step, steps) for step in range(steps + 3)]

    assert shares == sorted(shares)
    assert shares[0] == 0
    assert set(shares[steps:]) == {1.0}


@given(st.integers(1, 100), SHARES)
def test_the_strongest_channels_stay_in_their_order_and_in_eights_where_there_are_many(
    count, share
):
    kernel = weights(9 * count).reshape(3, 3, count)

    stay = channels_kept(kernel, share)

    sums = np.abs(kernel.astype("f8")).sum(axis=(0, 1))
    gone = np.setdiff1d(np.arange(count), stay)
    assert len(stay) >= 1
    assert list(stay) == sorted({*stay})
    assert gone.size == 0 or sums[gone].max() <= sums[stay].min()
    assert count < 16 or len(stay) % 8 == 0 or len(stay) == count


def layer(weights_=100, left=50, **more):
    return PrunedLayer(name="conv", weights=weights_, left=left, **more)


def test_a_sparsity_that_was_not_reached_is_heard_of():
    with pytest.raises(Unprunable, match=r"0\.8 was asked for, and 0\.500 was achieved"):
        verified((layer(),), Pruning(sparsity=0.8), 0)
    with pytest.raises(Unprunable, match="no weight is below the threshold 1e-05"):
        verified((layer(left=100),), Pruning(threshold=1e-5), 0)
    assert verified((layer(), layer(300, 50)), Pruning(sparsity=0.75), 2).share == 0.75


HEAD = "models:\n  fashion:\n    source: {source}\n    version: 1.0.0\n{data}    variants:\n"


def read(line: str, source: str = "models/f.keras", training: str = "") -> Model:
    data = f"    data: {{training: {training}}}\n" if training else ""
    text = HEAD.format(source=source, data=data) + f"      {line}\n"
    return read_models(text, "models.yaml")["fashion"]


def test_a_pruned_variant_is_named_after_its_twin_and_says_how():
    line = (
        "tflite-int8-pruned-80: {pruning: {sparsity: 0.8, schedule: polynomial, epochs: 2}, "
        "archs: [aarch64]}"
    )

    model = read(line, training="t.npz")
    variant = model.variants[0]

    assert variant.recipe.pruning == Pruning(sparsity=0.8, schedule="polynomial", epochs=2)
    assert str(variant.recipe.reference) == "tflite-float32"
    assert variant.recipe.parent is not None
    assert variant.recipe.parent.pruning == variant.pruning
    assert Model.model_validate_json(model.model_dump_json()) == model
    assert (unpruned(variant.name), unpruned("tflite-int8")) == ("tflite-int8", None)


@pytest.mark.parametrize(
    ("line", "said", "next_"),
    [
        (
            "tflite-int8-pruned: {pruning: {sparsity: 80}}",
            "'sparsity' is 80: a share above 0 and below 1 was expected",
            "80 % is written 0.8",
        ),
        (
            "tflite-int8-pruned: {pruning: {sparsity: 0.5, threshold: 0.1}}",
            "'sparsity' and 'threshold' both say how much",
            "keep one of them",
        ),
        ("tflite-int8-pruned: {pruning: {}}", "it says nothing of how much", "sparsity: 0.5"),
        ("tflite-int8-pruned: {pruning: {threshold: -1}}", "'threshold' is -1: more than 0", ""),
        (
            "tflite-int8-pruned: {pruning: {sparsity: 0.5, schedule: polynomial}}",
            "'schedule' polynomial prunes while it trains, and 'epochs' is 0",
            "add epochs: 2",
        ),
        (
            "tflite-int8-pruned: {pruning: {threshold: 0.1, scope: layer}}",
            "'scope' goes with 'sparsity' only",
            "leave it out",
        ),
        (
            "tflite-int8-pruned: {pruning: {channels: 0.5, schedule: polynomial, epochs: 1}}",
            "'schedule' polynomial goes with 'sparsity' only",
            "`epochs` alone",
        ),
        (
            "tflite-int8-pruned: {pruning: {sparsity: 0.5, epochs: 2}}",
            "'tflite-int8-pruned' is to be trained for 2 epochs, and there are no samples for it",
            "data.training",
        ),
        ("tflite-int8-pruned:", "'tflite-int8-pruned' does not say how", "{sparsity: 0.5}"),
        (
            "tflite-int8: {pruning: {sparsity: 0.5}}",
            "'pruning' of 'tflite-int8' cannot be changed",
            "'tflite-int8-pruned'",
        ),
        ("tflite-int-pruned: {}", "no variant named 'tflite-int-pruned'; did you mean", ""),
        (
            "tflite-int8-pruned: {pruning: {sparsty: 0.5}}",
            "unknown key 'sparsty'; did you mean 'sparsity'?",
            "threshold",
        ),
    ],
)
def test_pruning_that_cannot_be_meant_is_refused_where_it_stands(line, said, next_):
    with pytest.raises(BadInput) as caught:
        read(line)

    assert caught.value.message.startswith(f"models.yaml:6: {said}")
    assert next_ in caught.value.hint


@pytest.mark.parametrize(
    ("source", "pruning", "said"),
    [
        ("m/f.tflite", "sparsity: 0.5", "and the source is a .tflite file"),
        ("m.d/f", "sparsity: 0.5", "and the source is a SavedModel folder"),
        ("m/f.onnx", "channels: 0.5", "is to lose channels, which is done to Keras models only"),
        ("m/f.onnx", "{sparsity: 0.5, epochs: 2}", "and ONNX models cannot be trained here"),
    ],
)
def test_a_source_that_cannot_be_pruned_like_that_is_refused(source, pruning, said):
    with pytest.raises(BadInput) as caught:
        read(f"onnx-int8-pruned: {{pruning: {{{pruning.strip('{}')}}}}}", source, "t.npz")

    assert caught.value.message.startswith("models.yaml:7: 'onnx-int8-pruned' ")
    assert said in caught.value.message
    assert caught.value.hint


INGREDIENTS = Ingredients(
    source="a" * 64,
    suffix=".onnx",
    evaluation="b" * 64,
    calibration="c" * 64,
    golden=None,
    cases=8,
    preprocessing=Preprocessing(),
    onnx2tf=None,
)


def pruned(name: str = "onnx-int8", **how: object) -> Variant:
    recipe = dict(BUILDABLE[name])
    return Variant.model_validate({**recipe, "name": f"{name}-pruned", "pruning": how})


def test_one_pruned_source_serves_every_variant_and_other_pruning_or_data_makes_another():
    int8, full = pruned(sparsity=0.5).recipe, pruned("onnx-float32", sparsity=0.5).recipe
    other = INGREDIENTS.model_copy(update={"calibration": "d" * 64})
    keys = {
        pruning_key(INGREDIENTS, int8),
        pruning_key(INGREDIENTS, pruned(sparsity=0.6).recipe),
        pruning_key(other, int8),
    }

    assert len(keys) == 3
    assert pruning_key(INGREDIENTS, int8) == pruning_key(INGREDIENTS, full)
    assert pruning_key(INGREDIENTS, int8) == pruning_key(
        INGREDIENTS.model_copy(update={"evaluation": None, "golden": "e" * 64}), int8
    )


def test_what_is_not_pruned_is_known_by_the_same_keys_whatever_models_are_trained_on():
    plain = BUILDABLE["onnx-int8"]
    trained = INGREDIENTS.model_copy(update={"training": "d" * 64})

    assert conversion_key(trained, plain) == conversion_key(INGREDIENTS, plain)
    assert provenance(trained, plain) == provenance(INGREDIENTS, plain)
    assert "pruning" not in provenance(INGREDIENTS, plain)
    assert digest(plain) == digest({"format": "onnx", "precision": "int8"})


def artifact(variant: str, number: int, value: float, p50_ms: float, **more: object) -> dict:
    return {
        "variant": variant,
        "key": f"{number:064x}",
        "status": "accepted",
        "format": "onnx",
        "sha256": f"{number:064x}",
        "size_bytes": 4000,
        "figures": Figures(size_bytes=4000, metric="top1", value=value, p50_ms=p50_ms),
        **more,
    }


def locked(*artifacts: dict) -> LockedModel:
    whole = {"name": "m", "version": "1", "source": "0" * 64, "preprocessing": {}}
    return LockedModel.model_validate({**whole, "artifacts": artifacts})


def test_what_pruning_buys_is_said_beside_the_twin():
    sparse = Sparsity(layers=(layer(),))
    narrow = Sparsity(layers=(layer(channels=4),))
    model = locked(
        artifact("onnx-int8", 1, 0.97, 0.4),
        artifact("onnx-int8-pruned", 2, 0.96, 0.41, sparsity=sparse),
        artifact("onnx-int8-pruned-half", 3, 0.95, 0.1, sparsity=narrow),
        artifact("onnx-float32-pruned", 4, 0.95, 0.1, sparsity=sparse),
    )
    packed = {f"{n:064x}": Packed(gzip=size, zstd=size - 50) for n, size in ((1, 3050), (2, 1050))}

    zeros, channels, alone = bought(model, packed)

    assert zeros.gain == pytest.approx(-0.01)
    assert "1,000 bytes after zstd against 3,000 (0.33 ×)" in zeros.words
    assert "sparsity does not make it faster: p50 0.41 ms against 0.4 (1.02 ×)" in zeros.words
    assert "there is less to compute: p50 0.1 ms against 0.4 (0.25 ×)" in channels.words
    assert alone.words.startswith("onnx-float32 was not built: add it to `variants`")


def test_a_lock_without_pruned_variants_says_nothing_of_pruning_and_one_with_them_survives():
    plain = Lock(models=(locked(artifact("onnx-int8", 1, 0.97, 0.4)),))
    with_one = Lock(
        models=(
            locked(artifact("onnx-int8-pruned", 2, 0.9, 0.4, sparsity=Sparsity(layers=(layer(),)))),
        )
    )

    assert "sparsity" not in write_lock(plain)
    assert read_lock(write_lock(with_one), "fleet.lock") == with_one


def test_a_list_of_variants_may_say_how_one_of_them_is_pruned():
    text = HEAD.format(source="models/f.keras", data="") + (
        "      - tflite-int8\n      - tflite-int8-pruned: {pruning: {sparsity: 0.5}}\n"
    )

    plain, pruned = read_models(text, "models.yaml")["fashion"].variants

    assert (plain.name, plain.pruning) == ("tflite-int8", None)
    assert (pruned.name, pruned.pruning) == ("tflite-int8-pruned", Pruning(sparsity=0.5))

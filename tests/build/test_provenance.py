"""Sources known by what they mean, files that say how they were made, rebuilds, and garbage."""

import io
import json
import os
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest

from orchestrator.artifact.lock import Lock
from orchestrator.build import provenance
from orchestrator.build.cache import Cache, Conversion
from orchestrator.build.collection import YOUNG_S, garbage, remove
from orchestrator.build.identity import semantic_sha256
from orchestrator.build.verification import comparisons, verified
from orchestrator.errors import NotFound


def resaved(source: Path, target: Path, *, weight: float = 0.0) -> Path:
    """A ``.keras`` file as saving it once more leaves it: other times, addresses and order."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in reversed(old.namelist()):
            data = old.read(name)
            if name == "metadata.json":
                data = json.dumps(json.loads(data) | {"date_saved": "later"}).encode()
            if name == "config.json":
                config = json.loads(data)
                config["config"]["layers"][1]["config"]["dtype"]["shared_object_id"] = 4711
                data = json.dumps(config, indent=1).encode()
            if name == "model.weights.h5":
                data = rewritten(data, weight)
            new.writestr(zipfile.ZipInfo(name, (2031, 1, 1, 0, 0, 0)), data)
    return target


def rewritten(data: bytes, weight: float) -> bytes:
    out = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as old, h5py.File(out, "w") as new:
        for name in (each for each in old if each != "optimizer"):
            old.copy(name, new)
        new.create_group("optimizer/vars").create_dataset("0", data=np.arange(9))
        if weight:
            first = new["layers/conv2d/vars/1"]
            first[0] = first[0] + weight
    return out.getvalue()


def test_a_model_saved_again_is_the_same_and_one_trained_further_is_not(catalog, tmp_path):
    source = catalog / "models/digits.keras"
    again = resaved(source, tmp_path / "again.keras")
    other = resaved(source, tmp_path / "other.keras", weight=1e-4)

    assert again.read_bytes() != source.read_bytes()
    assert semantic_sha256(again) == semantic_sha256(source)
    assert semantic_sha256(other) != semantic_sha256(source)


def test_an_onnx_model_exported_again_under_other_names_is_the_same(catalog, tmp_path):
    model = onnx.load(catalog / "models/digits.onnx")
    for node in model.graph.node:
        for places in (node.input, node.output):
            for index, name in enumerate(places):
                places[index] = {"c": "conv__17", "r": "relu__4"}.get(name, name)
    model.producer_version = "99"
    onnx.save(model, tmp_path / "again.onnx")

    assert semantic_sha256(tmp_path / "again.onnx") == semantic_sha256(
        catalog / "models/digits.onnx"
    )


def test_an_h5_file_is_known_by_its_network_and_weights(catalog, tmp_path):
    again = tmp_path / "again.h5"
    again.write_bytes((catalog / "models/digits.h5").read_bytes())
    with h5py.File(again, "a") as file:
        file.attrs["training_config"] = "{}"
        file.create_dataset("optimizer_weights/extra", data=np.arange(3))
    same = semantic_sha256(again)
    with h5py.File(again, "a") as file:
        file["model_weights/conv/conv/bias"][0] += 1

    assert same == semantic_sha256(catalog / "models/digits.h5")
    assert semantic_sha256(again) != same


def test_a_source_saved_again_builds_nothing_but_its_digest(
    built, shared, digits, catalog, spawned
):
    resaved(catalog / "models/digits.keras", catalog / "models/digits.again.keras")

    locked = shared.build(digits("digits.again.keras"))

    assert [a.sha256 for a in locked.artifacts] == [a.sha256 for a in built.artifacts]
    assert locked.source == built.source
    assert len(spawned) == 1

    shared.build(digits("digits.again.keras"))

    assert len(spawned) == 1


def test_every_file_says_from_what_and_by_what_it_was_made(built, shared):
    for artifact in built.artifacts:
        said = provenance.read(shared.store.path(artifact.sha256))

        assert said["source"] == built.source
        assert artifact.variant == f"{said['format']}-{said['precision']}"
        assert (said["calibration"] is not None) == artifact.variant.endswith("-int8")
        assert said["tools"]["numpy"] == np.__version__
        assert len(said["recipe"]) == 64


def test_other_evaluation_data_leaves_the_bytes_as_they_are(built, shared, digits, catalog):
    whole = np.load(catalog / "data/evaluation.npz")
    np.savez(catalog / "data/half.npz", x=whole["x"][:300], y=whole["y"][:300])

    locked = shared.build(digits(evaluation="half", variants=("onnx-float32", "onnx-int8")))

    for artifact in locked.artifacts:
        assert artifact.sha256 == built.artifact(artifact.variant).sha256
        assert artifact.figures.samples == 300


@pytest.mark.parametrize("variant", ["tflite-int8", "onnx-int8"])
def test_provenance_is_replaced_and_never_heaped_up(built, shared, tmp_path, variant):
    file = tmp_path / "model"
    file.write_bytes(shared.store.read(built.artifact(variant).sha256))

    provenance.embed(file, '{"one": 1}')
    once = file.read_bytes()
    provenance.embed(file, '{"two": 2}')
    provenance.embed(file, '{"one": 1}')

    assert file.read_bytes() == once
    assert provenance.read(file) == {"one": 1}


def test_a_file_without_provenance_says_nothing(catalog, tmp_path):
    (tmp_path / "text").write_text("no model at all")

    assert provenance.read(catalog / "models/digits.onnx") == {}
    assert provenance.read(tmp_path / "text") == {}


def test_a_rebuild_elsewhere_gives_the_same_bytes_and_other_bytes_are_named(
    built, shared, digits, catalog, tmp_path
):
    variants = ("onnx-float32", "onnx-int8")
    model = digits(variants=variants)

    found = verified(
        [model], Lock().merged(built), catalog, tmp_path, variants=None, jobs=2, watch=print
    )

    assert [(each.variant, each.file, each.equal) for each in found] == [
        (variant, file, True) for variant in variants for file in ("model", "golden")
    ]
    assert list(tmp_path.iterdir()) == []
    forged = built.artifact("onnx-int8").model_copy(update={"sha256": "0" * 64})
    (model_file, golden) = comparisons(built.model_copy(update={"artifacts": (forged,)}), built)
    assert (model_file.equal, golden.equal) == (False, True)
    assert (model_file.locked, model_file.rebuilt) == ("0" * 64, built.artifact("onnx-int8").sha256)


def test_what_was_never_built_cannot_be_verified(digits, catalog, tmp_path):
    with pytest.raises(NotFound, match="no built variant of digits named 'onnx-int8'") as refused:
        verified([digits()], Lock(), catalog, tmp_path, variants=["onnx-int8"], jobs=1, watch=print)
    assert refused.value.hint == "build it first: fleet build digits"


def test_garbage_is_what_neither_lock_nor_device_nor_cache_needs(site):
    store, cache = site.store, Cache(site.work / "cache", site.store)
    locked, cached, stale, orphan, young = (store.add(b"%d" % n * 99) for n in range(5))
    cache.put("1" * 64, Conversion(sha256=cached, size_bytes=99))
    cache.put("2" * 64, Conversion(sha256=stale, size_bytes=99))
    (site.work / "cache/files.json").write_text("{}")
    now = time.time()
    for digest in (locked, cached, stale, orphan):
        os.utime(store.path(digest), (now - 2 * YOUNG_S,) * 2)
    os.utime(site.work / "cache" / f"{'2' * 64}.json", (now - 40 * 86_400,) * 2)

    found = garbage(store, cache, [locked], unused_s=30 * 86_400, now=now)

    assert {file.name for file in found.files} == {stale, orphan}
    assert [file.stem for file in found.records] == ["2" * 64]
    assert (found.bytes, found.kept, found.kept_bytes) == (2 * 99, 3, 3 * 99)
    remove(found)
    assert [each in store for each in (locked, cached, stale, orphan, young)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    assert cache.get("1" * 64) is not None
    assert (site.work / "cache/files.json").exists()


def test_bytes_asked_for_again_are_young_again(site):
    digest = site.store.add(b"bytes")
    os.utime(site.store.path(digest), (0, 0))

    site.store.add(b"bytes")

    cache = Cache(site.work / "cache", site.store)
    assert garbage(site.store, cache, [], unused_s=0).files == ()

"""Wheels for devices: which ones a device takes, and that the next device gets the same."""

import pytest

from orchestrator.artifact.bundle import (
    Bundle,
    RuntimesLock,
    Target,
    Wheel,
    read_runtimes,
    write_runtimes,
)
from orchestrator.catalog.runtime import LITERT
from orchestrator.deploy.bootstrap import Unsuitable, suitable
from orchestrator.errors import BadInput
from orchestrator.inventory.profile import Runtime

# names of files as the index has them
LITERT_FILE = "ai_edge_litert-2.3.0-cp311-cp311-manylinux_2_27_x86_64.whl"
NUMPY_FILE = "numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
PROTOBUF_FILE = "protobuf-7.36.2-cp310-abi3-manylinux2014_x86_64.whl"
PURE_FILE = "flatbuffers-25.12.19-py2.py3-none-any.whl"

PI = Target(python="3.11", arch="aarch64", glibc=(2, 36))


def wheel(file: str) -> Wheel:
    return Wheel(file=file, sha256="0" * 64, size_bytes=10, unpacked_bytes=30)


def bundle(*files: str, **more) -> Bundle:
    told = {"runtime": Runtime.LITERT, "python": "3.11", "arch": "x86_64", **more}
    return Bundle(wheels=tuple(map(wheel, files or (LITERT_FILE, NUMPY_FILE))), **told)


@pytest.mark.parametrize(
    ("file", "glibc"),
    [
        (LITERT_FILE, (2, 27)),
        (NUMPY_FILE, (2, 27)),
        (PROTOBUF_FILE, (2, 17)),
        (PURE_FILE, (0, 0)),
    ],
)
def test_a_wheels_name_tells_the_oldest_c_library_it_runs_on(file, glibc):
    assert wheel(file).glibc == glibc


def test_a_device_takes_every_platform_tag_up_to_its_own_c_library():
    tags = PI.platforms

    assert tags[0] == "manylinux_2_36_aarch64"
    assert tags[-2:] == ("manylinux_2_17_aarch64", "manylinux2014_aarch64")
    assert PI.model_copy(update={"arch": "x86_64"}).platforms[-1] == "manylinux1_x86_64"


def test_a_bundle_suits_the_same_python_and_processor_with_a_c_library_that_is_new_enough():
    target = Target(python="3.11", arch="x86_64", glibc=(2, 31))

    assert bundle().suits(Runtime.LITERT, target)
    for changed in ({"python": "3.12"}, {"arch": "aarch64"}, {"glibc": (2, 26)}):
        assert not bundle().suits(Runtime.LITERT, target.model_copy(update=changed))
    assert not bundle().suits(Runtime.ONNXRUNTIME, target)


def test_a_bundle_that_leaves_out_numpy_is_for_devices_that_have_just_that_one():
    whole, lean = bundle(), bundle(LITERT_FILE, numpy="1.26.4")
    lock = RuntimesLock().with_one_more(whole).with_one_more(lean)
    bare = Target(python="3.11", arch="x86_64", glibc=(2, 31))

    assert lock.find(Runtime.LITERT, bare) == whole
    assert lock.find(Runtime.LITERT, bare.model_copy(update={"numpy": "1.26.4"})) == lean
    assert lock.find(Runtime.LITERT, bare.model_copy(update={"numpy": "1.19.0"})) == whole


def test_equal_bytes_have_equal_names_and_a_lock_survives_its_file():
    lock = RuntimesLock().with_one_more(bundle()).with_one_more(bundle())
    (only,) = lock.bundles

    assert read_runtimes(write_runtimes(lock), "runtimes.lock") == lock
    assert only.name("ai-edge-litert") == bundle().name("ai-edge-litert")
    assert only.name("ai-edge-litert").startswith("litert-2.3.0.")
    assert only.name("ai-edge-litert") != bundle(LITERT_FILE).name("ai-edge-litert")


@pytest.mark.parametrize("file", ["../../x.whl", "x.tar.gz", "a b.whl"])
def test_a_lock_that_names_no_wheel_is_refused(file):
    text = write_runtimes(RuntimesLock().with_one_more(bundle())).replace(LITERT_FILE, file)

    with pytest.raises(BadInput, match="the file name of a wheel"):
        read_runtimes(text, "runtimes.lock")


def said(**more) -> dict:
    told = {"implementation": "cpython", "version": "3.11", "machine": "aarch64", "bits": 64}
    return {**told, "libc": "glibc 2.36", "own": {}, **more}


def test_what_a_device_takes_is_its_pythons_own_word():
    assert suitable("d", said(), (), LITERT) == PI
    assert suitable("d", said(bits=32), (), LITERT).arch == "armv7l"
    assert suitable("d", said(own={"numpy": "1.24.2"}), (), LITERT).numpy == "1.24.2"
    assert suitable("d", said(own={"numpy": "unknown"}), (), LITERT).numpy == ""
    assert suitable("d", said(libc="glibc 2.31.9000"), (), LITERT).glibc == (2, 31)


@pytest.mark.parametrize(
    ("more", "linkers", "because", "hint"),
    [
        ({"libc": ""}, ("ld-musl-aarch64.so.1",), "musl", "apk add"),
        ({"libc": ""}, ("linker64",), "bionic", "pkg install"),
        ({"version": "3.7"}, (), "CPython 3.9 or newer, and cpython 3.7", "python: /path"),
        ({"implementation": "pypy"}, (), "pypy 3.11 is there", "python: /path"),
    ],
)
def test_a_python_that_takes_no_wheels_is_refused_with_what_to_do(more, linkers, because, hint):
    with pytest.raises(Unsuitable, match=because) as refused:
        suitable("d", said(**more), linkers, LITERT)

    assert hint in refused.value.hint

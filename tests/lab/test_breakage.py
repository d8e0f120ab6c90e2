"""Breaking devices, and mending them."""

import errno
from pathlib import Path

import pytest

from orchestrator.errors import NotFound
from orchestrator.lab.breakage import Breakage
from orchestrator.lab.errors import CannotBreak, LabDown
from orchestrator.lab.lab import Lab
from orchestrator.lab.spec import Tier

DATA = Path(__file__).parents[2] / "orchestrator" / "selftest" / "data"
ADD_ONE = DATA / "add_one.tflite"

RUN_ONNX = """
import numpy, onnxruntime
session = onnxruntime.InferenceSession("model.onnx")
print(session.run(None, {"x": numpy.zeros((1, 4), numpy.float32)})[0].round(3).tolist()[0])
"""
RUN_LITERT = """
import numpy
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter("model.tflite")
interpreter.allocate_tensors()
x, y = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
interpreter.set_tensor(x, numpy.zeros((1, 4), numpy.float32))
interpreter.invoke()
print(interpreter.get_tensor(y).round(3).tolist()[0])
(signed,) = interpreter.get_signature_runner("serving_default")(
    x=numpy.zeros((1, 4), numpy.float32)
).values()
print(signed.round(3).tolist()[0])
"""


def test_files_survive_a_power_cut_and_the_device_keeps_its_identity(bench):
    bench.says("pi-01", "mkdir -p .fleet/keep && echo kept >.fleet/keep/file")

    broke = bench.lab.break_device("pi-01", Breakage.OFFLINE)
    while_off, line = bench.lab.status(), bench.run("pi-01", "true")
    mended = bench.lab.mend("pi-01")

    assert broke == "cut the power of pi-01"
    assert [d.name for d in while_off.devices if not d.alive] == ["pi-01"]
    assert line.returncode == 255
    assert mended == "mended pi-01: booted it again with its files"
    assert bench.says("pi-01", "cat .fleet/keep/file") == "kept\n"


def test_a_power_cut_ends_what_ran_on_the_device_and_only_there(bench):
    for name in ("pi-01", "phone-01"):
        bench.says(name, "nohup setsid sleep 4321 >/dev/null 2>&1 & echo $! >pid")

    bench.lab.break_device("pi-01", Breakage.OFFLINE)
    bench.lab.mend("pi-01")

    assert bench.run("pi-01", 'kill -0 "$(cat pid)"').returncode == 1
    assert bench.run("phone-01", 'kill "$(cat pid)"').returncode == 0


def test_a_device_that_is_off_has_no_root_to_look_at(bench):
    bench.lab.break_device("pi-01", Breakage.OFFLINE)

    with pytest.raises(CannotBreak, match="is off") as refused:
        bench.lab.root("pi-01")

    assert refused.value.hint == "boot it: fleet lab mend pi-01"


def test_on_a_full_disk_writing_fails_and_mending_frees_it(bench):
    if bench.tier is Tier.PLAIN:
        with pytest.raises(CannotBreak, match="own file system"):
            bench.lab.break_device("pi-01", Breakage.FULL_DISK)
        return

    bench.lab.break_device("pi-01", Breakage.FULL_DISK)
    full = bench.run("pi-01", "head -c 65536 /dev/zero >big")
    code = "open('big', 'wb').write(bytes(65536))"
    number = bench.run("pi-01", f'python3 -c "{code}"')
    bench.lab.mend("pi-01")

    assert full.returncode != 0
    assert b"No space left on device" in full.stderr
    assert f"[Errno {errno.ENOSPC}]".encode() in number.stderr
    assert bench.says("pi-01", "head -c 65536 /dev/zero >big && wc -c <big") == "65536\n"


def test_wrong_output_changes_what_onnx_runtime_computes_until_it_is_mended(bench):
    bench.run("pi-01", "cat >model.onnx", data=(DATA / "add_one.onnx").read_bytes())
    bench.run("pi-01", "cat >run.py", data=RUN_ONNX.encode())

    before = bench.says("pi-01", "python3 run.py")
    bench.lab.break_device("pi-01", Breakage.WRONG_OUTPUT)
    during = bench.says("pi-01", "python3 run.py")
    bench.lab.mend("pi-01")
    after = bench.says("pi-01", "python3 run.py")

    assert before == after == "[1.0, 1.0, 1.0, 1.0]\n"
    assert [round(y, 3) for y in _numbers(during)] == [1.2] * 4


def test_wrong_output_changes_what_litert_computes_in_both_its_interfaces(bench):
    bench.run("pi-01", "cat >model.tflite", data=ADD_ONE.read_bytes())
    bench.run("pi-01", "cat >run.py", data=RUN_LITERT.encode())

    before = bench.says("pi-01", "python3 run.py 2>/dev/null")
    bench.lab.break_device("pi-01", Breakage.WRONG_OUTPUT)
    during = bench.says("pi-01", "python3 -I run.py 2>/dev/null")

    assert before.splitlines() == ["[1.0, 1.0, 1.0, 1.0]"] * 2
    assert [round(y, 3) for row in during.splitlines() for y in _numbers(row)] == [1.2] * 8


def test_wrong_output_stays_on_its_own_device(bench):
    bench.lab.break_device("pi-01", Breakage.WRONG_OUTPUT)

    broken = {device.name: device.broken for device in bench.lab.status().devices}

    assert broken == {"jetson-01": (), "pi-01": (Breakage.WRONG_OUTPUT,), "phone-01": ()}


def test_tampering_flips_one_bit_of_the_model_and_hides_it_from_size_and_time(
    bench,
):
    bench.says(
        "pi-01",
        "mkdir -p .fleet/digits/releases/r1 && cd .fleet/digits/releases/r1 && "
        "head -c 9000 /dev/zero >model.tflite && echo 0 >labels.txt && chmod 444 model.tflite && "
        "touch -d 2020-02-02 model.tflite && ln -sfn releases/r1 ../../current",
    )
    look = "cd .fleet/digits/current && stat -c '%s %Y %a' model.tflite && cksum <labels.txt"
    flipped = "cd .fleet/digits/current && tr -d '\\0' <model.tflite | wc -c"
    before = bench.says("pi-01", look)

    told = bench.lab.break_device("pi-01", Breakage.TAMPERED)
    bench.lab.break_device("pi-01", Breakage.TAMPERED)
    after, ones = bench.says("pi-01", look), bench.says("pi-01", flipped)
    bench.lab.mend("pi-01")

    assert "digits/releases/r1/model.tflite" in told
    assert after == before
    assert ones == "1\n"
    assert bench.says("pi-01", flipped) == "0\n"


def test_mending_leaves_a_release_alone_that_was_deployed_over_the_tampered_one(
    bench,
):
    release = ".fleet/digits/releases/r1"
    bench.says(
        "pi-01",
        f"mkdir -p {release} && echo old >{release}/model && "
        "ln -sfn releases/r1 .fleet/digits/current && rm -f .fleet/digits/releases/r1/model.tflite",
    )
    bench.lab.break_device("pi-01", Breakage.TAMPERED)

    bench.says("pi-01", f"echo new >{release}/model")
    bench.lab.mend("pi-01")

    assert bench.says("pi-01", f"cat {release}/model") == "new\n"


def test_nothing_can_be_tampered_with_before_something_is_deployed(bench):
    with pytest.raises(CannotBreak) as refused:
        bench.lab.break_device("phone-01", Breakage.TAMPERED)

    assert refused.value.hint == "deploy something first"


def test_mending_a_whole_device_changes_nothing(bench):
    assert bench.lab.mend("phone-01") == "nothing was broken on phone-01"


def test_an_unknown_device_is_named_with_the_nearest_known_one(bench):
    with pytest.raises(NotFound, match="no lab device named 'pi-1'; did you mean 'pi-01'"):
        bench.lab.break_device("pi-1", Breakage.OFFLINE)


def test_without_a_lab_nothing_can_be_broken_mended_or_looked_at(tmp_path):
    lab = Lab(tmp_path, tmp_path / "inventory")

    for act in (lambda: lab.break_device("pi-01", Breakage.OFFLINE), lambda: lab.mend("pi-01")):
        with pytest.raises(LabDown) as refused:
            act()
        assert refused.value.hint == "start one: fleet lab up"
    with pytest.raises(LabDown):
        lab.root("pi-01")


def _numbers(row: str) -> list[float]:
    return [float(number) for number in row.strip("[]\n").split(",")]

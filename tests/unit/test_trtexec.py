"""trtexec: the words it is told by version, and published words of its own, understood."""

import math
from pathlib import Path

import pytest
import yaml

from orchestrator.build import trtexec
from orchestrator.catalog.variant import Precision

LOGS = yaml.safe_load(Path(__file__).with_name("trtexec_logs.yaml").read_text("utf-8"))


@pytest.mark.parametrize("log", LOGS, ids=[log["name"] for log in LOGS])
def test_a_log_says_how_it_ended_and_how_long_whole_inferences_take(log):
    found = trtexec.read_log(log["text"])

    assert {key: getattr(found, key) for key in log["says"]} == log["says"]


@pytest.mark.parametrize(
    ("version", "precision", "words"),
    [
        ("8.2.1", Precision.FLOAT16, "--noTF32 --fp16 --workspace=256 --buildOnly"),
        ("8.5.2", Precision.INT8, "--noTF32 --int8 --fp16 --memPoolSize=workspace:256 --buildOnly"),
        ("10.3.0", Precision.FLOAT32, "--noTF32 --memPoolSize=workspace:256 --skipInference"),
        ("11.4.1", Precision.INT8, "--noTF32 --memPoolSize=workspace:256 --skipInference"),
    ],
)
def test_each_version_is_told_in_its_own_words(version, precision, words):
    argv = trtexec.building(version, precision, 256)

    assert argv == ("trtexec", "--onnx=model.onnx", "--saveEngine=model.engine", *words.split())


def test_names_that_the_grammar_would_cut_are_quoted():
    argv = trtexec.computing({"x": "in0", "Input:0": "in1"}, "out.json")

    assert "--loadInputs=x:in0,'Input:0':in1" in argv


WRITTEN = """[
  { "name" : "scores"
  , "dimensions" : "1x3"
  , "values" : [ 0.25, nan, -inf ]
  }
, { "name" : "info"
  , "dimensions" : "2"
  , "values" : [ 1, 1e-05 ]
  }
]
"""
"""In the format of exportJSONOutput, samples/common/sampleReporting.cpp of NVIDIA/TensorRT."""


def test_outputs_are_read_with_their_shapes():
    scores, info = trtexec.read_outputs(WRITTEN)

    assert (scores.name, scores.shape, scores.values[0]) == ("scores", (1, 3), 0.25)
    assert math.isnan(scores.values[1])
    assert scores.values[2] == -math.inf
    assert (info.shape, info.values) == ((2,), (1.0, 1e-05))


@pytest.mark.parametrize("text", ["", "[", "{}x", '[{"name": "x"}]', "[3]"])
def test_what_is_no_output_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        trtexec.read_outputs(text)

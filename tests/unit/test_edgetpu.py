"""The Edge TPU's compiler: its published words, and what is believed of them beside the file it wrote."""

from pathlib import Path

import pytest
import yaml

from orchestrator.build.edgetpu import counts
from orchestrator.build.edgetpu_graph import CUSTOM, Array, Graph, Operator, unmapped
from orchestrator.build.edgetpu_log import MAPPED, CompilerLog, Row, read_compiler_log

LOGS = yaml.safe_load(Path(__file__).with_name("compiler_logs.yaml").read_text("utf-8"))


@pytest.mark.parametrize("log", LOGS, ids=[log["name"] for log in LOGS])
def test_what_the_compiler_says_is_understood(log):
    assert log["source"].startswith("https://")

    found = read_compiler_log(log["text"])

    for key, value in log["says"].items():
        match key:
            case "rows":
                assert len(found.rows) == value
            case "counts":
                assert [list(pair) for pair in found.counts] == value
            case "errors":
                assert list(found.errors) == value
            case _:
                assert getattr(found, key) == value, key


def test_lines_of_other_programs_say_nothing():
    assert read_compiler_log("Trying to pull image…\nTotal: 3\nADD 1 2\n") == CompilerLog()


# --- log against file ---------------------------------------------------------------------------


def array(*shape, dtype="int8"):
    return Array(dtype, shape or (1, 8, 8, 4))


def graph(*kinds, **more):
    return Graph(tuple(Operator(kind, 1, (array(),)) for kind in kinds), **more)


BEFORE = graph("CONV_2D", "CONV_2D", "RESHAPE", "SOFTMAX")


def log(on_tpu, on_cpu, **more):
    return CompilerLog(version="16.0", succeeded=True, on_tpu=on_tpu, on_cpu=on_cpu, **more)


def test_what_is_no_longer_an_operation_of_its_own_is_in_the_custom_one():
    assert counts(BEFORE, graph(CUSTOM, "SOFTMAX"), log(3, 1, operations=4)) == (3, 1)
    assert counts(BEFORE, graph(CUSTOM), log(None, None, operations=4)) == (4, 0)
    assert counts(BEFORE, graph(CUSTOM, "RESHAPE", CUSTOM), log(3, 1)) == (3, 1)


@pytest.mark.parametrize(
    ("after", "said", "because"),
    [
        (
            graph(CUSTOM, "SOFTMAX"),
            log(4, 0),
            "log and file disagree: 4 operations on the Edge TPU",
        ),
        (graph(CUSTOM), log(3, 1), "4 and 0 by the file"),
        (
            graph(CUSTOM),
            log(None, None, operations=4, rows=(Row(kind="ADD", count=3, status=MAPPED),)),
            "log and file disagree: 3 operations",
        ),
        (graph(CUSTOM), log(5, 0, operations=5), "it tells of 5 operations, and there are 4"),
        (graph(CUSTOM), CompilerLog(version="16.0"), "does not say how many operations"),
        (graph(CUSTOM), CompilerLog(succeeded=True, operations=4), "none of edgetpu_compiler's"),
        (BEFORE, log(0, 4), "mapped no operation"),
    ],
)
def test_a_file_that_its_log_does_not_bear_out_is_not_believed(after, said, because):
    assert because in counts(BEFORE, after, said)


# --- beforehand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operator", "because"),
    [
        (Operator("CONV_2D", 6, (array(),)), "is of version 6, and compiler 16.0 reads up to 5"),
        (Operator("CUMSUM", 1, (array(),)), "is none of the operations"),
        (Operator("ADD", 1, (array(dtype="float32"),)), "has tensors of float32"),
        (Operator("RESHAPE", 1, (array(-1, 8),)), "has a size that is only known while it runs"),
        (Operator("ADD", 1, (array(2, 8, 8, 4),)), "has the shape (2, 8, 8, 4)"),
        (Operator("SOFTMAX", 1, (array(1, 16_001),)), "is over 16001 values"),
    ],
)
def test_what_will_not_be_mapped_is_named_with_its_reason(operator, because):
    fine = Operator("CONV_2D", 5, (array(), array(8, 3, 3, 4), array()))

    (found,) = unmapped(Graph((fine, operator)))

    assert found.startswith(f"{operator.kind} {because}")


def test_a_model_of_operations_that_can_be_mapped_has_nothing_said_of_it():
    assert unmapped(BEFORE) == ()
    assert unmapped(graph("ADD", subgraphs=2)) == ("2 graphs instead of one",)

"""Edge TPU models of a real int8 model: believed where the compiler's log and its file agree.

The compiler is a test double (tests/doubles): the real one is closed and for Debian on x86-64 alone.
"""

import io
import shlex
import sys

import numpy as np
import pytest

from orchestrator.artifact.lock import Status
from orchestrator.build.cache import Failure
from orchestrator.build.edgetpu import MISSING, Compiler, compiled
from orchestrator.build.edgetpu_golden import ports, renamed
from orchestrator.build.edgetpu_graph import CUSTOM, read_graph, unmapped
from orchestrator.build.workbench import here

VARIANTS = ("tflite-int8-io", "edgetpu-int8")


@pytest.fixture
def compiler(tmp_path, doubles):
    """A compiler on this machine that behaves in some way."""

    def made(how: str = "", tool: str = "") -> Compiler:
        program = tmp_path / "edgetpu_compiler"
        command = shlex.join([sys.executable, str(doubles / "edgetpu_compiler.py")])
        program.write_text(f'#!/bin/sh\nexec env DOUBLE={how} {command} "$@"\n')
        program.chmod(0o755)
        return Compiler((tool or str(program),), here(str(tmp_path / "work")))

    return made


@pytest.fixture
def parent(shared, digits):
    """What is compiled: the int8 model with int8 inputs and outputs."""
    return shared.build(digits(variants=VARIANTS), variants=VARIANTS[:1]).artifacts[0]


def test_without_a_compiler_the_variant_is_unbuildable_and_no_file_stands_for_it(shared, digits):
    asked = digits(variants=VARIANTS)

    (made,) = shared.builder().build(asked, variants=VARIANTS[1:]).artifacts

    assert (made.status, made.sha256, made.golden) == (Status.UNBUILDABLE, None, None)
    assert made.because == MISSING


def test_a_model_that_is_mapped_whole_is_accepted_and_proved_by_what_it_was_made_of(
    compiler, parent, shared, digits
):
    asked, found = digits(variants=VARIANTS), compiler()
    builder = shared.builder(find=lambda: found)

    (made,) = builder.build(asked, variants=VARIANTS[1:]).artifacts
    (again,) = shared.builder().build(asked, variants=VARIANTS[1:]).artifacts

    before, after = (read_graph(shared.store.read(each.sha256)) for each in (parent, made))
    assert (made.status, made.because) == (Status.ACCEPTED, "")
    assert [each.kind for each in after.operators] == [CUSTOM]
    assert made.compilation.accelerated == len(before.operators)
    assert made.compilation.remaining == 0
    assert made.compilation.by == "edgetpu_compiler 16.0.384591198"
    assert made.compilation.made_of == parent.sha256
    assert b"Mapped to Edge TPU" in shared.store.read(made.compilation.log)
    assert made.golden == parent.golden
    assert made.figures.accuracy == parent.figures.accuracy
    assert made.figures.p50_ms is None, "nothing was measured on an Edge TPU"
    assert np.load(io.BytesIO(shared.store.read(made.golden.sha256)))["in_image"].dtype == np.int8
    assert again == made, "it is not compiled again, nor is the compiler looked for"


def test_golden_cases_follow_the_names_of_a_file_that_lost_its_signature(compiler, parent, shared):
    made = compiled(shared.store, parent.sha256, lambda: compiler("nameless"), 60.0)

    golden = renamed(shared.store, parent.golden, parent.sha256, made.sha256)

    (name,), (output,) = ports(shared.store.read(made.sha256))
    old, new = (np.load(io.BytesIO(shared.store.read(g.sha256))) for g in (parent.golden, golden))
    assert name != "image"
    assert np.array_equal(old["in_image"], new[f"in_{name}"])
    assert np.array_equal(old["out_scores"], new[f"out_{output}"])
    assert [each.output for each in golden.tolerances] == [output]
    assert renamed(shared.store, golden, made.sha256, made.sha256) == golden


def test_what_stays_on_the_processor_is_counted_and_said(compiler, parent, shared):
    made = compiled(shared.store, parent.sha256, lambda: compiler("partial"), 60.0).compilation

    whole = len(read_graph(shared.store.read(parent.sha256)).operators)
    assert (made.accelerated, made.remaining) == (whole - 1, 1)
    assert made.words == f"1 of {whole} operations run on the processor"


@pytest.mark.parametrize(
    ("how", "status", "because"),
    [
        ("lie", Status.REJECTED, "log and file disagree: "),
        ("nothing", Status.REJECTED, "the compiler mapped no operation to the Edge TPU"),
        ("refuse", Status.FAILED, "the compiler refused it: ERROR: Didn't find op for builtin"),
        ("silent", Status.FAILED, "the compiler ended well and left no model_edgetpu.tflite"),
    ],
)
def test_a_compiler_that_cannot_be_believed_gives_no_artifact(
    compiler, parent, shared, how, status, because
):
    made = compiled(shared.store, parent.sha256, lambda: compiler(how), 60.0)

    assert isinstance(made, Failure)
    assert made.status is status
    assert made.because.startswith(because)


def test_a_compiler_that_does_not_finish_is_ended_and_leaves_nothing(
    compiler, parent, shared, tmp_path
):
    made = compiled(shared.store, parent.sha256, lambda: compiler("slow"), 2.0)

    assert made.because == "the compiler did not finish within 2 s (--deadline)"
    assert not (tmp_path / "work").exists()


def test_a_command_that_is_not_there_is_named(compiler, parent, shared):
    made = compiled(shared.store, parent.sha256, lambda: compiler(tool="of-nobody"), 60.0)

    assert made.status is Status.UNBUILDABLE
    assert made.because.startswith("'of-nobody' is not there")


def test_a_look_beforehand_finds_nothing_against_what_the_builder_makes(parent, shared):
    assert unmapped(read_graph(shared.store.read(parent.sha256))) == ()

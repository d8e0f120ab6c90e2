"""`fleet build` as a person sees it: bars on a terminal, quiet in a pipe, the log where it failed."""

import json
import os
import pty
import select
import subprocess
import sys
from pathlib import Path

import pytest

MODELS = """
models:
  unconvertible:
    source: models/unconvertible.keras
    version: "1"
    data: {{evaluation: data/vectors.npz, calibration: data/vectors.npz}}
    variants: [tflite-float32, tflite-float16]
  pixels:
    source: models/{source}
    version: "1"
    preprocessing: {{scale: 0.0625}}
    data: {{evaluation: data/{data}.npz}}
    variants: [onnx-float32]
"""


@pytest.fixture
def shown(tmp_path: Path, catalog: Path) -> Path:
    """A site with one model that cannot be made and one that can, without TensorFlow."""
    inventory = tmp_path / "inventory"
    inventory.mkdir()
    for name in ("models", "data"):
        (inventory / name).symlink_to(catalog / name)
    (tmp_path / "fleet.toml").write_text('inventory = "inventory"\n')
    (inventory / "devices.yaml").write_text("devices: {}\n")
    text = MODELS.format(source="digits.onnx", data="onnx-evaluation")
    (inventory / "models.yaml").write_text(text)
    return tmp_path


def fleet(site: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator.cli", *words, "--site", str(site)]


def on_a_terminal(command: list[str]) -> tuple[str, int]:
    """What a command shows on a terminal of 120 columns, and its exit status."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=env, close_fds=True
    ) as process:
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], 100)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        status = process.wait(20)
    os.close(ours)
    return seen.decode(), status


def test_a_person_sees_a_bar_for_each_variant_and_what_became_of_it(shown):
    seen, status = on_a_terminal(fleet(shown, "build", "pixels"))

    assert status == 0, seen
    assert "pixels onnx-float32" in seen
    assert "converting" in seen
    assert "pixels onnx-float32: accepted in " in seen


def test_a_pipe_gets_the_result_alone_and_nothing_of_the_toolchains(shown):
    ended = subprocess.run(
        fleet(shown, "build", "pixels", "--output", "json"),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert [row["status"] for row in json.loads(ended.stdout)["data"]] == ["accepted"]


def test_a_failed_variant_shows_the_end_of_its_log(shown):
    ended = subprocess.run(
        fleet(shown, "build", "unconvertible"),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert ended.returncode == 1
    log = ".fleet/build/logs/unconvertible-tflite-float32-make.log"
    assert f"unconvertible tflite-float32: the end of {log}" in ended.stderr
    assert (shown / log).read_text().splitlines()[-1].strip() in ended.stderr
    assert "TensorFlow Lite has no operation for" in ended.stdout.replace("\n", " ")

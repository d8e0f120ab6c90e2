"""The command starts fast because it imports late: what each command may load is written down here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]

WRITES_TEXT = {
    "typer", "click", "rich", "shellingham", "markdown_it", "mdurl", "pygments", "typing_extensions",
    "colorama", "annotated_doc",
}  # fmt: skip
READS_FILES = {
    "pydantic", "pydantic_core", "pydantic_settings", "annotated_types", "typing_inspection", "yaml",
    "_yaml", "_cffi_backend",
}  # fmt: skip
REPORT = """
import json, sys
before = set(sys.modules)  # what the interpreter itself and editable installs have loaded
from orchestrator.cli import main
sys.argv = ["fleet", *sys.argv[1:]]
try:
    main()
finally:
    ours = {name.partition(".")[0] for name in set(sys.modules) - before}
    compiled = ("_cython", "cython_runtime", "_sysconfigdata")  # what compiled modules bring along
    third = sorted(
        name
        for name in ours - set(sys.stdlib_module_names)
        if name != "orchestrator" and not name.startswith(compiled)
    )
    print("\\n" + json.dumps(third))
"""


def loaded(*args: str) -> set[str]:
    """The third-party packages in memory when a command is done."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", REPORT, *args],
        cwd=CHECKOUT,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return set(json.loads(done.stdout.decode().splitlines()[-1]))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sites") / "x"
    loaded("init", str(folder))
    return folder


@pytest.mark.parametrize("args", [["--help"], ["--version"]])
def test_help_loads_nothing_but_what_writes_it(args):
    found = loaded(*args)

    assert "typer" in found
    assert found <= WRITES_TEXT


@pytest.mark.parametrize("command", ["build", "deploy", "rollback", "audit", "lab", "doctor"])
def test_help_of_a_command_loads_nothing_the_command_would(command):
    assert loaded(command, "--help") <= WRITES_TEXT | READS_FILES


def test_looking_at_files_loads_nothing_but_what_reads_and_writes_them(site):
    found = loaded("inventory", "check", "--site", str(site))

    assert {"pydantic", "yaml"} <= found
    assert found <= WRITES_TEXT | READS_FILES


def test_listing_devices_opens_no_line_and_no_ledger(site):
    devices = site / "inventory" / "main" / "devices.yaml"
    devices.write_text("devices: {d: {address: 10.0.0.1, user: u, profile: x86-box}}\n")

    found = loaded("inventory", "list", "--site", str(site))

    assert found <= WRITES_TEXT | READS_FILES
    assert not (site / ".fleet").exists()

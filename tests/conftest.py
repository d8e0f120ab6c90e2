"""Two processes share the suite: what belongs together stays together, and the longest goes first.

A suite that has something to say at the end implements `pytest_sections`.
"""

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from xdist.scheduler import LoadScopeScheduling

from orchestrator.errors import FleetError

HERE = Path(__file__).parent
WHOLE = ("build", "faults", "demo", "zoo", "lab", "emulated")
"""Folders whose tests share a lab or what was built once, and so one process; longest first."""


@pytest.fixture(scope="session")
def doubles() -> Path:
    """Test doubles of programs that cannot be had here, under the programs' own names."""
    return HERE / "doubles"


def required(tier: str, why: FleetError | str) -> NoReturn:
    """Skip loudly, or fail where the tier is required: ``FLEET_LAB_REQUIRE=aarch64,adb``."""
    said = f"{why.message}; {why.hint}" if isinstance(why, FleetError) else why
    if tier in os.environ.get("FLEET_LAB_REQUIRE", "").split(","):
        pytest.fail(f"FLEET_LAB_REQUIRE names {tier!r}, and it is not to be had: {said}")
    pytest.skip(f"NO {tier.upper()} ON THIS MACHINE: {said}")


@pytest.fixture(scope="session")
def missing() -> Callable[[str, FleetError | str], NoReturn]:
    """Say that a tier of the lab is not to be had here."""
    return required


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An adb server of these tests' own, with a key of its own."""
    if shutil.which("adb") is None:
        required("adb", "it has no adb; apt-get install adb")
    with socket.create_server(("127.0.0.1", 0)) as free, pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANDROID_ADB_SERVER_PORT", str(free.getsockname()[1]))
        free.close()
        env = {**os.environ, "HOME": str(tmp_path_factory.mktemp("adb"))}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(["adb", "start-server"], env=env, timeout=30, check=True, **quiet)
        yield
        subprocess.run(["adb", "kill-server"], timeout=30, check=True, **quiet)


class Hooks:
    """What the suites here may implement."""

    def pytest_sections(self, config: pytest.Config) -> list[tuple[str, list[str]]]:
        """Titles and lines to print at the end, about the tests that this process ran."""
        raise NotImplementedError


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    pluginmanager.add_hookspecs(Hooks)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(HERE).parts[0]
        return WHOLE.index(folder) if folder in WHOLE else len(WHOLE)

    items.sort(key=rank)


class Together(LoadScopeScheduling):
    """Tests of one file go to one process, and of some folders all of them."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.split("::", 1)[0]
        folder = path.split("/")[1]
        return folder if folder in WHOLE else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Together:
    config.option.loadscopereorder = False
    return Together(config, log)


TOLD: list[tuple[str, list[str]]] = []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker hands its sections to the process that prints."""
    told = getattr(session.config, "workeroutput", None)
    if told is not None:
        told["sections"] = list(_sections(session.config))


def pytest_testnodedown(node: Any) -> None:
    TOLD.extend(getattr(node, "workeroutput", {}).get("sections", ()))


def _sections(config: pytest.Config) -> Iterator[tuple[str, list[str]]]:
    for sections in config.hook.pytest_sections(config=config):
        yield from sections


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for title, lines in (*TOLD, *_sections(config)):
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.line(line)

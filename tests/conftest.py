"""Two processes share the suite: what belongs together stays together, and the longest goes first.

A suite that has something to say at the end implements `pytest_sections`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

HERE = Path(__file__).parent
WHOLE = ("build", "faults", "demo", "zoo", "lab")
"""Folders whose tests share a lab or what was built once, and so one process; longest first."""


@pytest.fixture(scope="session")
def doubles() -> Path:
    """Test doubles of programs that cannot be had here, under the programs' own names."""
    return HERE / "doubles"


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

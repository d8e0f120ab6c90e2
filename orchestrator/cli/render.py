"""The only module that prints: tables and sentences for people, envelopes for programs."""

import csv
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

import pydantic_core
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from orchestrator.errors import FleetError

SCHEMA = "fleet/v1"
"""The version of every JSON envelope; a new one when a key is renamed or goes away."""

Row = Mapping[str, Any]


class Screen:
    """Results on standard output in one of three formats; everything else on standard error."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.out = _console(sys.stdout)
        self.err = _console(sys.stderr)

    @property
    def for_people(self) -> bool:
        """Whether a person reads the result."""
        return self.output == "text"

    def rows(self, kind: str, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
        """Rows under headings. Programs get every key, people and CSV the columns.

        Args:
            columns: key → heading, in order.
        """
        match self.output:
            case "json":
                self.envelope(kind, rows)
            case "csv":
                writer = csv.writer(sys.stdout, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows([_cell(row.get(key)) for key in columns] for row in rows)
            case _:
                self.out.print(table(rows, columns))

    def envelope(self, kind: str, data: Any) -> None:
        """One JSON document: what it is, and the data."""
        plain = pydantic_core.to_jsonable_python(data)
        whole = {"schema": f"{SCHEMA}/{kind}", "data": plain}
        sys.stdout.write(json.dumps(whole, indent=1, ensure_ascii=False) + "\n")

    def say(self, text: str = "") -> None:
        """A line of the result, for people."""
        if self.for_people:
            self.out.print(text, highlight=False)

    def note(self, text: str) -> None:
        """A line beside the result."""
        self.err.print(text, highlight=False)

    def excerpt(self, title: str, lines: Sequence[str]) -> None:
        """Somebody else's words beside the result, word for word."""
        self.note(title)
        for line in lines:
            self.err.print(f"    {line}", highlight=False, markup=False)

    def error(self, error: FleetError) -> None:
        """What went wrong, and the next command."""
        if self.output == "json":
            said = {"code": error.code, "owner": error.owner, "message": error.message}
            whole = {"schema": f"{SCHEMA}/error", "error": {**said, "hint": error.hint}}
            sys.stderr.write(json.dumps(whole, ensure_ascii=False) + "\n")
            return
        self.err.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        if error.hint:
            self.err.print(f"[bold]next:[/]  {escape(error.hint)}", highlight=False)
        if error.code:
            self.err.print(f"[dim]{escape(error.code)}[/]", highlight=False)

    def ask(self, question: str) -> bool:
        """A yes or no from the person at the terminal; no by default."""
        self.err.print(f"{question} [y/N] ", end="", markup=False, highlight=False)
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @property
    def can_ask(self) -> bool:
        """Whether there is anybody to ask."""
        return sys.stdin.isatty()

    def progress(self, total: int, what: str) -> "Bar":
        """A bar on standard error while something counts to `total`; nothing where none is seen."""
        return Bar(self.err, total, what)

    def bars(self) -> "Bars":
        """A bar for each of several things that go on at once; nothing where none is seen."""
        return Bars(self.err)


class Bar(AbstractContextManager["Bar"]):
    """A progress bar with one line of what is going on; silent where no terminal shows it."""

    def __init__(self, console: Console, total: int, what: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._console = console
        self._task = self._progress.add_task(what, total=total, now="")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def now(self, text: str) -> None:
        """What is going on right now."""
        self._progress.update(self._task, now=escape(text))

    def step(self, line: str = "") -> None:
        """One more is done; `line` stays on the screen above the bar."""
        self._progress.advance(self._task)
        if line:
            self._console.print(line, highlight=False)


class Bars(AbstractContextManager["Bars"]):
    """A line a thing that is being worked on, gone when it is done; silent where none is seen."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[now]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Bars":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def at(self, name: str, now: str, done: int, total: int) -> None:
        """How far a thing is, in steps, and what is being done."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(escape(name), total=total, now="")
        self._progress.update(self._tasks[name], completed=done, now=escape(now))

    def done(self, name: str, line: str = "") -> None:
        """A thing is done; `line` stays on the screen above the bars."""
        if name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))
        if line and not self._progress.disable:
            self._progress.console.print(line, highlight=False)


def table(rows: Iterable[Row], columns: Mapping[str, str]) -> Table:
    """Rows as a table without lines, as kubectl shows them."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in columns.values():
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*(_styled(key, row.get(key)) for key in columns))
    return shown


_STYLES = {
    "succeeded": "green",
    "already-current": "green",
    "match": "green",
    "accepted": "green",
    "installed": "green",
    "already-there": "green",
    "removed": "green",
    "dominated": "yellow",
    "equal": "green",
    "different": "red",
    "drift": "red",
    "rejected": "red",
    "failed": "red",
    "failed-unchanged": "red",
    "failed-rolled-back": "red",
    "failed-unknown": "bold red",
    "missing": "red",
    "unknown": "yellow",
    "unreachable": "yellow",
    "deferred": "yellow",
    "aborted": "yellow",
    "refused": "yellow",
    "no-variant": "yellow",
    "unbuildable": "yellow",
}


def _styled(key: str, value: Any) -> str:
    text = escape(_cell(value))
    style = _STYLES.get(text) if key in ("status", "finding") else None
    return f"[{style}]{text}[/]" if style else text


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple | list):
        return ",".join(map(_cell, value))
    return str(value)


def size(count: int | None) -> str:
    """Bytes for people: ``231 KiB``."""
    if count is None:
        return ""
    if count < 1024:
        return f"{count} B"
    kib = count / 1024
    return f"{kib:.0f} KiB" if kib < 10 * 1024 else f"{kib / 1024:.1f} MiB"


def age(then: datetime) -> str:
    """How long ago, in its largest whole unit: ``4m``."""
    seconds = int((datetime.now(UTC) - then).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length:
            return f"{seconds // length}{unit}"
    return f"{max(0, seconds)}s"


def _console(stream: Any) -> Console:
    wide = None if stream.isatty() else 220
    return Console(file=stream, width=wide, soft_wrap=False, emoji=False)

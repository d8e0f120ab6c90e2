"""Flag > environment > fleet.toml > default; each value knows where it came from."""

import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import BadInput, FleetError, nearest

FILE = "fleet.toml"
_DEFAULTS: Mapping[str, str] = {
    "inventory": "inventory/demo",
    "playbook": "canary",
    "jobs": "0",
    "at_once": "32",
    "edgetpu_compiler": "",
}
"""`jobs`: workers of a build, 0 for as many as suit; `at_once`: devices looked at side by side."""
_COMMANDS = ("edgetpu_compiler",)
"""Settings that are a command: a list of words, or one text with the words quoted as in a shell."""


class NoSite(FleetError):
    """No fleet.toml here or above."""

    path = ("INPUT", "SITE")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it came from, in words."""

    value: str
    source: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one site."""

    site: Path
    values: Mapping[str, Setting]

    def __getitem__(self, key: str) -> str:
        return self.values[key].value

    def command(self, key: str) -> tuple[str, ...]:
        """The words of a command; none where it is not set.

        Raises:
            BadInput: a quotation mark in it is never closed.
        """
        try:
            return tuple(shlex.split(self[key]))
        except ValueError as error:
            file = self.values[key].source
            raise BadInput(f"{key!r} is {self[key]!r}: {error}".lower(), file=file) from error

    def count(self, key: str) -> int:
        """A number of something.

        Raises:
            BadInput: it is no number, or less than 0.
        """
        if not self[key].isdecimal():
            file = self.values[key].source
            raise BadInput(f"{key!r} is {self[key]!r}: should be a number from 0 on", file=file)
        return int(self[key])

    @property
    def state(self) -> Path:
        """Where fleet keeps everything it writes: below the site, and nowhere else."""
        return self.site / ".fleet"

    @property
    def inventory(self) -> Path:
        """The folder of devices.yaml, models.yaml and fleet.lock."""
        return self.site / self["inventory"]


def find_site(flag: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The site: what the flag or FLEET_SITE names, else the nearest fleet.toml upward.

    Raises:
        NoSite: there is none.
    """
    named = flag or (Path(environment["FLEET_SITE"]) if environment.get("FLEET_SITE") else None)
    if named is not None:
        if not (named / FILE).is_file():
            raise NoSite(f"no {FILE} in {str(named)!r}", hint=f"make a site: fleet init {named}")
        return named.resolve()
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FILE).is_file():
            return folder
    raise NoSite(
        f"no {FILE} in {str(here)!r} or above",
        hint="make a site here: fleet init .   or name one: --site DIR",
    )


def load(site: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings of a site; ``FLEET_<KEY>`` in the environment overrides the file.

    Raises:
        BadInput: fleet.toml is no TOML, has an unknown key, or a value that is no text or number.
    """
    file = site / FILE
    try:
        written = tomllib.loads(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise BadInput(f"not UTF-8 at byte {error.start}", file=str(file)) from error
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"not TOML: {error}", file=str(file)) from error
    for key, value in written.items():
        if key not in _DEFAULTS:
            raise BadInput(
                f"unknown key {key!r}{nearest(key, _DEFAULTS)}",
                file=str(file),
                hint=f"known keys: {', '.join(_DEFAULTS)}",
            )
        if key in _COMMANDS and _words(value):
            continue
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise BadInput(f"{key!r} is {value!r}: should be text or a number", file=str(file))
    values = {}
    for key, default in _DEFAULTS.items():
        variable = f"FLEET_{key.upper()}"
        if environment.get(variable):
            values[key] = Setting(environment[variable], f"${variable}")
        elif key in written:
            value = written[key]
            text = shlex.join(value) if isinstance(value, list) else str(value)
            values[key] = Setting(text, str(file))
        else:
            values[key] = Setting(default, "default")
    return Settings(site, values)


def _words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)

"""A site's files: reads what people wrote, reads and writes the lock. The only place that knows paths."""

import os
from functools import cached_property
from importlib import resources
from pathlib import Path

from orchestrator.artifact.lock import Lock, read_lock, write_lock
from orchestrator.catalog.model import Model, read_models
from orchestrator.errors import BadInput, NotFound
from orchestrator.inventory.device import Device
from orchestrator.inventory.inventory import Inventory, read_inventory
from orchestrator.rollout.playbook import Playbook, read_playbook
from orchestrator.settings import Settings

_PACKAGE = Path(str(resources.files("orchestrator")))


def templates() -> Path:
    """The templates that ship with fleet: inside the wheel, or beside the package in a checkout."""
    inside = _PACKAGE / "templates"
    return inside if inside.is_dir() else _PACKAGE.parent / "templates"


class Site:
    """One site on disk. What was read is kept for the life of the object."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def inventory(self) -> Inventory:
        """Every ``devices*.yaml`` of the inventory folder, on top of the shipped profiles."""
        folder = self.settings.inventory
        files = sorted(folder.glob("devices*.yaml"))
        if not files:
            raise BadInput(
                "no devices.yaml here",
                file=self.shown(folder),
                hint="write one (fleet init DIR shows how), or start a lab: fleet lab up",
            )
        shipped = _PACKAGE / "inventory" / "profiles.yaml"
        texts = [(shipped.name, read_text(shipped))]
        return read_inventory([*texts, *((self.shown(f), read_text(f)) for f in files)])

    @cached_property
    def models(self) -> dict[str, Model]:
        """models.yaml of the inventory folder; empty where there is none."""
        file = self.settings.inventory / "models.yaml"
        return read_models(read_text(file), self.shown(file)) if file.is_file() else {}

    def model(self, name: str) -> Model:
        """A model by name, or the error that lists the known ones."""
        if name not in self.models:
            raise NotFound("model", name, self.models, hint=self._models_hint())
        return self.models[name]

    def device(self, name: str) -> Device:
        """A device by name, or the error that says which is meant."""
        if name not in self.inventory.devices:
            raise NotFound("device", name, self.inventory.devices)
        return self.inventory.devices[name]

    @property
    def lock_file(self) -> Path:
        """Where fleet.lock lies."""
        return self.settings.inventory / "fleet.lock"

    def lock(self) -> Lock:
        """fleet.lock as it is now; empty where nothing was built yet."""
        file = self.lock_file
        return read_lock(read_text(file), self.shown(file)) if file.is_file() else Lock()

    def write_lock(self, lock: Lock) -> None:
        """Replace fleet.lock, at once or not at all; an equal lock is left alone."""
        text = write_lock(lock)
        if self.lock_file.is_file() and self.lock_file.read_bytes() == text.encode():
            return
        beside = self.lock_file.with_name(f".{self.lock_file.name}.{os.getpid()}")
        beside.write_bytes(text.encode())
        beside.replace(self.lock_file)

    def playbook(self, name: str) -> Playbook:
        """A playbook: ``playbooks/<name>.yaml``, or a file by its path."""
        folder = self.settings.site / "playbooks"
        file = folder / f"{name}.yaml"
        if not file.is_file() and name.endswith((".yaml", ".yml")):
            file = Path(name)
        if not file.is_file():
            known = [path.stem for path in folder.glob("*.yaml")]
            raise NotFound("playbook", name, known, hint=f"write {self.shown(file)}")
        return read_playbook(read_text(file), self.shown(file))

    def template(self, name: str) -> bytes:
        """A template: the site's own under ``templates/`` if it has one, else the shipped one."""
        own = self.settings.site / "templates" / name
        return (own if own.is_file() else templates() / name).read_bytes()

    def shown(self, file: Path) -> str:
        """A path as people type it: relative to where they are."""
        try:
            return os.path.relpath(file)
        except ValueError:  # another drive
            return str(file)

    def _models_hint(self) -> str:
        file = self.shown(self.settings.inventory / "models.yaml")
        known = ", ".join(sorted(self.models))
        return f"known: {known}" if known else f"describe it in {file}"


def read_text(file: Path) -> str:
    """A text file, or an error that names it and what is wrong.

    Raises:
        BadInput: it is not there, may not be read, or is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"not UTF-8 at byte {error.start}", file=str(file)) from error
    except OSError as error:
        raise BadInput(str(error.strerror or error).lower(), file=str(file)) from error

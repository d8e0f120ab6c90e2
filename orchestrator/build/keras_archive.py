"""A Keras model → the bytes of a ``.keras`` file that say nothing of when they were written."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest time an archive can hold."""


def write_keras(model: Any, out: Path) -> None:
    """Write a model that was not compiled to a file of any name; equal models, equal bytes."""
    saved = out.with_suffix(".saved.keras")
    model.save(saved)
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(out, "w") as new:
        for name in sorted(old.namelist()):
            data = old.read(name)
            if name.endswith(".json"):
                data = json.dumps(_timeless(json.loads(data)), sort_keys=True).encode()
            new.writestr(zipfile.ZipInfo(name, _TIME), data)
    saved.unlink()


def _timeless(config: Any) -> Any:
    """The same configuration without a date; objects are numbered instead of known by address."""
    numbers: dict[object, int] = {}
    for address in _addresses(config):
        numbers.setdefault(address, len(numbers) + 1)

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {key: plain(each) for key, each in value.items() if key != "date_saved"}
            if "shared_object_id" in kept:
                kept["shared_object_id"] = numbers[value["shared_object_id"]]
            return kept
        return [plain(each) for each in value] if isinstance(value, list) else value

    return plain(config)


def _addresses(value: Any) -> Iterator[object]:
    if isinstance(value, dict):
        if "shared_object_id" in value:
            yield value["shared_object_id"]
        for each in value.values():
            yield from _addresses(each)
    elif isinstance(value, list):
        for each in value:
            yield from _addresses(each)

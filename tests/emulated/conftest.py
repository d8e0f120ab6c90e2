"""Devices of another architecture, and a site that gives them real models."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `from foreign_site import …`
from digits import write
from foreign_site import Site, emulated

from orchestrator.lab.lab import Lab


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, missing: Callable[..., NoReturn]
) -> Iterator[Site]:
    """Two emulated aarch64 devices, jetson-01 and pi-01, as `fleet lab up` makes them."""
    folder = tmp_path_factory.mktemp("emulated")
    with emulated(folder, ("aarch64", "aarch64"), "aarch64", missing) as made:
        yield made


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site without devices: two trained nets, version 1.0 of both built."""
    folder = tmp_path_factory.mktemp("catalog")
    made = Site(folder, Lab(folder, folder / "inventory" / "main"))
    made.begin()
    write(made.inventory)
    made.offer("1.0")
    return made


@pytest.fixture(scope="module")
def built(site: Site, catalog: Site) -> Site:
    """The site with that catalog."""
    site.take(catalog)
    return site

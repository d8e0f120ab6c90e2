"""Real models, made once in a process of their own, and builders on fresh sites."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.artifact.lock import LockedModel
from orchestrator.build.builder import Builder
from orchestrator.build.store import Store
from orchestrator.catalog.model import Model
from orchestrator.catalog.variant import BUILDABLE, Precision

ROOT = Path(__file__).parents[2]
ALL = (
    "tflite-float32",
    "tflite-float16",
    "tflite-int8-dynamic",
    "tflite-int8",
    "onnx-float32",
    "onnx-int8",
)


MADE = tuple(
    name
    for name, recipe in BUILDABLE.items()
    if recipe.precision is not Precision.AS_IS and not recipe.format.compiled
)
"""Every variant of a Keras model that is made here: it cannot be taken as it is."""


@dataclass(frozen=True, slots=True)
class Site:
    """A fresh site on the shared catalog."""

    folder: Path
    catalog: Path

    @property
    def work(self) -> Path:
        return self.folder / ".fleet" / "build"

    @property
    def store(self) -> Store:
        return Store(self.folder / ".fleet" / "store")

    def builder(self, **options: float) -> Builder:
        return Builder(self.catalog, self.store, self.work, **options)

    def build(self, model: Model, **options: object) -> LockedModel:
        return self.builder().build(model, **options)


@pytest.fixture(scope="session")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    script = Path(__file__).with_name("sources.py")
    subprocess.run(
        [sys.executable, str(script), str(folder)], check=True, timeout=400, capture_output=True
    )
    return folder


@pytest.fixture
def site(tmp_path: Path, catalog: Path) -> Site:
    return Site(tmp_path, catalog)


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, catalog: Path) -> Site:
    """A site where everything of digits.keras was built once; tests add to it and change nothing."""
    return Site(tmp_path_factory.mktemp("shared"), catalog)


@pytest.fixture(scope="session")
def digits() -> Callable[..., Model]:
    return a_model


@pytest.fixture(scope="session")
def built(shared: Site) -> LockedModel:
    return shared.build(a_model())


@pytest.fixture(scope="session")
def every(shared: Site, built: LockedModel) -> LockedModel:
    """All that is made of digits.keras; those beside the default are added to what was built."""
    return shared.build(a_model(variants=MADE))


def a_model(
    source: str = "digits.keras",
    *,
    evaluation: str | None = "evaluation",
    calibration: str | None = "calibration",
    variants: tuple[str, ...] = ALL,
    scale: float = 1 / 16,
    golden: dict[str, object] | None = None,
    check: bool = True,
    **more: object,
) -> Model:
    data = {"evaluation": evaluation, "calibration": calibration}
    return Model.model_validate(
        {
            "name": source.split(".")[0],
            "source": f"models/{source}",
            "version": "1",
            "preprocessing": {"scale": scale},
            "data": {kind: f"data/{name}.npz" for kind, name in data.items() if name}
            | {"check": check},
            "golden": golden or {},
            "variants": list(variants),
            **more,
        }
    )


@pytest.fixture
def spawned(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every process that was started, by its arguments."""
    seen: list[list[str]] = []
    started = subprocess.Popen.__init__

    def noted(
        self: subprocess.Popen[bytes], args: list[str], *rest: object, **named: object
    ) -> None:
        seen.append([os.fspath(each) for each in args])
        started(self, args, *rest, **named)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    return seen

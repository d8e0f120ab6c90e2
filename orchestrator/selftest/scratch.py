"""A site of its own for one device, with a storage root of its own below the device's.

The models that the device really runs are never touched: every path that is written on the device
lies below ``<storage_root>/.selftest-<name>``, and goes when the test ends.
"""

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.app import Fleet
from orchestrator.artifact.golden import GoldenSet, Tolerance
from orchestrator.artifact.lock import Lock, LockedArtifact, LockedFile, LockedModel, Status
from orchestrator.artifact.manifest import Manifest
from orchestrator.build.store import Store
from orchestrator.catalog.assignment import Figures
from orchestrator.catalog.model import Limits, Preprocessing
from orchestrator.catalog.variant import Format
from orchestrator.errors import FleetError, Owner
from orchestrator.inventory.device import Device
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.profile import Runtime
from orchestrator.rollout.observation import Unobserved
from orchestrator.selftest.invariant import Seen
from orchestrator.values import sha256

MODEL = "selftest"
_DATA = Path(__file__).with_name("data")
_BALLAST_BYTES = 200_000
_FORMATS = {
    Runtime.LITERT: Format.TFLITE,
    Runtime.TFLITE_RUNTIME: Format.TFLITE,
    Runtime.ONNXRUNTIME: Format.ONNX,
}
_ROOT = 'r=$1; case $r in "~/"*) r=$HOME/${r#"~/"};; esac; '
_LOOK = _ROOT + (
    'cd "$r/selftest" 2>/dev/null || exit 0; '
    'for l in current previous; do [ ! -L "$l" ] || echo "link $l $(readlink "$l")"; done; '
    'for f in releases/*/*; do [ ! -f "$f" ] || { s=$(sha256sum <"$f"); echo "file ${s%% *} $f"; }; '
    "done; for o in * .[!.]* staging/*; do "
    '{ [ -e "$o" ] && [ ! -L "$o" ]; } && echo "other - $o"; done; exit 0'
)
_BORROW = _ROOT + (
    '[ ! -d "${r%/*}/runtimes" ] || { mkdir -p "$r" && ln -s ../runtimes "$r/runtimes"; }'
)
"""What `fleet bootstrap` has brought serves here as well."""
_REMOVE = _ROOT + 'case $r in */.selftest-*) rm -rf "$r" ;; esac'
PLAYBOOK = """name: selftest
waves: [{name: all, size: all, max_failed: 100%}]
keep_releases: 2
confirm_within_s: 5
"""


class NothingToProve(FleetError):
    """The device has no runtime with which any release could be proved."""

    path = ("SELFTEST", "NO_RUNTIME")
    owner = Owner.DEVICE


class Unreachable(FleetError):
    """The device cannot be tested because it cannot be asked."""

    path = ("SELFTEST", "UNREACHABLE")
    owner = Owner.NETWORK


class Scratch:
    """The scratch site, and the device as it stands in it."""

    def __init__(self, folder: Path, fleet: Fleet, device: Device, facts: Facts) -> None:
        """Raises `NothingToProve` if the device has no runtime that fleet knows."""
        found = [one.name for one in facts.runtimes if one.name in _FORMATS]
        if not found:
            raise NothingToProve(
                f"{device.name} has no runtime that could prove a release",
                hint=f"install one of {', '.join(_FORMATS)} on it; see fleet facts -t {device.name}",
            )
        self.folder, self.runtime = folder, found[0]
        root = f"{device.storage_root}/.selftest-{secrets.token_hex(4)}"
        reach = fleet.field.address(device)
        changes = {
            "storage_root": root,
            "identity_file": str(reach.identity.absolute()) if reach.identity else None,
            "known_hosts": str(reach.known_hosts[0].absolute()),
        }
        self.device = device.model_copy(update=changes)
        self._arch = facts.arch
        self.manifests: dict[str, Manifest] = {}
        self._write()
        if (own := fleet.settings.site / "templates").is_dir():  # its scripts are what is tested
            shutil.copytree(own, folder / "templates")

    def offer(self, version: str) -> str:
        """Make a version the one to deploy; its release. Versions differ in 200 kB of ballast."""
        store, format_ = Store(self.folder / ".fleet/store"), _FORMATS[self.runtime]
        model = (_DATA / f"add_one{format_.suffix}").read_bytes()
        golden = (_DATA / "golden.npz").read_bytes()
        seed = hashlib.shake_256(version.encode()).digest(_BALLAST_BYTES // 2)
        labels = seed.hex().encode()
        locked = LockedModel(
            name=MODEL,
            version=version,
            source=sha256(model),
            labels=LockedFile(sha256=store.add(labels), size_bytes=len(labels)),
            preprocessing=Preprocessing(),
            limits=Limits(deadline_s=60.0),
            artifacts=(
                LockedArtifact(
                    variant=f"{format_}-float32",
                    key=sha256(version.encode()),
                    status=Status.ACCEPTED,
                    format=format_,
                    sha256=store.add(model),
                    size_bytes=len(model),
                    figures=Figures(size_bytes=len(model), accuracy=1.0, p50_ms=1.0, samples=2),
                    golden=GoldenSet(
                        sha256=store.add(golden),
                        size_bytes=len(golden),
                        cases=2,
                        tolerances=(Tolerance(output="y", max_abs_diff=1e-6),),
                    ),
                ),
            ),
        )
        manifest = locked.manifest(f"{format_}-float32")
        store.add(manifest.data)
        self._catalog(version, format_)
        Fleet(self.folder).site.write_lock(Lock(models=(locked,)))
        self.manifests[manifest.release] = manifest
        return manifest.release

    def ask(self, fleet: Fleet, script: str) -> str:
        """Run a shell script on the device with the scratch root as its first argument."""
        with fleet.field.connect(self.device) as transport:
            argv = ["sh", "-c", script, "fleet", self.device.storage_root]
            return transport.run(argv, timeout_s=60.0).stdout.decode("utf-8", "replace")

    def seen(self, fleet: Fleet) -> Seen:
        """What lies below the scratch root, hashed by the device outside of fleet's own script."""
        links: dict[str, str] = {}
        releases: dict[str, dict[str, str]] = {}
        others: list[str] = []
        for line in self.ask(fleet, _LOOK).splitlines():
            what, one, *rest = line.split(" ", 2)
            match what, rest:
                case "link", [target]:
                    links[one] = target
                case "file", [path]:
                    _, release, name = path.split("/", 2)
                    releases.setdefault(release, {})[name] = one
                case "other", [path]:
                    others.append(path)
        return Seen(links, releases, {r: m.data for r, m in self.manifests.items()}, tuple(others))

    def remove(self, fleet: Fleet) -> None:
        """Take everything off the device again."""
        with suppress(FleetError):
            self.ask(fleet, _REMOVE)

    def _write(self) -> None:
        device = self.device
        profile = {"kind": "other", "arch": self._arch, "ram_mib": 64, "runtimes": [self.runtime]}
        entry = {
            "transport": device.transport.value,
            "port": device.port,
            "python": device.python,
            "storage_root": device.storage_root,
            "profile": "scratch",
        }
        for key in ("address", "serial", "user", "identity_file", "known_hosts"):
            if value := getattr(device, key):
                entry[key] = value
        inventory = self.folder / "inventory"
        inventory.mkdir(parents=True)
        listing = {"profiles": {"scratch": profile}, "devices": {device.name: entry}}
        (inventory / "devices.yaml").write_text(json.dumps(listing))
        (self.folder / "playbooks").mkdir()
        (self.folder / "playbooks/selftest.yaml").write_text(PLAYBOOK)
        (self.folder / "fleet.toml").write_text('inventory = "inventory"\nplaybook = "selftest"\n')

    def _catalog(self, version: str, format_: Format) -> None:
        entry = {"source": f"add_one{format_.suffix}", "version": version}
        limits = {"deadline_s": 60.0}
        models = {MODEL: {**entry, "variants": [f"{format_}-float32"], "limits": limits}}
        (self.folder / "inventory/models.yaml").write_text(json.dumps({"models": models}))


@contextmanager
def scratch(fleet: Fleet, device: Device, folder: Path) -> Iterator[Scratch]:
    """A scratch site for a device; everything of it is off the device afterwards."""
    observed = fleet.observe([device])[device.name]
    if isinstance(observed, Unobserved):
        raise Unreachable(observed.because, hint=observed.hint)
    made = Scratch(folder, fleet, device, observed.facts)
    try:
        made.ask(fleet, _BORROW)
        yield made
    finally:
        made.remove(fleet)

"""fleet doctor: what is missing on this machine, what for, and how to get it."""

import shutil
import sys
from collections.abc import Iterator
from importlib import metadata, util
from pathlib import Path
from typing import Any

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Format, Rows, Site
from orchestrator.cli.session import leave, screen_only

_COLUMNS = {"what": "WHAT", "status": "", "found": "FOUND", "for": "NEEDED FOR", "get": "GET IT"}
_BUILD = {
    "tensorflow": "Keras sources",
    "tf2onnx": "Keras → ONNX",
    "onnx": "ONNX variants",
    "onnxruntime": "ONNX variants, lab devices",
    "ai_edge_litert": "TFLite variants, lab devices",
    "litert_quantizer": "TFLite int8",
    "openvino": "OpenVINO variants",
}
_DISTRIBUTIONS = {"ai_edge_litert": "ai-edge-litert", "litert_quantizer": "litert-quantizer"}


def doctor(output: Rows = Format.TEXT, site: Site = None) -> None:
    """Say what is missing on this machine, what it is needed for, and how to get it."""
    with screen_only(output) as screen:
        rows = [*_programs(), *_packages(), _toolchain(site), _site(site)]
        screen.rows("doctor", rows, _COLUMNS)
        leave(Exit.FAILED if any(row["status"] == "missing" for row in rows) else Exit.DONE)


def _programs() -> Iterator[dict[str, Any]]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield _row("Python", version, "everything", "")
    sshd = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/sbin")
    apt = "apt-get install --no-install-recommends openssh-server"
    yield _row("sshd", sshd, "fleet lab", f"{apt}  (the lab starts its own; no service is needed)")


def _packages() -> Iterator[dict[str, Any]]:
    for module, purpose in _BUILD.items():
        found = None
        if util.find_spec(module) is not None:
            try:
                found = metadata.version(_DISTRIBUTIONS.get(module, module))
            except metadata.PackageNotFoundError:
                found = "yes"
        name = _DISTRIBUTIONS.get(module, module)
        yield _row(name, found, purpose, "pip install 'fleet-orchestrator[build]'")


def _toolchain(site: Path | None) -> dict[str, Any]:
    from orchestrator.build import onnx2tf
    from orchestrator.errors import FleetError
    from orchestrator.settings import find_site

    try:
        found = onnx2tf.installed(find_site(site) / ".fleet" / "toolchains" / "onnx2tf")
    except FleetError:
        found = None
    row = _row("onnx2tf", found, "ONNX → TFLite (optional)", "fleet toolchain install onnx2tf")
    return row if found else {**row, "status": "optional"}


def _site(site: Path | None) -> dict[str, Any]:
    from orchestrator.errors import FleetError
    from orchestrator.settings import find_site

    try:
        return _row("site", str(find_site(site)), "everything but init and doctor", "")
    except FleetError as error:
        row = _row("site", None, "everything but init and doctor", error.hint)
        return {**row, "status": "optional"}


def _row(what: str, found: str | None, purpose: str, get: str) -> dict[str, Any]:
    status = "ok" if found else "missing"
    return {
        "what": what,
        "status": status,
        "found": found,
        "for": purpose,
        "get": "" if found else get,
    }

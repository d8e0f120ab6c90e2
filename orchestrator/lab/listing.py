"""The inventory file of a lab: so that every other command meets its devices like any others."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from orchestrator.lab.keys import write
from orchestrator.lab.kinds import KINDS
from orchestrator.lab.spec import PORT
from orchestrator.lab.status import State

FILE = "devices.lab.yaml"

_HEADER = (
    "# Written by `fleet lab up`; removed by `fleet lab down`. Every device here is EMULATED.\n"
)


def listing(state: State, elsewhere: Mapping[str, str] = MappingProxyType({})) -> str:
    """The file's text; the first device of each family is in `canary`.

    Args:
        elsewhere: device → the address at which it is to be reached, if not at its own.
    """
    lines = [
        "defaults:",
        f"  user: {state.user}",
        f"  port: {PORT}",
        "  identity_file: .fleet/lab/id_ed25519     # relative to the site",
        "  known_hosts: .fleet/lab/known_hosts",
        "groups:",
        '  lab: {description: "emulated devices on this machine"}',
        "devices:",
    ]
    seen: set[str] = set()
    servers = {name: (port, server) for name, (_, port), server in state.servers()}
    for name, profile, address in state.devices:
        family = KINDS[profile].family
        groups = [f"{family}-group", "lab", *([] if family in seen else ["canary"])]
        seen.add(family)
        lines += [
            f"  {name}:",
            *(["    transport: adb"] if servers[name][1] == "adbd" else []),
            *([f"    port: {servers[name][0]}"] if servers[name][0] != PORT else []),
            f"    address: {elsewhere.get(name, address)}",
            f"    profile: {profile}",
            f"    groups: [{', '.join(groups)}]",
            "    labels: {site: lab}",
            "    emulated: true",
        ]
    return _HEADER + "\n".join(lines) + "\n"


def write_listing(directory: Path, text: str) -> None:
    """Write the file into an inventory directory."""
    directory.mkdir(parents=True, exist_ok=True)
    write(directory / FILE, text.encode())


def remove_listing(directory: Path) -> None:
    """Remove the file, if it is one of ours."""
    file = directory / FILE
    if file.is_file() and file.read_text(errors="replace").startswith(_HEADER):
        file.unlink()

"""fleet bootstrap: put a runtime on devices that have none, or take it away again."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Format, Rows, Site
from orchestrator.cli.session import leave, opened

if TYPE_CHECKING:
    from orchestrator.deploy.bootstrap import Bootstrapped
    from orchestrator.rollout.observation import Unobserved

_COLUMNS = {
    "device": "DEVICE",
    "runtime": "RUNTIME",
    "version": "VERSION",
    "status": "STATUS",
    "sent": "SENT",
    "because": "BECAUSE",
}


class Brought(StrEnum):
    """What can be brought."""

    LITERT = "litert"
    ONNXRUNTIME = "onnxruntime"


def bootstrap(
    target: Annotated[
        str, typer.Argument(help="A device, a group or an expression, as for fleet plan --target.")
    ],
    runtime: Annotated[Brought, typer.Option("--runtime", help="Which runtime.")],
    remove: Annotated[
        bool, typer.Option("--remove", help="Take away what fleet has brought.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Install a runtime on devices from wheels that are fetched here, for their Python and processor.

    Devices need no network, no pip and no root: wheels are pinned by digest in runtimes.lock, sent,
    unpacked into fleet's own folder, imported once, and only then seen. Doing it again sends nothing.
    """
    with opened(site, output) as (fleet, screen):
        from orchestrator.catalog.runtime import BOOTSTRAPS
        from orchestrator.inventory.profile import Runtime

        devices = fleet.select(target)
        adapter = BOOTSTRAPS[Runtime(runtime.value)]
        with screen.progress(len(devices), "bootstrapping") as bar:
            seen = fleet.provision.bootstrap(
                devices, adapter, remove=remove, dry_run=dry_run, watch=lambda d: bar.step()
            )
        rows = [_row(device.name, runtime.value, seen[device.name]) for device in devices]
        screen.rows("bootstrap", rows, _COLUMNS)
        failed = [row for row in rows if row["code"]]
        for row in failed:
            screen.note(f"next:  {row['device']}: {row['hint']}")
        if not failed and not dry_run and screen.for_people:
            screen.say(f"next:  fleet facts --target {target!r} --refresh")
        away = all(row["code"].startswith("TRANSPORT") for row in failed)
        leave((Exit.DEFERRED if away else Exit.FAILED) if failed else Exit.DONE)


def _row(device: str, runtime: str, seen: "Bootstrapped | Unobserved") -> dict[str, Any]:
    from orchestrator.cli.render import size
    from orchestrator.rollout.observation import Unobserved

    if isinstance(seen, Unobserved):
        because = seen.because.removeprefix(f"{device}: ")
        told = {"status": "failed", "because": because, "code": seen.code, "hint": seen.hint}
        return {"device": device, "runtime": runtime, "version": "", "sent": "", **told}
    plain = seen.model_dump(mode="json")
    return {
        **plain,
        "status": seen.done.value,
        "sent": f"{size(seen.bytes_sent)} of {size(seen.size_bytes)}" if seen.size_bytes else "",
        "code": "",
        "hint": "",
    }

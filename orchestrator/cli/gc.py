"""fleet gc: remove what the store holds and nobody needs any more."""

from typing import Annotated

import typer

from orchestrator.cli.options import Output, Plain, Site
from orchestrator.cli.session import opened


def gc(
    unused_days: Annotated[
        float,
        typer.Option(
            "--unused-days",
            min=0,
            help="Also forget cached steps that no build has asked for in so many days.",
        ),
    ] = 30.0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would go, and remove nothing.")
    ] = False,
    output: Output = Plain.TEXT,
    site: Site = None,
) -> None:
    """Remove built files that nothing needs: not the lock, not a device, not the cache.

    What devices run now and what they ran before stays, and so does whatever is younger than an
    hour, which a running build may be about to use.
    """
    with opened(site, output) as (fleet, screen):
        from orchestrator.cli.render import size

        found = fleet.collect(unused_days=unused_days, dry_run=dry_run)
        if not screen.for_people:
            screen.envelope(
                "gc",
                {
                    "dry_run": dry_run,
                    "files": len(found.files),
                    "bytes": found.bytes,
                    "records": len(found.records),
                    "kept_files": found.kept,
                    "kept_bytes": found.kept_bytes,
                },
            )
        verb = "would remove" if dry_run else "removed"
        screen.say(
            f"{verb} {len(found.files)} files ({size(found.bytes)}) and {len(found.records)} "
            f"cached steps; kept {found.kept} files ({size(found.kept_bytes)})"
        )

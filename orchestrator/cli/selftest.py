"""fleet selftest: harmless faults against a device of your own, and a report."""

from typing import Annotated

import typer

from orchestrator.cli.exits import Exit
from orchestrator.cli.options import Format, Rows, Site
from orchestrator.cli.session import leave, opened

_COLUMNS = {"check": "CHECK", "result": "", "seconds": "SECONDS", "because": "BECAUSE"}


def selftest(
    device: Annotated[str, typer.Argument(help="A device's name.")],
    output: Rows = Format.TEXT,
    site: Site = None,
) -> None:
    """Cut lines, damage bytes and hold leases in a scratch folder on a device; models stay as they are."""
    with opened(site, output) as (fleet, screen):
        from orchestrator.selftest.selftest import selftest as run

        report = run(fleet, fleet.device(device), screen.note)
        rows = [
            {
                "check": check.name,
                "result": "wrong" if check.wrong else "ok",
                "seconds": check.seconds,
                "because": "; ".join(check.wrong),
            }
            for check in report.checks
        ]
        screen.rows("selftest", rows, _COLUMNS)
        if screen.for_people:
            wrong = sum(1 for check in report.checks if check.wrong)
            verdict = f"{wrong} of them wrong" if wrong else "none of them left it without a model"
            screen.say(f"{device}: {len(rows)} faults, proved with {report.runtime}: {verdict}")
        leave(Exit.DONE if report.passed else Exit.FAILED)

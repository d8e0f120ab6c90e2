"""The table of commands; everything heavy is imported by the command that needs it."""

import typer

from orchestrator import __version__
from orchestrator.cli import inventory, lab, model, toolchain
from orchestrator.cli.audit import audit, history
from orchestrator.cli.bootstrap import bootstrap
from orchestrator.cli.build import build
from orchestrator.cli.deploy import deploy, plan, rollback
from orchestrator.cli.doctor import doctor
from orchestrator.cli.enroll import enroll
from orchestrator.cli.explain import explain
from orchestrator.cli.facts import facts
from orchestrator.cli.gc import gc
from orchestrator.cli.init import init
from orchestrator.cli.pareto import pareto
from orchestrator.cli.profile import profile
from orchestrator.cli.selftest import selftest

app = typer.Typer(
    name="fleet",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Choose by measurement, roll out with care, prove on the device, and remember.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"fleet {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False,
        "--version",
        callback=lambda asked: _version(asked=asked),
        is_eager=True,
        help="Show the version.",
    ),
) -> None:
    """fleet's root."""


START, CHOOSE, ROLL_OUT, LOOK = "Start", "Choose", "Roll out", "Look back"
app.command(rich_help_panel=START)(init)
app.command(rich_help_panel=START)(doctor)
app.add_typer(lab.commands, name="lab", rich_help_panel=START)
app.command(rich_help_panel=START)(enroll)
app.command(rich_help_panel=START)(bootstrap)
app.add_typer(inventory.commands, name="inventory", rich_help_panel=CHOOSE)
app.command(rich_help_panel=CHOOSE)(facts)
app.command(rich_help_panel=CHOOSE)(build)
app.add_typer(model.commands, name="model", rich_help_panel=CHOOSE)
app.command(rich_help_panel=CHOOSE)(profile)
app.command(rich_help_panel=CHOOSE)(pareto)
app.add_typer(toolchain.commands, name="toolchain", rich_help_panel=CHOOSE)
app.command(rich_help_panel=CHOOSE)(explain)
app.command(rich_help_panel=ROLL_OUT)(plan)
app.command(rich_help_panel=ROLL_OUT)(deploy)
app.command(rich_help_panel=ROLL_OUT)(rollback)
app.command(rich_help_panel=LOOK)(audit)
app.command(rich_help_panel=LOOK)(history)
app.command(rich_help_panel=LOOK)(selftest)
app.command(rich_help_panel=LOOK)(gc)


def run() -> None:
    """Parse the command line and do what it says."""
    app()

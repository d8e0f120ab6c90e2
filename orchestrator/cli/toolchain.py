"""fleet toolchain: tools that need an environment of their own."""

from typing import Annotated

import typer

from orchestrator.cli.options import Site
from orchestrator.cli.session import opened
from orchestrator.errors import NotFound

commands = typer.Typer(
    no_args_is_help=True, help="Tools that need an environment of their own, below .fleet/."
)


@commands.command()
def install(
    name: Annotated[str, typer.Argument(help="onnx2tf: ONNX → TFLite.")], site: Site = None
) -> None:
    """Install a tool into the site's .fleet/toolchains/; needs a package index."""
    with opened(site, "text") as (fleet, screen):
        if name != "onnx2tf":
            raise NotFound("toolchain", name, ["onnx2tf"])
        from orchestrator.build import onnx2tf

        folder = fleet.settings.state / "toolchains" / name
        onnx2tf.install(folder, screen.note)
        screen.say(f"{name} {onnx2tf.installed(folder)} is installed; build again: fleet build")

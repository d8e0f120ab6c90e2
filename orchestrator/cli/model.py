"""fleet model: what a built artifact is made of, and what differs between two of them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import Format, Output, Plain, Rows, Site
from orchestrator.cli.session import opened

if TYPE_CHECKING:
    from orchestrator.artifact.bought import Bought
    from orchestrator.build.anatomy import Anatomy, Port
    from orchestrator.cli.render import Screen

commands = typer.Typer(no_args_is_help=True, help="What built artifacts are made of.")
Named = Annotated[str, typer.Argument(help="MODEL:VARIANT, such as fashion:tflite-int8.")]


@commands.command()
def show(artifact: Named, output: Output = Plain.TEXT, site: Site = None) -> None:
    """Show one artifact: operations, weights, inputs and outputs, figures, provenance."""
    with opened(site, output) as (fleet, screen):
        locked, anatomy = fleet.anatomy(artifact)
        bought = fleet.bought(artifact)
        if not screen.for_people:
            pruning = {"pruning": {**bought.model_dump(), "words": bought.words}} if bought else {}
            screen.envelope("model", {"artifact": locked, "anatomy": anatomy, **pruning})
            return
        figures = locked.figures.model_dump(exclude_none=True) if locked.figures else {}
        screen.say(f"[bold]{artifact}[/]  {locked.status.value}  {locked.sha256}")
        for title, lines in _sections(anatomy).items():
            screen.say(f"[bold]{title}[/]")
            for key, value in lines.items():
                screen.say(f"  {key:<28}{value}")
        for key, value in _pruned(bought).items() if bought else ():
            screen.say(f"  {key:<28}{value}" if value else f"[bold]{key}[/]")
        screen.say("[bold]figures[/]")
        for key, value in figures.items():
            screen.say(f"  {key:<28}{value}")


@commands.command()
def diff(one: Named, other: Named, output: Rows = Format.TEXT, site: Site = None) -> None:
    """Show what differs between two artifacts: operations, weights, ports, figures."""
    with opened(site, output) as (fleet, screen):
        left, right = fleet.anatomy(one), fleet.anatomy(other)
        rows: list[dict[str, Any]] = []
        for title in ("operations", "weights", "inputs", "outputs", "file"):
            a, b = _sections(left[1]).get(title, {}), _sections(right[1]).get(title, {})
            rows += _changed(title, a, b)
        figures = [
            each.figures.model_dump(exclude_none=True) if each.figures else {}
            for each in (left[0], right[0])
        ]
        rows += _changed("figures", *figures)
        _show(screen, rows, one, other)


def _show(screen: "Screen", rows: list[dict[str, Any]], one: str, other: str) -> None:
    if not rows and screen.for_people:
        screen.say("nothing differs")
        return
    screen.rows("diff", rows, {"part": "PART", "key": "", "one": one, "other": other})


def _changed(part: str, one: dict[str, Any], other: dict[str, Any]) -> list[dict[str, Any]]:
    keys = [*one, *(key for key in other if key not in one)]
    return [
        {"part": part, "key": key, "one": one.get(key), "other": other.get(key)}
        for key in keys
        if one.get(key) != other.get(key)
    ]


def _sections(anatomy: "Anatomy") -> dict[str, dict[str, str]]:
    from orchestrator.cli.render import size

    sections = {
        "operations": {each.name: str(each.count) for each in anatomy.operations},
        "weights": {
            each.name: f"{each.count} tensors, {size(each.size_bytes)}" for each in anatomy.weights
        },
        "inputs": {port.name: _port(port) for port in anatomy.inputs},
        "outputs": {port.name: _port(port) for port in anatomy.outputs},
        "file": {"bytes": str(anatomy.size_bytes)},
    }
    return sections | ({"metadata": dict(anatomy.metadata)} if anatomy.metadata else {})


def _pruned(bought: "Bought") -> dict[str, str]:
    """What pruning did to each layer, and what it buys; the title has no value."""
    sparsity = bought.sparsity
    lines = {"pruning": "", "sparsity": f"{sparsity.share:.4f} of all kernels"}
    for each in sparsity.layers:
        channels = f", {each.channels} channels" if each.channels is not None else ""
        lines[f"  {each.name}"] = (
            f"{each.sparsity:.4f}  {each.left} of {each.weights} left{channels}"
        )
    if sparsity.renormalized:
        lines["batch normalisations"] = f"{sparsity.renormalized} with new statistics"
    if bought.gain is not None and bought.twin:
        lines["gain"] = f"{bought.gain:+.4g} in the metric against {bought.twin.variant}"
    return {**lines, "what it buys": bought.words}


def _port(port: "Port") -> str:
    shape = " × ".join("?" if size < 0 else str(size) for size in port.shape)
    scale = f"  scale {port.scale:.6g}, zero {port.zero}" if port.scale is not None else ""
    return f"{port.dtype}  {shape}{scale}"

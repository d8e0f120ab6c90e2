"""fleet model: what a built artifact is made of, and what differs between two of them."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.options import Format, Output, Plain, Rows, Site
from orchestrator.cli.session import opened

if TYPE_CHECKING:
    from orchestrator.artifact.bought import Bought
    from orchestrator.artifact.lock import LockedArtifact
    from orchestrator.artifact.mixture import Block, Mixture
    from orchestrator.build.anatomy import Anatomy, Port
    from orchestrator.build.coverage import Counted
    from orchestrator.cli.render import Screen

commands = typer.Typer(no_args_is_help=True, help="What built artifacts are made of.")
Named = Annotated[str, typer.Argument(help="MODEL:VARIANT, such as fashion:tflite-int8.")]
_COLUMNS = {
    "variant": "VARIANT",
    "status": "STATUS",
    "operations": "OPERATIONS",
    "weights": "WEIGHTS",
    "inputs": "INPUTS",
    "outputs": "OUTPUTS",
    "bytes": "BYTES",
}


@commands.command()
def show(
    artifact: Annotated[str, typer.Argument(help="MODEL, or MODEL:VARIANT for one artifact.")],
    output: Output = Plain.TEXT,
    site: Site = None,
) -> None:
    """Show one artifact: operations, weights, inputs and outputs, figures, blocks, provenance.

    With a MODEL alone, all of its built artifacts side by side.
    """
    with opened(site, output) as (fleet, screen):
        from rich.markup import escape

        if ":" not in artifact:
            built = [a.variant for a in fleet.workshop.locked(artifact).artifacts if a.sha256]
            every = [fleet.workshop.anatomy(f"{artifact}:{variant}") for variant in built]
            screen.rows("model", [_row(*each) for each in every], _COLUMNS)
            return
        locked, anatomy = fleet.workshop.anatomy(artifact)
        bought = fleet.workshop.bought(artifact)
        if not screen.for_people:
            pruning = {"pruning": {**bought.model_dump(), "words": bought.words}} if bought else {}
            screen.envelope("model", {"artifact": locked, "anatomy": anatomy, **pruning})
            return
        screen.say(f"[bold]{artifact}[/]  {locked.status.value}  {locked.sha256}")
        if locked.because:
            screen.say(escape(locked.because))
        for title, lines in _sections(locked, anatomy).items():
            screen.say(f"[bold]{title}[/]")
            for key, value in lines.items():
                screen.say(f"  {escape(key):<28}{escape(value)}")
        for key, value in _pruned(bought).items() if bought else ():
            screen.say(f"  {escape(key):<28}{escape(value)}" if value else f"[bold]{key}[/]")


def _row(locked: "LockedArtifact", anatomy: "Anatomy") -> dict[str, Any]:
    """One artifact in few words; programs also get all of its anatomy."""
    ports = {
        "inputs": ", ".join(f"{p.name} {_port(p)}" for p in anatomy.inputs),
        "outputs": ", ".join(f"{p.name} {_port(p)}" for p in anatomy.outputs),
    }
    return {
        "variant": locked.variant,
        "status": locked.status.value,
        "operations": sum(each.count for each in anatomy.operations),
        "weights": ", ".join(f"{w.name} {w.size_bytes}" for w in anatomy.weights),
        **ports,
        "bytes": anatomy.size_bytes,
        "anatomy": anatomy,
    }


@commands.command()
def diff(one: Named, other: Named, output: Rows = Format.TEXT, site: Site = None) -> None:
    """Show what differs between two artifacts: operations, weights, ports, figures, provenance."""
    with opened(site, output) as (fleet, screen):
        left, right = fleet.workshop.anatomy(one), fleet.workshop.anatomy(other)
        rows: list[dict[str, Any]] = []
        mine, theirs = _sections(*left), _sections(*right)
        for title in dict.fromkeys((*mine, *theirs)):
            rows += _changed(title, mine.get(title, {}), theirs.get(title, {}))
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


def _sections(locked: "LockedArtifact", anatomy: "Anatomy") -> dict[str, dict[str, str]]:
    """Everything that is known of an artifact, by part and name; empty parts are left out."""
    from orchestrator.cli.render import size

    figures = locked.figures.model_dump(exclude_none=True) if locked.figures else {}
    metadata = dict(anatomy.metadata)
    provenance = _flat(metadata.pop("fleet.provenance", ""))
    mixture = locked.mixture
    sections = {
        "operations": {each.name: str(each.count) for each in anatomy.operations},
        "multiplying operations": {each.kind: _covered(each) for each in anatomy.coverage.kinds},
        "weights": {
            each.name: f"{each.count} tensors, {size(each.size_bytes)}" for each in anatomy.weights
        },
        "inputs": {port.name: _port(port) for port in anatomy.inputs},
        "outputs": {port.name: _port(port) for port in anatomy.outputs},
        "file": {"bytes": str(anatomy.size_bytes)},
        "figures": {key: str(value) for key, value in figures.items()},
        "blocks": {each.name: _block(each, mixture) for each in mixture.blocks} if mixture else {},
        "provenance": provenance,
        "metadata": metadata,
    }
    return {title: lines for title, lines in sections.items() if lines}


def _block(block: "Block", mixture: "Mixture") -> str:
    made = "float" if block.name in mixture.kept else "int8"
    kinds = ", ".join(block.operations)
    return f"{made}; {block.snr_db:.1f} dB signal to deviation where it alone is int8; {kinds}"


def _flat(provenance: str) -> dict[str, str]:
    """What a file says of its own making, one line a fact; tools each on a line of their own."""
    try:
        said = json.loads(provenance)
    except ValueError:
        return {"fleet.provenance": provenance} if provenance else {}
    tools = said.pop("tools", {})
    plain = {key: value for key, value in said.items() if value is not None}
    return {
        **{k: v if isinstance(v, str) else json.dumps(v) for k, v in plain.items()},
        **{f"tool {name}": version for name, version in tools.items()},
    }


def _covered(counted: "Counted") -> str:
    """How many there are, and how far they are quantized."""
    return (
        f"{counted.count}, of which {counted.weights} with integer weights, "
        f"{counted.activations} with integer activations too"
    )


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

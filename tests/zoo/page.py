"""The zoo's table as a page: what was built of which source, what became of it, in what time."""

from collections.abc import Sequence
from typing import Protocol

HEAD = """# The model zoo

Written by `make zoo`, which runs `tests/zoo`: every model below goes through `fleet build`, then onto an
emulated device (a real sshd and real runtimes on x86-64; nothing here ran on ARM), where its golden cases
are computed again in the device's own process. Times are wall clock on a machine with two cores that had
other things to do; they show proportions, no more. *Built* is the time from the first step of a variant to
its verdict, waiting for what it is made from included; *on the device* is the median of one inference.

What the models are shown: Fashion-MNIST (`fashion`), BasicMotions (`motions`, `lstm`), real files (`magika`),
computed chords of plucked strings (`nmp`, which is basic-pitch), and pictures of clothes in place of faces
(`fer`): the last two prove that equal numbers come out, not that notes or faces are recognised.
"""


class Row(Protocol):
    """See the zoo's conftest."""

    source: str
    variant: str
    verdict: str
    seconds: float
    size_bytes: int
    device: str
    p50_ms: float | None


def page(rows: Sequence[Row]) -> str:
    """Markdown: a table of the models with names, and the count of the ONNX backend suite."""
    own = [row for row in rows if "/onnx-" not in row.source]
    suite = [row for row in rows if "/onnx-" in row.source]
    lines = [
        HEAD,
        "| source | variant | verdict | size | built | on the device | |",
        "|---|---|---|---|---|---|---|",
        *(_line(row) for row in own),
        "",
        "## ONNX backend suite",
        "",
        _count(suite),
        "",
        *(
            f"- `{row.source.removeprefix('models/')}`: {_said(row)}"
            for row in suite
            if not _ok(row)
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _ok(row: Row) -> bool:
    return row.device == "succeeded"


def _said(row: Row) -> str:
    words = row.verdict.split(" (log:")[0].replace(f"{row.source}: ", "")
    short = words if len(words) < 200 else f"{words[:200]}…"
    return short.replace("|", "\\|") + (f"; {row.device}" * bool(row.device))


def _line(row: Row) -> str:
    size = f"{row.size_bytes / 1024:.0f} KiB" if row.size_bytes else ""
    p50 = f"{row.p50_ms:.3f} ms" if row.p50_ms is not None else ""
    source = row.source.removeprefix("models/")
    proved = "proved" if _ok(row) else row.device
    verdict = row.verdict.split(" (log:")[0].replace("|", "\\|")
    return f"| `{source}` | {row.variant} | {verdict} | {size} | {row.seconds:.1f} s | {p50} | {proved} |"


def _count(suite: Sequence[Row]) -> str:
    proved = [row for row in suite if _ok(row)]
    seconds = sum(row.seconds for row in suite)
    return (
        "Cases of the kinds simple, pytorch-converted and pytorch-operator, each as `onnx-float32` "
        "with the suite's own inputs and expected outputs: "
        f"**{len(proved)} of {len(suite)}** built, measured, deployed and proved; "
        f"{seconds:.0f} s of building in one process. The others, and why:"
    )

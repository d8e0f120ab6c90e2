"""What edgetpu_compiler says, versions 14.1, 15.0 and 16.0: on its output, or in its operation log. Pure.

Grammar read off public logs: google-coral/edgetpu issues 173, 211, 340, 356, 358, 490, 671 and 879.
"""

import re

from orchestrator.values import Value

MAPPED = "Mapped to Edge TPU"
_SIZE = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_COUNTS = {
    "On-chip memory used for caching model parameters": "cached_bytes",
    "Off-chip memory used for streaming uncached model parameters": "streamed_bytes",
    "Number of Edge TPU subgraphs": "subgraphs",
    "Total number of operations": "operations",
    "Number of operations that will run on Edge TPU": "on_tpu",
    "Number of operations that will run on CPU": "on_cpu",
}
_ROW = re.compile(r"([A-Z][A-Z0-9_]+)\s{2,}(\d+)\s{2,}(\S.*)")
_FIGURE = re.compile(r"(.+?): ([\d.]+)(B|KiB|MiB|GiB)?")
_FAILED = re.compile(
    r"ERROR: .+|Compilation failed.*|Internal compiler error.*|Invalid model: .+|Model could not .+"
)


class Row(Value):
    """Operations of one kind that fare alike, and how."""

    kind: str
    count: int
    status: str


class CompilerLog(Value):
    """Everything that can be read off a log; None where it does not say."""

    version: str = ""
    succeeded: bool = False
    cached_bytes: int | None = None
    streamed_bytes: int | None = None
    subgraphs: int | None = None
    operations: int | None = None
    on_tpu: int | None = None
    on_cpu: int | None = None
    rows: tuple[Row, ...] = ()
    errors: tuple[str, ...] = ()

    @property
    def counts(self) -> tuple[tuple[int, int], ...]:
        """Operations on the Edge TPU and on the processor, as often as the log tells it.

        The summary names them only where some are left to the processor: otherwise all are mapped.
        """
        told = []
        if self.on_tpu is not None and self.on_cpu is not None:
            told.append((self.on_tpu, self.on_cpu))
        elif self.succeeded and self.operations is not None:
            told.append((self.operations, 0))
        if self.rows:
            mapped = sum(row.count for row in self.rows if row.status == MAPPED)
            told.append((mapped, sum(row.count for row in self.rows) - mapped))
        return tuple(told)


def read_compiler_log(text: str) -> CompilerLog:
    """The text of a log → what it says. Lines of other programs around it are passed over."""
    found: dict[str, int] = {}
    rows, errors, version, succeeded = [], [], "", False
    for line in map(str.strip, text.splitlines()):
        if each := re.match(r"Edge TPU Compiler version (\S+)", line):
            version = each[1]
        elif re.match(r"Models? compiled successfully", line):
            succeeded = True
        elif _FAILED.fullmatch(line):
            errors.append(line)
        elif (each := _FIGURE.fullmatch(line)) and each[1] in _COUNTS:
            found[_COUNTS[each[1]]] = int(float(each[2]) * _SIZE[each[3] or "B"])
        elif each := _ROW.fullmatch(line):
            rows.append(Row(kind=each[1], count=int(each[2]), status=each[3]))
    return CompilerLog(
        version=version, succeeded=succeeded, rows=tuple(rows), errors=tuple(errors), **found
    )

"""Golden cases as plain bytes, for programs that know nothing of NumPy's files; compared without it."""

import ast
import io
import math
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

_CODES = {
    "f4": "f",
    "f8": "d",
    "f2": "e",
    "i1": "b",
    "u1": "B",
    "i2": "h",
    "u2": "H",
    "i4": "i",
    "u4": "I",
    "i8": "q",
    "u8": "Q",
    "b1": "?",
}
"""NumPy's type → `struct`'s."""


class NotRaw(ValueError):
    """An array that plain little-endian numbers cannot say: text, complex numbers, another order."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output for all golden cases: little-endian numbers in C order.

    `shape` is that of one case, `code` what `struct` calls the type.
    """

    name: str
    code: str
    shape: tuple[int, ...]
    cases: int
    data: bytes

    @property
    def case_bytes(self) -> int:
        """The size of one case."""
        return len(self.data) // self.cases if self.cases else 0

    def case(self, index: int) -> bytes:
        """One case's bytes."""
        size = self.case_bytes
        return self.data[index * size : (index + 1) * size]


@dataclass(frozen=True, slots=True)
class Golden:
    """Inputs and outputs in alphabetical order of their names: ``0.raw``, ``1.raw`` …"""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def files(self, cases: int) -> tuple[tuple[str, bytes], ...]:
        """``<case>-<n>.raw`` → bytes, for the inputs of every case."""
        return tuple(
            (f"{case}-{index}.raw", tensor.case(case))
            for case in range(cases)
            for index, tensor in enumerate(self.inputs)
        )

    def places(self, cases: int) -> dict[tuple[int, str], int]:
        """Where outputs should be, by case and name of the file, and how many bytes each has."""
        return {
            (case, f"{index}.raw"): tensor.case_bytes
            for case in range(cases)
            for index, tensor in enumerate(self.outputs)
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """How outputs compare: `because` is empty where all are within their tolerance."""

    because: str
    cases: int
    worst_output: str = ""
    worst_diff: float | None = None
    allowed_diff: float | None = None


def read_golden(data: bytes) -> Golden:
    """A release's ``golden.npz`` → its tensors.

    Raises:
        NotRaw: an array is not of numbers, or not in C order.
        zipfile.BadZipFile: it is no such file.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = sorted(archive.namelist())
        found = [(n.removesuffix(".npy"), archive.read(n)) for n in names]
    inputs = [_tensor(n[3:], npy) for n, npy in found if n.startswith("in_")]
    outputs = [_tensor(n[4:], npy) for n, npy in found if n.startswith("out_")]
    return Golden(*(tuple(sorted(each, key=lambda t: t.name)) for each in (inputs, outputs)))


def compared(
    golden: Golden, cases: int, given: Mapping[tuple[int, str], bytes], allowed: Mapping[str, float]
) -> Comparison:
    """What smoke.py does with NumPy: every case, every output, each within its tolerance.

    Args:
        given: bytes by case and file name; all are there and as long as they should be.
        allowed: by output; equal where it is not named.
    """
    worst = (-1.0, "", 0.0, 0.0)
    for case in range(cases):
        for index, tensor in enumerate(golden.outputs):
            most = _most(tensor, tensor.case(case), given[case, f"{index}.raw"])
            limit = allowed.get(tensor.name, 0.0)
            if not most <= limit:
                return Comparison(
                    f"output {tensor.name!r} of golden case {case} is off by {most:.4g}, "
                    f"allowed is {limit:.4g}",
                    case + 1,
                    tensor.name,
                    most if math.isfinite(most) else None,
                    limit,
                )
            share = most / limit if limit else most
            worst = max(worst, (share, tensor.name, most, limit), key=lambda each: each[0])
    return Comparison("", cases, *worst[1:])


def _most(tensor: Tensor, want: bytes, have: bytes) -> float:
    """The greatest difference of two tensors; not a number is infinitely far from everything else."""
    if want == have:
        return 0.0
    count = len(want) // struct.calcsize("<" + tensor.code)
    wanted, given = (struct.unpack(f"<{count}{tensor.code}", each) for each in (want, have))
    if tensor.code not in "fde":
        return float(max(abs(int(a) - int(b)) for a, b in zip(wanted, given, strict=True)))
    return max(_apart(a, b) for a, b in zip(wanted, given, strict=True))


def _apart(a: float, b: float) -> float:
    diff = abs(a - b)
    return diff if math.isfinite(diff) else math.inf


def _tensor(name: str, npy: bytes) -> Tensor:
    """Source: NumPy's format, numpy.lib.format: magic, version, header length, a dict, the data."""
    long = npy[6] > 1
    start = 12 if long else 10
    (size,) = struct.unpack_from("<I" if long else "<H", npy, 8)
    header = ast.literal_eval(npy[start : start + size].decode("latin1").strip())
    kind = str(header["descr"])
    code = _CODES.get(kind.lstrip("<|"))
    shape = tuple(header["shape"])
    if code is None or (header["fortran_order"] and len(shape) > 1) or not shape:
        raise NotRaw(f"{name!r} is of {kind}, shape {shape}, and cannot go as plain numbers")
    return Tensor(name, code, shape[1:], shape[0], npy[start + size :])

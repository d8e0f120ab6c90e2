"""What every value in the house has in common: frozen, unknown keys refused, one canonical form."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

import pydantic_core
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
)

K = TypeVar("K")
L = TypeVar("L")
V = TypeVar("V")

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A SHA-256 digest as 64 lower-case hexadecimal digits."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""A name that can stand in a path, a URL and a target expression without quoting."""

Mib = Annotated[int, Field(ge=0)]
"""A size in mebibytes (2**20 bytes)."""


class Value(BaseModel):
    """Base of everything that crosses a file: immutable, closed, comparable."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def canonical(value: Any) -> bytes:
    """One byte string per value: JSON, keys sorted, no spaces, UTF-8, a newline at the end.

    Equal values give equal bytes on any machine and under any ``PYTHONHASHSEED``; lists keep
    their order. Floats are written with the shortest digits that read back the same.
    """
    plain = pydantic_core.to_jsonable_python(value)
    text = json.dumps(
        plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode() + b"\n"


def sha256(data: bytes) -> str:
    """The SHA-256 of some bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def digest(value: Any) -> str:
    """The SHA-256 of a value's canonical form."""
    return sha256(canonical(value))


def by_first(pairs: Mapping[tuple[K, L], V]) -> dict[K, dict[L, V]]:
    """What is known by two keys, by the first and then by the second."""
    found: dict[K, dict[L, V]] = {}
    for (first, second), value in pairs.items():
        found.setdefault(first, {})[second] = value
    return found


class BadPart(ValueError):
    """What a validator says about one part of what it was given; `at` is the way to that part."""

    def __init__(self, message: str, *at: str | int, hint: str = "") -> None:
        self.at, self.hint = at, hint
        super().__init__(message)


def _pairs(raw: Any) -> Any:
    return tuple(raw.items()) if isinstance(raw, dict) else raw


def _sorted(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(pairs))


Labels = Annotated[
    tuple[tuple[str, str], ...],
    BeforeValidator(_pairs),
    AfterValidator(_sorted),
    PlainSerializer(dict, return_type=dict[str, str]),
]
"""A mapping of strings as a value: read from a mapping, kept as sorted pairs, written as a mapping."""

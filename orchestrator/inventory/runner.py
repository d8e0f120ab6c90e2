"""A program of the site's own that runs models, as an argument list; and what a smoke test must prove."""

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from orchestrator.values import Value

PLACES = ("{model}", "{inputs}", "{outputs}")
"""What stands in a command for paths that only the device knows."""


class Proof(StrEnum):
    """What a smoke test must show before a release may be switched to."""

    COMPARED = "compared"
    RUNS_ONLY = "runs-only"


def _is_word(word: str) -> str:
    if not word or any(ord(char) < 32 for char in word):
        raise ValueError("should be one argument, without line breaks")
    for place in re.findall(r"\{[a-z]*\}", word):
        if place not in PLACES:
            raise ValueError(f"{place} is none of {', '.join(PLACES)}")
    if any(word.count(place) > 1 for place in PLACES):
        raise ValueError("should hold a placeholder once at most")
    return word


def _is_command(words: tuple[str, ...]) -> tuple[str, ...]:
    if any(place in words[0] for place in PLACES):
        raise ValueError("the first word should be the program")
    if not any("{model}" in word for word in words):
        raise ValueError("should name the model's file: {model}")
    if any("{outputs}" in word for word in words) and not any("{inputs}" in w for w in words):
        raise ValueError("should say where inputs are as well: {inputs}")
    return words


class Runner(Value):
    """How a model is run on a device without Python: an argument list, never a shell's line.

    Started once for each golden case. ``{model}`` is the model's file; ``{inputs}`` a folder with
    ``0.raw``, ``1.raw`` … : the model's inputs in alphabetical order of their names, each as plain
    little-endian numbers in C order; ``{outputs}`` an empty folder for its outputs, in the same
    manner. Exit status 0 says that they are all there. Lines ``inference_ms=1.25`` and
    ``rss_mib=40`` on its standard output are believed. A program may begin with ``~/``.
    """

    command: Annotated[
        tuple[Annotated[str, AfterValidator(_is_word)], ...],
        Field(min_length=2),
        AfterValidator(_is_command),
    ]
    formats: Annotated[
        tuple[Literal["tflite", "onnx", "ort", "openvino"], ...], Field(min_length=1)
    ]

    @property
    def proof(self) -> Proof:
        """What it can prove: without outputs there is nothing to compare."""
        tells = any("{outputs}" in word for word in self.command)
        return Proof.COMPARED if tells else Proof.RUNS_ONLY

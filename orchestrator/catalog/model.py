"""One ML model: where it comes from, how its input is prepared, and what it must live up to."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    field_serializer,
    model_validator,
)

from orchestrator.catalog.acceptance import Acceptance
from orchestrator.catalog.pruning import unfit
from orchestrator.catalog.variant import BUILDABLE, DEFAULT, Recipe, Variant, unpruned
from orchestrator.errors import nearest
from orchestrator.values import BadPart, Name, Sha256, Value
from orchestrator.yamltext import Document

Positive = Annotated[float, Field(gt=0)]


def _below(path: str) -> str:
    if ".." in path.split("/"):
        raise ValueError("should be below the folder of models.yaml")
    return path


SitePath = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9._][A-Za-z0-9._/+-]*$"), AfterValidator(_below)
]
"""A path below the folder of models.yaml, with forward slashes."""


class Preprocessing(Value):
    """Raw sample → model input: ``(x * scale - mean) / std`` as float32, per channel or for all.

    `mean` and `std` hold one number, or one per channel. `channels` says which axis of a sample
    they are: the ``last`` (TensorFlow's images) or the ``first`` (PyTorch's).
    """

    scale: float = 1.0
    mean: Annotated[tuple[float, ...], Field(min_length=1)] = (0.0,)
    std: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)
    channels: Annotated[
        Literal["first", "last"], Field(exclude_if=lambda value: value == "last")
    ] = "last"

    @model_validator(mode="after")
    def _as_many_of_each(self) -> Self:
        counts = len(self.mean), len(self.std)
        if 1 not in counts and counts[0] != counts[1]:
            raise BadPart(
                f"'std' has {counts[1]} numbers, and 'mean' has {counts[0]}",
                "std",
                hint="give one number for all channels, or one for each",
            )
        return self


class Data(Value):
    """Where the samples come from: ``.npz`` files whose arrays are named after the model's inputs.

    A model with one input may call it ``x``; labels are ``y``, by default one integer class per
    sample (see `Metric`). Samples are raw: preprocessing is applied once, by the builder, and
    shipped with the release. `check` is whether calibration data is compared with the evaluation
    data before it is used: 20 samples at least, not constant, not noise, of the same range.
    `training` is what pruned models are trained further on: labels ``y`` are integer classes, or
    floats of the output's shape.
    """

    calibration: SitePath | None = None
    evaluation: SitePath | None = None
    training: SitePath | None = None
    check: bool = True


class Golden(Value):
    """Which samples prove on the device that a release computes what it should.

    `cases` are taken from the start of `inputs` (default: the evaluation data). Where `inputs`
    also holds arrays named after the outputs, with the prefix ``expect_``, those are what the
    float model has to reproduce; otherwise the float model's own outputs are.
    """

    inputs: SitePath | None = None
    cases: Annotated[int, Field(ge=1, le=64)] = 8


class Limits(Value):
    """What a release must live up to on the device itself, in its smoke test."""

    max_p50_ms: Positive | None = None
    max_rss_mib: Positive | None = None
    deadline_s: Positive = 60.0


class Model(Value):
    """A model as the catalog describes it."""

    name: Name
    source: SitePath
    sha256: Sha256 | None = None
    version: Name
    target: str = "all"
    labels: SitePath | None = None
    preprocessing: Preprocessing = Preprocessing()
    data: Data = Data()
    golden: Golden = Golden()
    acceptance: Acceptance = Acceptance()
    limits: Limits = Limits()
    variants: Annotated[tuple[Variant, ...], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _named_variants(cls, raw: Any) -> Any:
        """Let ``variants`` be a list of names, or names with what differs: a mapping, or in the list."""
        if not isinstance(raw, Mapping):
            return raw
        given = raw.get("variants", list(DEFAULT))
        if isinstance(given, list):
            made = [_variant(*_entry(each), index) for index, each in enumerate(given)]
        elif isinstance(given, Mapping):
            made = [_variant(name, more, name) for name, more in given.items()]
        else:
            raise BadPart("'variants' should be a list of names", "variants", hint=_VARIANTS)
        return {**raw, "variants": tuple(made)}

    @model_validator(mode="after")
    def _prunable(self) -> Self:
        for variant in self.variants:
            if variant.pruning is None:
                continue
            because, hint = unfit(variant.pruning, self.source, self.data.training)
            if because:
                raise BadPart(f"{variant.name!r} {because}", "variants", variant.name, hint=hint)
        return self

    @field_serializer("variants")
    def _as_written(self, variants: tuple[Variant, ...]) -> dict[str, dict[str, Any]]:
        """Write variants as they are read: by name, with what differs."""
        fixed = {"name", *Recipe.model_fields} - {"pruning"}
        return {v.name: v.model_dump(mode="json", exclude=fixed) for v in variants}


_VARIANTS = f"known variants: {', '.join(BUILDABLE)}"


def _entry(each: Any) -> tuple[Any, Any]:
    """A name in a list, or ``- name: {…}``, with what differs."""
    if isinstance(each, Mapping) and len(each) == 1:
        return next(iter(each.items()))
    return each, {}


def _variant(name: Any, more: Any, at: str | int) -> Any:
    if isinstance(name, Variant):
        return name
    twin = unpruned(name) if isinstance(name, str) else None
    if not isinstance(name, str) or (twin or name) not in BUILDABLE:
        near = nearest(name, BUILDABLE) if isinstance(name, str) else ""
        raise BadPart(f"no variant named {name!r}{near}", "variants", at, hint=_VARIANTS)
    if not isinstance(more, Mapping | None):
        raise BadPart(f"{name!r} is {more!r}: should be a mapping", "variants", at)
    fixed = {"name", *Recipe.model_fields} - ({"pruning"} if twin else set())
    for key in more or {}:
        if key in fixed:
            hint = f"call it '{name}-pruned'" if key == "pruning" else ""
            raise BadPart(f"{key!r} of {name!r} cannot be changed", "variants", at, key, hint=hint)
    if twin and (more or {}).get("pruning") is None:
        how = f"{name}: {{pruning: {{sparsity: 0.5}}}}"
        raise BadPart(f"{name!r} does not say how", "variants", at, hint=f"write {how}, say")
    return {"name": name, **dict(BUILDABLE[twin or name]), **(more or {})}


def read_models(text: str, file: str) -> dict[str, Model]:
    """models.yaml → its models by name.

    Raises:
        BadInput: with file, line, the value, what was expected and the nearest known key.
    """
    document = Document(text, file)
    document.only("models")
    return {
        name: document.into(Model, ("models", name), name=name)
        for name in document.section("models")
    }

"""What can be wrong with what a person hands to the builder, and with the tools it needs."""

from typing import ClassVar

from orchestrator.errors import BadInput, FleetError, Owner


class BadSource(BadInput):
    """A model's source file is not what its name says, or nothing that can be converted."""

    path = ("BUILD", "SOURCE")
    owner: ClassVar[Owner] = Owner.ARTIFACT


class BadData(BadInput):
    """A data file does not fit the model it is named for."""

    path = ("BUILD", "DATA")


class BadGolden(BadInput):
    """Nothing to make golden cases from, or expectations that do not fit the model's outputs."""

    path = ("BUILD", "GOLDEN")


class MissingTool(FleetError):
    """A library that the workers need is not installed in this environment."""

    path = ("BUILD", "TOOLCHAIN")

    def __init__(self, package: str, what_for: str) -> None:
        self.package = package
        super().__init__(
            f"{package} is not installed, and {what_for} needs it",
            hint="pip install 'fleet-orchestrator[build]'",
        )


class Unfaithful(Exception):
    """A converted model does not compute what its source does: a result, not an error."""


class Unprunable(Exception):
    """A model that has nothing to prune, or not in the way asked for: a result, not an error."""

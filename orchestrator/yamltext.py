"""YAML text → value, where every refusal can name its file, line, offending value and nearest key."""

import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from orchestrator.errors import BadInput, nearest
from orchestrator.values import BadPart

V = TypeVar("V", bound=BaseModel)
Path = tuple[str | int, ...]

_MAX_DEPTH = 32
_MAX_UNFOLDED = 100_000
"""How much aliases may add to what is written; far above any real inventory, far below harm."""

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Document:
    """A parsed YAML text that remembers the line of everything in it."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self._lines: dict[Path, int] = {}
        self._left = len(text) + _MAX_UNFOLDED
        self._scalars = yaml.constructor.SafeConstructor()
        try:
            self._refuse_deep(text)
            root = yaml.compose(text, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            raise self._syntax(error) from error
        except yaml.YAMLError as error:
            raise BadInput(f"not YAML: {error}", file=file) from error
        self.data: Any = {} if root is None else self._plain(root, ())

    def line(self, path: Path) -> int | None:
        """The line of the value at `path`, or of the nearest thing around it."""
        for end in range(len(path), -1, -1):
            if (found := self._lines.get(path[:end])) is not None:
                return found
        return None

    def at(self, path: Path) -> Any:
        """The plain data at `path`, or None where there is none."""
        here = self.data
        for step in path:
            try:
                here = here[step]
            except (KeyError, IndexError, TypeError):
                return None
        return here

    def into(self, kind: type[V], path: Path = (), **filled: Any) -> V:
        """What stands at `path` as a value of `kind`; `filled` are defaults it does not mention.

        Raises:
            BadInput: names the line, the value, what was expected, and the nearest known key.
        """
        here = self.at(path)
        if here is None:
            here = {}
        if not isinstance(here, dict):
            raise self.refuse(f"{here!r} is not a mapping of keys to values", path)
        if "name" in filled and "name" in here:
            raise self.refuse(
                "unknown key 'name': the name is what stands before the colon",
                (*path, "name"),
                hint="remove the line",
            )
        try:
            return kind.model_validate({**filled, **here})
        except ValidationError as error:
            raise self._refusal(kind, error, path) from error

    def section(self, key: str) -> dict[str, Any]:
        """The mapping under a top-level key, empty when it is not there."""
        found = self.data.get(key) if isinstance(self.data, dict) else None
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise self.refuse(f"{key!r} must be a mapping of names", (key,))
        return found

    def only(self, *keys: str) -> None:
        """Refuse a document with any other top-level key."""
        if not isinstance(self.data, dict):
            raise BadInput("expected a mapping of keys to values", file=self.file, line=1)
        for key in self.data:
            if key not in keys:
                raise self.refuse(
                    f"unknown key {key!r}{nearest(key, keys)}",
                    (key,),
                    hint=f"known keys here: {', '.join(keys)}",
                )

    def refuse(self, message: str, path: Path, *, hint: str = "") -> BadInput:
        """An error that points at `path` in this document."""
        return BadInput(message, file=self.file, line=self.line(path), hint=hint)

    def _refuse_deep(self, text: str) -> None:
        """Composing recurses in C, where too deep a nesting would end the whole process."""
        depth = 0
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _MAX_DEPTH:
                raise self._too_much(event.start_mark.line + 1)

    def _too_much(self, line: int) -> BadInput:
        return BadInput("nested too deeply, or too many aliases", file=self.file, line=line)

    def _plain(self, node: yaml.Node, path: Path) -> Any:
        self._left -= 1
        if len(path) > _MAX_DEPTH or self._left < 0:
            raise self._too_much(node.start_mark.line + 1)
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(item, (*path, i)) for i, item in enumerate(node.value)]
        try:
            plain = self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError, LookupError) as error:
            raise self.refuse(f"cannot read {_short(node.value)}", path) from error
        return plain if isinstance(plain, str | int | float | bool | None) else node.value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise BadInput(
                    "a key must be a plain word", file=self.file, line=key_node.start_mark.line + 1
                )
            key = str(key_node.value)
            if key in plain:
                raise BadInput(
                    f"{key!r} is given twice (first on line {self._lines[(*path, key)]})",
                    file=self.file,
                    line=key_node.start_mark.line + 1,
                    hint="remove or rename one of them",
                )
            self._lines[(*path, key)] = key_node.start_mark.line + 1
            plain[key] = self._plain(value_node, (*path, key))
        return plain

    def _syntax(self, error: yaml.MarkedYAMLError) -> BadInput:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        what = " ".join(part for part in (error.context, error.problem) if part)
        return BadInput(f"not YAML: {what}", file=self.file, line=line, hint="check indentation")

    def _refusal(self, kind: type[BaseModel], error: ValidationError, above: Path) -> BadInput:
        problem = error.errors(include_url=False)[0]
        below = tuple(step for step in problem["loc"] if step != "[key]")
        path = self._written(above, below)
        key = next((step for step in reversed(path) if isinstance(step, str)), "")
        match problem["type"]:
            case "extra_forbidden":
                known = sorted(_keys_at(kind, below[:-1]))
                message = f"unknown key {key!r}{nearest(key, known)}"
                hint = f"known keys here: {', '.join(known)}"
            case "missing":
                around = ".".join(map(str, path[:-1]))
                message = f"{key!r} is missing" + (f" in {around!r}" if around else "")
                hint = f"add a line {key}: …"
            case "value_error" if isinstance(part := problem["ctx"]["error"], BadPart):
                path, message, hint = (*path, *part.at), str(part), part.hint
            case _:
                message = f"{key!r} is {_short(problem['input'])}: {_expected(problem['msg'])}"
                hint = ""
        return self.refuse(message, path, hint=hint)

    def _written(self, above: Path, below: Path) -> Path:
        """The way in the document to what a value keeps: a mapping's pairs are counted there."""
        path = above
        for step in below:
            here = self.at(path)
            if isinstance(here, dict) and isinstance(step, int) and step < len(here):
                path = (*path, list(here)[step])
            else:
                path = (*path, step)
        return path


def _short(value: Any, most: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= most else text[:most] + "…"


def _expected(message: str) -> str:
    text = message.removeprefix("Value error, ").removeprefix("Input ")
    return text[:1].lower() + text[1:]


def _keys_at(kind: Any, path: Path) -> Iterator[str]:
    """The keys that a model understands at `path`, through tuples, mappings and unions."""
    origin = get_origin(kind)
    if origin is Annotated:
        yield from _keys_at(get_args(kind)[0], path)
    elif origin in (Union, types.UnionType):
        for option in get_args(kind):
            yield from _keys_at(option, path)
    elif origin in (tuple, list, dict) and path:
        inner = get_args(kind)[1] if origin is dict else get_args(kind)[0]
        yield from _keys_at(inner, path[1:])
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        hints = typing.get_type_hints(kind, include_extras=True)
        if not path:
            yield from (name for name in kind.model_fields if name not in ("name",))
        elif (field := hints.get(str(path[0]))) is not None:
            yield from _keys_at(field, path[1:])

"""A target expression → the devices it means: names, globs, groups, labels and facts.

``a | b`` or ``a, b`` either · ``a & b`` both · ``!a`` not · ``( )`` · ``key=value``, ``!=``,
``>=``, ``<=``, ``>``, ``<`` on labels and facts · ``*`` and ``?`` in names · ``all``.
"""

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from orchestrator.errors import BadTarget, NotFound, nearest
from orchestrator.inventory.device import Device
from orchestrator.inventory.facts import Facts
from orchestrator.inventory.inventory import Inventory

_TOKEN = re.compile(r"\s*(?:(?P<op>>=|<=|!=|[=<>])|(?P<mark>[&|,!()])|(?P<word>[\w.*?\[\]:@/+-]+))")

_MAX_DEPTH = 64
"""How deep ``!`` and ``(`` may nest; nobody reads deeper ones."""

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

Attributes: TypeAlias = Mapping[str, tuple[str, ...]]
"""What can be compared about one device: every key with its values, as text."""

Test: TypeAlias = Callable[[Device, Attributes], bool]


def select(
    inventory: Inventory, target: str, facts: Mapping[str, Facts] | None = None
) -> tuple[Device, ...]:
    """The devices a target expression means, in natural order of their names.

    Args:
        facts: the last known facts by device name; where a device was never asked, what its
            owner and its profile declare stands in.

    Raises:
        BadTarget: the expression does not parse, names an unknown key, or selects nothing.
        NotFound: a name is neither a device nor a group, and a glob matches no device.
    """
    if not inventory.devices:
        raise BadTarget(
            "there is no device yet",
            hint="describe one in devices.yaml, or start an emulated fleet: fleet lab up",
        )
    known = {
        device.name: attributes(inventory, device, (facts or {}).get(device.name))
        for device in inventory.devices.values()
    }
    test = _Parser(
        inventory, target, frozenset(key for each in known.values() for key in each)
    ).parse()
    chosen = tuple(d for d in inventory.devices.values() if test(d, known[d.name]))
    if not chosen:
        raise BadTarget(
            f"target {target!r} selects no device",
            hint="see what there is: fleet inventory list",
        )
    return chosen


def attributes(inventory: Inventory, device: Device, facts: Facts | None) -> Attributes:
    """What is believed about a device: its answers over its owner's words over its profile's."""
    profile = inventory.profile_of(device)
    found: dict[str, tuple[str, ...]] = {
        "name": (device.name,),
        "profile": (profile.name,),
        "kind": (profile.kind.value,),
        "arch": (profile.arch,),
        "ram_mib": (str(profile.ram_mib),),
        "board": (profile.board,),
        "accelerators": profile.accelerators,
        "runtimes": tuple(r.value for r in profile.runtimes),
        "emulated": (str(device.emulated).lower(),),
    }
    for key, value in device.facts.model_dump(exclude_none=True).items():
        found[key] = tuple(map(str, value)) if isinstance(value, tuple | list) else (str(value),)
    if facts is not None:
        found |= _answers(facts)
    return {**found, **{key: (value,) for key, value in device.labels}}


_NEVER_0 = ("ram_mib", "ram_free_mib", "disk_mib", "disk_free_mib")
"""Facts in which 0 means that the device did not say."""
_NOT_PLAIN = {"observed_at", "runtimes", "software", "temperatures", "emulated"}


def _answers(facts: Facts) -> Attributes:
    plain = {
        key: value
        for key, value in facts.model_dump(exclude=_NOT_PLAIN).items()
        if value not in (None, "", ()) and not (key in _NEVER_0 and value == 0)
    }
    answers = {
        k: tuple(map(str, v)) if isinstance(v, tuple) else (str(v),) for k, v in plain.items()
    }
    if facts.runtimes:
        answers["runtimes"] = tuple(r.name.value for r in facts.runtimes)
    if facts.software:
        answers["software"] = tuple(each.name for each in facts.software)
    return {**answers, "instructions": facts.instructions}


@dataclass(slots=True)
class _Token:
    kind: str
    text: str
    at: int


class _Parser:
    """Recursive descent over ``either := both ('|' both)*``, ``both := one ('&' one)*``."""

    def __init__(self, inventory: Inventory, target: str, keys: frozenset[str]) -> None:
        self.inventory, self.target, self.keys = inventory, target, keys
        self.tokens = self._tokens()
        self.next = 0
        self.depth = 0

    def parse(self) -> Test:
        test = self._either()
        if (rest := self._peek()) is not None:
            self._refuse(f"unexpected {rest.text!r}", rest.at)
        return test

    def _tokens(self) -> list[_Token]:
        tokens, at, text = [], 0, self.target.rstrip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                self._refuse(f"unexpected {text[at:].strip()[:1]!r}", at)
            kind = match.lastgroup or ""
            tokens.append(_Token(kind, match[kind], match.start(kind)))
            at = match.end()
        if not tokens:
            raise BadTarget("the target is empty", hint="name a device, a group, or 'all'")
        return tokens

    def _peek(self, *texts: str) -> _Token | None:
        token = self.tokens[self.next] if self.next < len(self.tokens) else None
        return token if token is not None and (not texts or token.text in texts) else None

    def _take(self, *texts: str) -> _Token | None:
        if (token := self._peek(*texts)) is not None:
            self.next += 1
        return token

    def _either(self) -> Test:
        tests = [self._both()]
        while self._take("|", ","):
            tests.append(self._both())
        return lambda d, a: any(test(d, a) for test in tests)

    def _both(self) -> Test:
        tests = [self._one()]
        while self._take("&"):
            tests.append(self._one())
        return lambda d, a: all(test(d, a) for test in tests)

    def _one(self) -> Test:
        if (token := self._peek("!", "(")) is None:
            return self._leaf()
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            self._refuse(f"more than {_MAX_DEPTH} '!' and '(' inside each other", token.at)
        test = self._inner()
        self.depth -= 1
        return test

    def _inner(self) -> Test:
        if self._take("!"):
            inner = self._one()
            return lambda d, a: not inner(d, a)
        self._take("(")
        inner = self._either()
        if self._take(")") is None:
            self._refuse("a '(' is never closed", len(self.target))
        return inner

    def _leaf(self) -> Test:
        token = self._take()
        if token is None:
            self._refuse("the expression ends too early", len(self.target))
        if token.kind != "word":
            self._refuse(f"unexpected {token.text!r}", token.at)
        if (sign := self._peek()) is not None and sign.kind == "op":
            self.next += 1
            return self._comparison(token, sign.text)
        return self._named(token.text)

    def _comparison(self, key: _Token, sign: str) -> Test:
        value = self._take()
        if value is None or value.kind != "word":
            self._refuse(f"{key.text}{sign} is followed by no value", key.at)
        if key.text not in self.keys:
            raise BadTarget(
                f"no device has a label or fact {key.text!r}{nearest(key.text, self.keys)}",
                hint=f"known keys: {', '.join(sorted(self.keys))}",
            )
        if sign in ("=", "!="):
            return _matches(key.text, value.text, wanted=sign == "=")
        try:
            bound = float(value.text)
        except ValueError:
            self._refuse(f"{key.text}{sign} wants a number, not {value.text!r}", value.at)
        return _bounded(key.text, _COMPARE[sign], bound)

    def _named(self, name: str) -> Test:
        if name == "all":
            return lambda d, a: True
        if name in self.inventory.groups:
            members = self.inventory.members(name)
            return lambda d, a: d.name in members
        if name in self.inventory.devices:
            return lambda d, a: d.name == name
        names = [*self.inventory.devices, *self.inventory.groups]
        if not any(sign in name for sign in "*?["):
            raise NotFound("device or group", name, names)
        if not fnmatch.filter(self.inventory.devices, name):
            raise NotFound("device matching", name, names)
        return lambda d, a: fnmatch.fnmatchcase(d.name, name)

    def _refuse(self, why: str, at: int) -> NoReturn:
        raise BadTarget(
            f"target {self.target!r}, column {at + 1}: {why}",
            hint="for example: 'jetson-group & !canary' or 'arch=aarch64 & ram_mib>=4000'",
        )


def _matches(key: str, pattern: str, *, wanted: bool) -> Test:
    return lambda d, a: any(fnmatch.fnmatchcase(v, pattern) for v in a.get(key, ())) is wanted


def _bounded(key: str, compare: Callable[[float, float], bool], bound: float) -> Test:
    def test(_: Device, a: Attributes) -> bool:
        try:
            return any(compare(float(value), bound) for value in a.get(key, ()))
        except ValueError:
            return False

    return test

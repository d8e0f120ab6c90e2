"""Getting a release's bytes onto a device: what is there is not sent, and what is sent is counted."""

import time
from collections.abc import Callable, Sequence

from orchestrator.deploy.cargo import Pieces, packed
from orchestrator.deploy.choice import Choice, There, chosen, places
from orchestrator.deploy.economy import Way
from orchestrator.deploy.errand import Errand
from orchestrator.deploy.hands import Answer, DeviceRefused, Hands
from orchestrator.deploy.pace import Paced
from orchestrator.deploy.probe import read_file
from orchestrator.errors import FleetError, Owner
from orchestrator.inventory.device import Link
from orchestrator.transport.transport import Buffer

_SLOWEST_BYTES_PER_S = 4096.0
_WORTH_A_TRIP = 1 << 14
"""Fewer bytes are sent along rather than looked for on the device."""
_UNSEEN = 1 << 18
"""Bytes that may have been sent and not have arrived: see `transport.flow`."""
_TELLS_AFTER_S = 2.0

Files = list[tuple[str, Buffer]]


class Damaged(FleetError):
    """Bytes on the device are not what was sent."""

    path = ("DEPLOY", "TRANSFER", "DIGEST")
    owner = Owner.DEVICE


class _Slow(Exception):
    """The line turned out to be so slow that another way is worth while."""


def deliver(hands: Hands, errand: Errand, there: There) -> None:
    """Bring every file of the release into its staging folder, hashed there.

    Bytes are looked for on the device first, then on its gateway where the playbook says so. A file
    that was cut goes on where it was; a delta or compression is used where the line makes it worth
    while. Whatever of this fails is made good by sending the files whole, once.

    Raises:
        Damaged: what arrived is not what was sent.
    """
    delivery = _Delivery(hands, errand, there)
    delivery.adopt()
    delivery.fetch()
    while delivery.missing:
        choice = delivery.send()
        if delivery.missing and not choice.clever:
            raise Damaged(
                f"{errand.step.device}: {', '.join(delivery.missing)} arrived with another SHA-256 "
                "than was sent",
                hint="run the same command again; if it happens twice, suspect the device's storage",
            )


class _Delivery:
    """One device's transfer: what is staged by now, and whether plain sending is all that is left."""

    def __init__(self, hands: Hands, errand: Errand, there: There) -> None:
        self.hands, self.errand, self.there = hands, errand, there
        self.staged = dict(there.staged)
        self.wanted = errand.wanted
        self.plain = False

    @property
    def missing(self) -> list[str]:
        """What is not staged with the right digest, and what is staged and should not be."""
        have = {name: seen.sha256 for name, seen in self.staged.items()}
        names = {*self.wanted, *have}
        return sorted(name for name in names if have.get(name) != self.wanted.get(name))

    def adopt(self) -> None:
        """Have the device copy what other releases of it hold already."""
        if not self.missing:
            return
        where = places(self.errand, self.there)
        found = [name for name in self.missing if self.wanted.get(name) in where]
        if self._size(found) < _WORTH_A_TRIP:
            return
        self.errand.at("copy")
        self._look(*(word for name in found for word in (name, where[self.wanted[name]])))
        if not set(found) <= set(self.missing):
            self.errand.note("copied on the device")

    def fetch(self) -> None:
        """Have the device fetch what is missing from its gateway, which gets it once for all."""
        names, errand = [name for name in self.missing if name in self.wanted], self.errand
        if (size := self._size(names)) < _WORTH_A_TRIP:
            return
        door = errand.relay(errand, names, self.there.gateway)
        if door is None:
            return
        errand.at("fetch")
        words = (errand.step.model, errand.step.release, errand.owner, self.hands.device.python)
        try:
            answer = self.hands.send(
                Pieces([f"{door.secret}\n".encode()]),
                *("fetch", *words, door.host, door.port),
                timeout_s=60 + size / _SLOWEST_BYTES_PER_S,
                sent=lambda count: None,
            )
        except DeviceRefused as error:
            if error.word != "transfer":
                raise
            self._look()
        else:
            self._staged(answer)
        errand.note("not relayed" if set(names) & set(self.missing) else "relayed")

    def send(self) -> Choice:
        """Send what is missing, in the way that suits the largest file of it."""
        files = [(name, self._data(name)) for name in self.missing if name in self.wanted]
        if not files:
            return Choice()
        files.sort(key=lambda file: len(file[1]))  # what may be cut in the middle comes last
        name = files[-1][0]
        seen = self.staged.get(name)
        choice = Choice() if self.plain else chosen(self.errand, self.there, name, seen)
        try:
            self._take(files, choice)
        except _Slow:
            self._look()
            return Choice(Way.DELTA)  # whichever it will be: not the last word
        except DeviceRefused as error:
            if not choice.clever or error.word not in ("transfer", "moved-on"):
                raise
            self._look()
        self.plain = self.plain or choice.clever
        return choice

    def _take(self, files: Files, choice: Choice) -> None:
        name, data = files[-1]
        if choice.offset:
            if files[:-1]:
                self._receive(files[:-1], Choice())
            self._append(name, data, choice)
        elif choice.base is not None:
            made = choice.base.delta
            parts = [*files[:-1], (f"{name}.ops", made.ops), (f"{name}.lit", made.literal)]
            self._receive(parts, choice, name, choice.base.place, choice.base.sha256)
        else:
            self._receive(files, choice)

    def _receive(self, files: Files, choice: Choice, *rebuilt: str) -> None:
        key = ("tar", *(self.wanted.get(name, name) for name, _ in files))
        source, codec = self._pressed(choice, key, lambda: packed(files))
        self.errand.note(choice.way.value)
        self._stream(source, choice, "receive", codec, self.hands.device.python, *rebuilt)

    def _append(self, name: str, data: Buffer, choice: Choice) -> None:
        key = ("rest", self.wanted[name], choice.offset)
        rest = memoryview(data)[choice.offset :]
        source, codec = self._pressed(choice, key, lambda: Pieces([rest]))
        self.errand.note("resumed")
        if choice.way is not Way.WHOLE:
            self.errand.note(choice.way.value)
        where = (codec, self.hands.device.python, name, str(choice.offset))
        self._stream(source, choice, "append", *where)

    def _pressed(
        self, choice: Choice, key: tuple[object, ...], made: Callable[[], Pieces]
    ) -> tuple[Pieces, str]:
        if not choice.codec:
            return made(), "none"
        packs = "gzip" if choice.codec == "python" else choice.codec
        return Pieces([self.errand.goods.squeezed(packs, key, made)]), choice.codec

    def _stream(self, source: Pieces, choice: Choice, verb: str, *args: str) -> None:
        errand = self.errand
        errand.at("send", source.size)
        slowest = min([_SLOWEST_BYTES_PER_S, *(b.bytes_per_s / 512 for b in errand.buckets)])
        answer = self.hands.send(
            Paced(source, errand.buckets),
            verb,
            *(errand.step.model, errand.step.release, errand.owner, *args),
            timeout_s=60 + source.size / slowest,
            sent=self._counted(source.size, choice),
        )
        self._staged(answer)

    def _counted(self, total: int, choice: Choice) -> Callable[[int], None]:
        """Who hears of every piece: counts, measures, and gives up a way that takes too long."""
        errand, began, so_far = self.errand, time.monotonic(), 0
        may_change = not (self.plain or choice.clever or errand.bytes_per_s)

        def sent(count: int) -> None:
            nonlocal so_far, may_change
            so_far += count
            errand.count(count)
            errand.at("send", total)
            took = time.monotonic() - began
            if took > _TELLS_AFTER_S / 4 and so_far > 2 * _UNSEEN:
                errand.bytes_per_s = (so_far - _UNSEEN) / took
            if may_change and took > _TELLS_AFTER_S and errand.link is Link.AUTO:
                may_change = False
                errand.bytes_per_s = max(1.0, so_far - _UNSEEN) / took
                if self._better_way(total - so_far):
                    raise _Slow

        return sent

    def _better_way(self, left: int) -> bool:
        """Whether another way is cheaper than going on, now that the line's speed is known."""
        name = max(self.missing, key=lambda each: len(self._data(each)))
        choice = chosen(self.errand, self.there, name, None)
        return choice.base is not None and choice.base.delta.size < left

    def _look(self, *copies: str) -> None:
        """What is staged now, after the device has copied some files: NAME PLACE by turns."""
        step = self.errand.step
        words = (step.model, step.release, self.errand.owner, *copies)
        self._staged(self.hands.call("adopt", *words, timeout_s=600.0))

    def _staged(self, answer: Answer) -> None:
        self.staged = {seen.path: seen for seen in map(read_file, answer.all("file"))}

    def _size(self, names: Sequence[str]) -> int:
        return sum(f.size_bytes for f in self.errand.manifest.files if f.path in names)

    def _data(self, name: str) -> Buffer:
        written = self.errand.manifest.written(name)
        return written if written is not None else self.errand.goods.view(self.wanted[name])

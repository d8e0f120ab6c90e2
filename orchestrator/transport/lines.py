"""Sessions kept open for whoever comes again soon, and gateways shared by all devices behind them."""

import threading
import time
from collections.abc import Callable, Sequence

from orchestrator.transport.login import Address
from orchestrator.transport.ssh import SshTransport
from orchestrator.transport.transport import Completed, DeviceUnreachable, Session, Source

MOST_IDLE = 128
"""Each costs a thread and some 100 KiB here, and a process on its device."""
_SULKS_S = 10.0
"""For so long nobody knocks again at a gateway that did not answer."""


class Lines:
    """Lends sessions by device name.

    Args:
        found: the address of a device, and the name of the gateway before it or None.
    """

    def __init__(
        self, found: Callable[[str], tuple[Address, str | None]], most_idle: int = MOST_IDLE
    ) -> None:
        self._found, self._most_idle = found, most_idle
        self._lock = threading.Lock()
        self._idle: dict[str, SshTransport] = {}
        self._gateways: dict[str, _Gateway] = {}
        self._closed = False

    def take(self, name: str) -> "Lent":
        """A session with a device: one that is open, or a new one.

        Raises:
            DeviceUnreachable: there is none to be had.
        """
        with self._lock:
            open_ = self._idle.pop(name, None)
        if open_ is not None and open_.alive:
            return Lent(self, name, open_)
        if open_ is not None:
            open_.close()
        return Lent(self, name, self._opened(name))

    def give_back(self, name: str, session: SshTransport) -> None:
        """A session is no longer needed; it may be again."""
        surplus: SshTransport | None = session
        with self._lock:
            if not self._closed and session.alive and len(self._idle) < self._most_idle:
                surplus, self._idle[name] = self._idle.get(name), session
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """End every session that is not lent, and the gateways behind which devices are."""
        with self._lock:
            self._closed = True
            idle, self._idle = list(self._idle.values()), {}
            gateways, self._gateways = list(self._gateways.values()), {}
        for session in idle:
            session.close()
        for gateway in gateways:
            gateway.close()

    def _opened(self, name: str) -> SshTransport:
        address, via = self._found(name)
        if via is None:
            return SshTransport(address)
        with self._lock:
            gateway = self._gateways.setdefault(via, _Gateway(via, self._opened))
        return SshTransport(address, through=gateway.session(name))


class _Gateway:
    """One session with a gateway, opened by who comes first and again when it is lost."""

    def __init__(self, name: str, opened: Callable[[str], SshTransport]) -> None:
        self._name, self._opened = name, opened
        self._lock = threading.Lock()
        self._session: SshTransport | None = None
        self._failed: tuple[float, DeviceUnreachable] | None = None

    def session(self, behind: str) -> SshTransport:
        with self._lock:
            if self._session is not None and self._session.alive:
                return self._session
            if self._failed and time.monotonic() - self._failed[0] < _SULKS_S:
                raise self._in_vain(behind, self._failed[1])
            self.close()
            try:
                self._session = self._opened(self._name)
            except DeviceUnreachable as error:
                self._failed = time.monotonic(), error
                raise self._in_vain(behind, error) from error
            self._failed = None
            return self._session

    def _in_vain(self, behind: str, error: DeviceUnreachable) -> DeviceUnreachable:
        words = f"its gateway {self._name!r} is not to be reached: {error.because}"
        return DeviceUnreachable(behind, words, hint=error.hint, absent=True)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


class Lent(Session):
    """A `Transport` that goes back to its lines when it is closed."""

    def __init__(self, lines: Lines, name: str, session: SshTransport) -> None:
        self._lines, self._name = lines, name
        self._session: SshTransport | None = session

    def close(self) -> None:
        """Give the session back."""
        if self._session is not None:
            self._lines.give_back(self._name, self._session)
            self._session = None

    def _open(self) -> SshTransport:
        if self._session is None:
            raise DeviceUnreachable(self._name, "the session is closed")
        return self._session

    def _exec(
        self,
        argv: Sequence[str],
        source: Source | None,
        timeout_s: float,
        sent: Callable[[int], None],
    ) -> Completed:
        if source is None:
            return self._open().run(argv, timeout_s=timeout_s)
        return self._open().stream(source, argv, timeout_s=timeout_s, sent=sent)

"""Gateways that hold a release for the devices behind them, so that it crosses the far line once."""

import secrets
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from orchestrator.deploy.cargo import Pieces
from orchestrator.deploy.deliver import Damaged, deliver
from orchestrator.deploy.errand import Door, Errand, Interrupted, no_gateway
from orchestrator.deploy.hands import DeviceRefused, Hands
from orchestrator.deploy.switch import there, with_lease
from orchestrator.deploy.visit import Reach
from orchestrator.errors import FleetError
from orchestrator.transport.transport import DeviceUnreachable, Transport


class Relays:
    """The gateways of a run, each with one more session; none before it is asked for something."""

    def __init__(self, reach: Reach) -> None:
        self._reach, self._lock = reach, threading.Lock()
        self._relays: dict[str, _Relay] = {}

    def offer(self, errand: Errand, names: Sequence[str], seen_at: str) -> Door | None:
        """Have a device's gateway offer files of its release; None if there is none that can.

        Args:
            seen_at: the gateway's address as the device sees it.
        """
        via = self._reach.devices(errand.step.device).via
        if via is None or not seen_at:
            return None
        with self._lock:
            relay = self._relays.setdefault(via, _Relay(via, self._reach))
        try:
            return relay.offer(errand, names, seen_at)
        except Interrupted:
            raise
        except FleetError as error:
            errand.note(f"not relayed ({error.code})")
            return None

    def close(self) -> None:
        """Have every gateway forget what it holds only for others, and end the sessions."""
        for relay in self._relays.values():
            relay.close()


class _Relay:
    """One gateway, for the devices behind it: releases are staged there as for itself, once each."""

    def __init__(self, name: str, reach: Reach) -> None:
        self._device, self._reach = reach.devices(name), reach
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        self._held: dict[tuple[str, str], FleetError | None] = {}

    def offer(self, errand: Errand, names: Sequence[str], seen_at: str) -> Door:
        """Stage a release, unless it is there, and open a door for some of its files.

        Raises:
            FleetError: the gateway cannot be reached, or does not want to.
        """
        with self._lock:  # everybody else waits for what the first one brings
            try:
                return self._offered(errand, names, seen_at)
            except DeviceUnreachable as error:
                self._hang_up()
                if error.absent:
                    raise
                return self._offered(errand, names, seen_at)  # once more: it goes on where it was

    def close(self) -> None:
        """Forget what was staged for others, and give leases back; a lost line changes nothing."""
        for model, release in self._held:
            with suppress(FleetError):
                self._hands().call("discard", model, release, self._reach.claim.owner)
        self._hang_up()

    def _offered(self, errand: Errand, names: Sequence[str], seen_at: str) -> Door:
        self._hold(errand)
        step, secret = errand.step, secrets.token_hex(32)
        answer = self._hands().send(
            Pieces([f"{secret}\n".encode()]),
            *("serve", step.model, step.release, self._device.python, seen_at, *names),
            timeout_s=60.0,
            sent=lambda count: None,
        )
        return Door(seen_at, answer.one("port"), secret)

    def _hold(self, errand: Errand) -> None:
        key = (errand.step.model, errand.step.release)
        if key not in self._held:
            try:
                self._stage(errand)
                self._held[key] = None
            except (DeviceUnreachable, Interrupted):
                raise
            except FleetError as error:
                self._held[key] = error
        if failed := self._held[key]:
            raise failed

    def _stage(self, errand: Errand) -> None:
        """Bring the release to the gateway; what it costs is counted where it is needed first."""
        name = self._device.name
        own = replace(
            errand,
            step=errand.step.model_copy(update={"device": name, "was": None}),
            link=errand.playbook.link or self._device.link,
            bytes_per_s=self._reach.rates.get(name),
            bytes_sent=0,
            sent_as=[],
            watch=lambda where: errand.watch(replace(where, device=errand.step.device)),
            relay=no_gateway,
        )
        hands = self._hands()
        answer = with_lease(hands, own)
        found = there(answer)
        if "python" not in found.unpacks:
            raise DeviceRefused(name, "no-python", f"no {self._device.python} to hand files on")
        try:
            if not answer.one("made"):
                deliver(hands, own, found)
            elif {n: seen.sha256 for n, seen in found.staged.items()} != own.wanted:
                raise Damaged(f"{name}: its own {own.step.release} is damaged")
        finally:
            errand.bytes_sent += own.bytes_sent
            for how in own.sent_as:
                errand.note(f"{how} to its gateway")

    def _hands(self) -> Hands:
        if self._transport is None:
            self._transport = self._reach.connect(self._device)
        return Hands(self._transport, self._device, self._reach.scripts)

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

"""Many SSH packets sealed and written in one go: what leans on Paramiko's private parts, guarded.

`Transport(packetizer_class=…)` is Paramiko's documented hook; what a `Packetizer` keeps is not.
So this way is taken only where every part is there and a trial has shown that it puts the same
packets on the wire as Paramiko's own; everywhere else Paramiko does it packet by packet.
"""

import logging
import os
import socket
import struct
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import paramiko
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.common import cMSG_CHANNEL_DATA
from paramiko.packet import Packetizer

from orchestrator.transport.transport import Buffer

_STALLED_S = 60.0
_BLOCK = 16
_COUNTED = (
    *("iv_out", "sequence_number_out", "sent_bytes", "sent_packets", "need_rekey"),
    *("received_bytes_overflow", "received_packets_overflow"),
)
_PARTS = (
    *("socket", "write_lock", "dump_packets", "compress_engine_out"),
    *("block_engine_out", "block_size_out", "aead_out"),
    *_COUNTED,
)


@cache
def _part(name: str) -> str:
    return f"_Packetizer__{name}"


class BurstPacketizer(Packetizer):
    """A packetizer that seals a whole buffer of channel data under one lock, and gives up dead lines."""

    def write_all(self, out: Any) -> None:
        """Write everything; a line that takes nothing for a minute is dead."""
        sock = self.__dict__[_part("socket")]
        left = memoryview(out)
        moved = time.monotonic()
        while left:
            try:
                count = sock.send(left if isinstance(sock, socket.socket) else bytes(left))
            except TimeoutError:
                count = 0
            except OSError as error:
                raise EOFError from error
            if count:
                left, moved = left[count:], time.monotonic()
            elif self.closed or time.monotonic() - moved > _STALLED_S:
                raise EOFError

    def seal(self, channel_id: int, data: Buffer, step: int) -> bool:
        """Write `data` as channel data in packets of at most `step` bytes; False if it cannot be.

        The caller has taken the room in the channel's window and may send (no key exchange).
        """
        mine = self.__dict__
        with mine[_part("write_lock")]:
            if not self._can_seal():
                return False
            head = cMSG_CHANNEL_DATA + struct.pack(">I", channel_id)
            sealed = self._sealed(head, memoryview(data), step)
            packets = len(sealed) // 2
            number = mine[_part("sequence_number_out")]
            mine[_part("sequence_number_out")] = (number + packets) & 0xFFFFFFFF
            burst = b"".join(sealed)
            self.write_all(burst)
            mine[_part("sent_bytes")] += len(burst)
            mine[_part("sent_packets")] += packets
            self._ask_for_new_keys()
        return True

    def _can_seal(self) -> bool:
        mine = self.__dict__
        return bool(
            mine[_part("aead_out")]
            and mine[_part("block_size_out")] == _BLOCK
            and mine[_part("compress_engine_out")] is None
            and not mine[_part("dump_packets")]
        )

    def _sealed(self, head: bytes, data: memoryview, step: int) -> list[bytes]:
        """Lengths and ciphertexts by turns (RFC 5647); the nonce counts on as Paramiko's does."""
        mine = self.__dict__
        encrypt = mine[_part("block_engine_out")].encrypt
        fixed, counter = mine[_part("iv_out")][:4], int.from_bytes(mine[_part("iv_out")][4:], "big")
        count = -(-len(data) // step)
        noise = os.urandom(2 * _BLOCK * count)
        sealed = []
        for index in range(count):
            piece = data[index * step : (index + 1) * step]
            padding = 3 + _BLOCK - (len(head) + 4 + len(piece) + 4) % _BLOCK
            at = 2 * _BLOCK * index
            body = b"".join(
                (
                    bytes((padding,)),
                    head,
                    struct.pack(">I", len(piece)),
                    piece,
                    noise[at : at + padding],
                )
            )
            length = struct.pack(">I", len(body))
            sealed += [length, encrypt(fixed + counter.to_bytes(8, "big"), body, length)]
            counter += 1
        mine[_part("iv_out")] = fixed + counter.to_bytes(8, "big")
        return sealed

    def _ask_for_new_keys(self) -> None:
        mine = self.__dict__
        much = (
            mine[_part("sent_packets")] >= self.REKEY_PACKETS
            or mine[_part("sent_bytes")] >= self.REKEY_BYTES
        )
        if much and not mine[_part("need_rekey")]:
            mine[_part("received_bytes_overflow")] = 0
            mine[_part("received_packets_overflow")] = 0
            self.__dict__[_part("need_rekey")] = True


def put(channel: paramiko.Channel, data: Buffer) -> None:
    """Send what there is room for in a channel's window: in one burst, or as Paramiko does it.

    Raises:
        OSError, EOFError, SSHException: the line is gone, or nobody reads any more.
    """
    line = channel.get_transport()
    packetizer = line.packetizer
    if isinstance(packetizer, BurstPacketizer) and _burst(channel, line, packetizer, data):
        return
    channel.sendall(bytes(data))


def _burst(
    channel: Any, line: paramiko.Transport, packetizer: BurstPacketizer, data: Buffer
) -> bool:
    step = channel.out_max_packet_size - 64
    with channel.lock:
        if channel.closed or channel.eof_sent:
            raise OSError("the channel is closed")
        if channel.out_window_size < len(data):
            return False
        channel.out_window_size -= len(data)
    _wait_for_keys(line)
    try:
        done = packetizer.seal(channel.remote_chanid, data, step)
    finally:
        line.clear_to_send_lock.release()
    if not done:
        with channel.lock:
            channel.out_window_size += len(data)
    return done


def _wait_for_keys(line: Any) -> None:
    """Return with the line's lock held, outside of any key exchange, as Paramiko itself does."""
    until = time.monotonic() + line.clear_to_send_timeout
    while True:
        line.clear_to_send.wait(0.1)
        if not line.active:
            raise EOFError
        line.clear_to_send_lock.acquire()
        if line.clear_to_send.is_set():
            return
        line.clear_to_send_lock.release()
        if time.monotonic() > until:
            raise paramiko.SSHException("the key exchange did not come to an end")


@cache
def packetizer() -> type[Packetizer] | None:
    """The class to make lines with; None means Paramiko's own. Tried once a process."""
    try:
        if _same_on_the_wire():
            return BurstPacketizer
    except Exception:  # whatever another Paramiko does to us, its own way is there
        logging.getLogger(__name__).debug("sealing in bursts is off", exc_info=True)
    return None


def _same_on_the_wire() -> bool:
    """Whether a burst says, once opened, what Paramiko says with the same key and nonces."""
    data, step = bytes(range(256)) * 3, 300
    burst, plain = _Wire(BurstPacketizer), _Wire(Packetizer)
    with burst, plain:
        if any(_part(name) not in burst.packetizer.__dict__ for name in _PARTS):
            return False
        burst.packetizer.seal(7, data, step)
        for at in range(0, len(data), step):
            message = paramiko.Message()
            message.add_byte(cMSG_CHANNEL_DATA)
            message.add_int(7)
            message.add_string(data[at : at + step])
            plain.packetizer.send_message(message)
        kept = [
            tuple(wire.packetizer.__dict__[_part(name)] for name in _COUNTED)
            for wire in (burst, plain)
        ]
        return kept[0] == kept[1] and burst.opened() == plain.opened()


class _Wire:
    """A packetizer that writes into a socket of its own, with a key that everybody knows."""

    _KEY, _NONCE = bytes(range(16)), bytes(range(12))

    packetizer: Any

    def __init__(self, kind: Callable[[socket.socket], Any]) -> None:
        near, self._far = socket.socketpair()
        self.packetizer = kind(near)
        self.packetizer.set_outbound_cipher(
            AESGCM(self._KEY), _BLOCK, None, 0, b"", aead=True, iv_out=self._NONCE
        )

    def __enter__(self) -> "_Wire":
        return self

    def __exit__(self, *error: object) -> None:
        self.packetizer.close()
        self._far.close()

    def opened(self) -> list[tuple[int, int, bytes]]:
        """Of every packet: its length, its padding's length, and its payload."""
        self.packetizer.close()
        with self._far.makefile("rb") as far:
            wire = far.read()
        found, at, counter = [], 0, int.from_bytes(self._NONCE[4:], "big")
        while at < len(wire):
            length = wire[at : at + 4]
            end = at + 4 + int.from_bytes(length, "big") + _BLOCK
            nonce = self._NONCE[:4] + counter.to_bytes(8, "big")
            body = AESGCM(self._KEY).decrypt(nonce, wire[at + 4 : end], length)
            found.append((len(body), body[0], body[1 : len(body) - body[0]]))
            at, counter = end, counter + 1
        return found

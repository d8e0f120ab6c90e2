"""How bytes go over a line: sealed in bursts exactly as packet by packet, and never too many at once."""

import hashlib
import io
import os
import socket
import threading
import time

import paramiko
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from paramiko.common import cMSG_CHANNEL_DATA
from paramiko.packet import Packetizer

from orchestrator.transport import burst
from orchestrator.transport.burst import BurstPacketizer
from orchestrator.transport.flow import IN_FLIGHT
from orchestrator.transport.ssh import SshTransport

KEY, NONCE = b"k" * 16, b"nonce" + bytes(5) + b"\xff\xfe"
MIB = 1 << 20


class Wire:
    """A packetizer with a known key, and what it has put on its wire."""

    def __init__(self, kind: type[Packetizer]) -> None:
        near, self.far = socket.socketpair()
        self.packetizer = kind(near)
        cipher = AESGCM(KEY)
        self.packetizer.set_outbound_cipher(cipher, 16, None, 0, b"", aead=True, iv_out=NONCE)
        self.heard = b""
        self.listener = threading.Thread(target=self.listen)
        self.listener.start()

    def listen(self) -> None:
        with self.far:
            while data := self.far.recv(1 << 16):
                self.heard += data

    def packets(self) -> list[bytes]:
        """Every packet opened: length, then the body without its random padding."""
        self.packetizer.close()
        self.listener.join()
        found, at, count = [], 0, int.from_bytes(NONCE[4:], "big")
        while at < len(self.heard):
            length = self.heard[at : at + 4]
            end = at + 20 + int.from_bytes(length, "big")
            nonce = NONCE[:4] + count.to_bytes(8, "big")
            body = AESGCM(KEY).decrypt(nonce, self.heard[at + 4 : end], length)
            found.append(length + body[: len(body) - body[0]])
            at, count = end, count + 1
        return found


def plain_packets(wire: Wire, data: bytes, step: int) -> list[bytes]:
    for at in range(0, len(data), step):
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_DATA)
        message.add_int(3)
        message.add_string(data[at : at + step])
        wire.packetizer.send_message(message)
    return wire.packets()


@pytest.mark.parametrize("size", [1, 15, 16, 17, 32704, 32705, 100_000, 262_144])
def test_a_burst_is_byte_for_byte_what_paramiko_sends_packet_by_packet(size):
    data, step = os.urandom(size), 32704
    bursts, plain = Wire(BurstPacketizer), Wire(Packetizer)

    sealed = bursts.packetizer.seal(3, data, step)
    kept = [
        {name: value for name, value in vars(wire.packetizer).items() if "sequence_number" in name}
        for wire in (bursts, plain)
    ]
    expected = plain_packets(plain, data, step)

    assert sealed
    assert bursts.packets() == expected
    assert kept[0]["_Packetizer__sequence_number_out"] == len(expected)


def test_ordinary_messages_go_on_after_a_burst_with_the_right_nonce_and_number():
    wires = Wire(BurstPacketizer), Wire(Packetizer)
    bye = paramiko.Message()
    bye.add_byte(b"\x60")
    bye.add_int(3)

    wires[0].packetizer.seal(3, b"a" * 500, 200)
    for at in range(0, 500, 200):
        message = paramiko.Message()
        message.add_byte(cMSG_CHANNEL_DATA)
        message.add_int(3)
        message.add_string(b"a" * min(200, 500 - at))
        wires[1].packetizer.send_message(message)
    for wire in wires:
        wire.packetizer.send_message(bye)

    assert wires[0].packets() == wires[1].packets()


def test_bursts_are_off_where_a_part_of_paramiko_is_not_what_it_was(monkeypatch):
    monkeypatch.setattr(burst, "_PARTS", (*burst._PARTS, "a_part_of_tomorrow"))

    usable = burst._same_on_the_wire()

    assert not usable


def test_what_another_cipher_would_need_is_left_to_paramiko():
    wire = Wire(BurstPacketizer)
    wire.packetizer.set_outbound_compressor(lambda data: data)

    sealed = wire.packetizer.seal(3, b"data", 100)

    assert not sealed
    assert wire.packets() == []


def test_keys_are_changed_in_the_middle_of_a_stream(bench, monkeypatch):
    monkeypatch.setattr(BurstPacketizer, "REKEY_BYTES", MIB)
    data = os.urandom(6 * MIB)

    with SshTransport(bench.address()) as transport:
        first = transport._line.packetizer.__dict__["_Packetizer__block_engine_out"]
        done = transport.stream(io.BytesIO(data), ["sha256sum"], timeout_s=60)
        last = transport._line.packetizer.__dict__["_Packetizer__block_engine_out"]

    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert last is not first


@pytest.mark.parametrize("bursts", [True, False])
def test_no_more_is_in_flight_than_a_device_digests_well(bench, bursts):
    heard: list[tuple[float, int]] = []

    def sent(count: int) -> None:
        heard.append((time.monotonic(), count))

    with SshTransport(bench.address(), bursts=bursts) as transport:
        script = "head -c 1000000 >/dev/null; sleep 0.7; wc -c"
        source = io.BytesIO(bytes(4 * MIB))
        done = transport.stream(source, ["sh", "-c", script], timeout_s=30, sent=sent)

    longest = max(range(1, len(heard)), key=lambda i: heard[i][0] - heard[i - 1][0])
    before = sum(count for _, count in heard[:longest])
    assert int(done.stdout) > 3 * MIB - 500_000
    assert heard[longest][0] - heard[longest - 1][0] > 0.3
    assert before < 1_000_000 + IN_FLIGHT + 300_000  # what pipe and server hold besides


def test_a_device_that_says_nothing_of_what_it_took_gets_more_after_a_second(bench):
    heard: list[int] = []
    with SshTransport(bench.address()) as transport:
        source = io.BytesIO(bytes(MIB))
        script = "sleep 2.5; wc -c"
        done = transport.stream(source, ["sh", "-c", script], timeout_s=30, sent=heard.append)

    assert int(done.stdout) == MIB


def test_pinned_keys_are_read_once_for_all_connections_and_again_when_the_file_changes(tmp_path):
    from orchestrator.transport.pins import Pins

    file, pins = tmp_path / "known_hosts", Pins()
    missing = pins.lines(file, "a")
    file.write_text(
        "# people\na,b ssh-ed25519 KEY1\n|1|salt|hash ssh-ed25519 KEY2\n@revoked a x y\n"
    )
    first = pins.lines(file, "a")
    file.write_text("a ssh-ed25519 KEY3 comment\n")
    second = pins.lines(file, "a")

    assert missing == ()
    assert first == ("a,b ssh-ed25519 KEY1", "|1|salt|hash ssh-ed25519 KEY2")
    assert second == ("a ssh-ed25519 KEY3 comment",)
    assert pins.lines(file, "b") == ()

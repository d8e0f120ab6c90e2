"""What can be wrong with an SSH line, and the error that tells a person what to do about it."""

import io
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from orchestrator.transport.login import shown_host_key
from orchestrator.transport.ssh import SshTransport
from orchestrator.transport.transport import (
    DeviceUnreachable,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
)

OTHER_KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIJ9yCzWzPnDeoUrfZVPUgUQoKWMvTQnTBFYmbTtRy8Cd"


def made_key(folder: Path) -> Path:
    file = folder / "id_other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)
    return file


def processes(root: Path) -> list[int]:
    """Everything that runs on a device: what shares its root."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and (entry / "root").samefile(root):
                found.append(int(entry.name))
    return found


def sever(ends: list[socket.socket]) -> None:
    """Cut a line; one end may notice and be closed before the other is cut."""
    for one in ends:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(host: str, port: int) -> Iterator[tuple[int, list[socket.socket]]]:
    """A port of this machine that leads to a device, and the sockets to cut it with."""
    server = socket.create_server(("127.0.0.1", 0))
    cut: list[socket.socket] = []

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)

    def serve() -> None:
        with suppress(OSError):
            near, _ = server.accept()
            far = socket.create_connection((host, port))
            cut.extend((near, far))
            for ends in ((near, far), (far, near)):
                threading.Thread(target=carry, args=ends, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield server.getsockname()[1], cut
    finally:
        server.close()
        for one in cut:
            one.close()


def test_a_host_key_that_nobody_pinned_is_refused_with_the_command_that_pins_it(bench, tmp_path):
    address = bench.address(known_hosts=(tmp_path / "known_hosts",))

    with pytest.raises(HostKeyUnknown) as caught:
        SshTransport(address)

    assert "is not pinned" in caught.value.message
    assert "fleet enroll jetson-01" in caught.value.hint


def test_another_host_key_than_the_pinned_one_is_refused(bench, tmp_path):
    address = bench.address(known_hosts=(tmp_path / "known_hosts",))
    address.known_hosts[0].write_text(f"{address.host_key_name} ssh-ed25519 {OTHER_KEY}\n")

    with pytest.raises(HostKeyChanged) as caught:
        SshTransport(address)

    assert caught.value.hint.endswith("fleet enroll jetson-01 --replace")


def test_a_damaged_line_of_pinned_keys_vouches_for_nobody(bench, tmp_path):
    address = bench.address(known_hosts=(tmp_path / "known_hosts",))
    address.known_hosts[0].write_text(f"{address.host_key_name} ssh-ed25519 AAAAC3Nz\n")

    with pytest.raises((HostKeyUnknown, HostKeyChanged)):
        SshTransport(address)


def test_a_key_the_device_does_not_know_is_a_refused_login(bench, tmp_path):
    with pytest.raises(LoginRefused) as caught:
        SshTransport(bench.address(identity=made_key(tmp_path)))

    assert "authorized_keys" in caught.value.hint


def test_a_private_key_that_is_not_there_is_named(bench, tmp_path):
    with pytest.raises(LoginRefused, match=r"no private key at .*nowhere"):
        SshTransport(bench.address(identity=tmp_path / "nowhere"))


def test_a_private_key_that_is_none_is_named(bench, tmp_path):
    (tmp_path / "no-key").write_text("this is not a key\n")

    with pytest.raises(LoginRefused, match="no-key"):
        SshTransport(bench.address(identity=tmp_path / "no-key"))


def test_a_port_where_nobody_listens_is_an_unreachable_device(bench):
    with pytest.raises(DeviceUnreachable, match=r"nothing answers at .*:1$"):
        SshTransport(bench.address(port=1))


def test_a_server_that_speaks_no_ssh_is_an_unreachable_device(bench):
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    with server, pytest.raises(DeviceUnreachable, match=f"127.0.0.1:{port}"):
        SshTransport(bench.address(host="127.0.0.1", port=port), connect_s=1.0)


def test_a_frozen_device_is_unreachable_within_the_timeout(bench):
    address = bench.address("pi-01")
    frozen = processes(bench.lab.root("pi-01"))
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()

    try:
        with pytest.raises(DeviceUnreachable, match="did not answer"):
            SshTransport(address, connect_s=2.0)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)

    assert time.monotonic() - began < 8
    with SshTransport(address) as transport:
        assert transport.run(["true"], timeout_s=10).status == 0


def test_a_line_cut_in_the_middle_of_a_stream_is_the_lines_fault(bench, tmp_path):
    real = bench.address()
    known = tmp_path / "known_hosts"
    with relay(real.host, real.port) as (port, cut):
        kind, key = shown_host_key(real)
        known.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
        transport = SshTransport(bench.address(host="127.0.0.1", port=port, known_hosts=(known,)))

        source = io.BytesIO(bytes(1 << 22))
        with pytest.raises(DeviceUnreachable):
            transport.stream(source, ["cat"], timeout_s=20, sent=lambda count: sever(cut))
        assert not transport.alive
        transport.close()


def test_a_line_on_which_a_command_did_not_answer_is_lent_to_nobody_again(bench):
    with SshTransport(bench.address()) as transport:
        with pytest.raises(DeviceUnreachable, match=r"no answer to 'sleep' within 0\.5 s"):
            transport.run(["sleep", "10"], timeout_s=0.5)

        assert not transport.alive


def test_a_line_cut_while_a_command_runs_is_the_lines_fault(bench, tmp_path):
    real = bench.address()
    known = tmp_path / "known_hosts"
    with relay(real.host, real.port) as (port, cut):
        kind, key = shown_host_key(real)
        known.write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
        transport = SshTransport(bench.address(host="127.0.0.1", port=port, known_hosts=(known,)))
        timer = threading.Timer(0.3, sever, [cut])
        timer.start()

        with pytest.raises(DeviceUnreachable, match="went away in the middle"):
            transport.run(["sleep", "10"], timeout_s=20)
        transport.close()


def test_many_sessions_are_opened_at_the_same_time(bench):
    def ask(name: str) -> bytes:
        with SshTransport(bench.address(name)) as transport:
            return transport.run(["cat", "/etc/hostname"], timeout_s=20).stdout

    names = ["jetson-01", "pi-01"] * 20
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(ask, names))

    assert found == [f"{name}\n".encode() for name in names]

"""adb's own: its server, devices that do not let one in, and lines that die."""

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator

import pytest

from orchestrator.lab.breakage import Breakage
from orchestrator.transport.adb import AdbTransport
from orchestrator.transport.adbserver import AdbMissing
from orchestrator.transport.transport import DeviceUnreachable, LoginRefused


def test_a_server_that_is_not_up_is_started(phone, free_port, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # where it makes its key
    try:
        with AdbTransport("phone-01", phone) as transport:
            assert transport.run(["true"], timeout_s=10).status == 0
    finally:
        subprocess.run(["adb", "kill-server"], timeout=30, check=True, capture_output=True)


def test_a_machine_without_adb_is_told_what_to_install(free_port, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(AdbMissing) as caught:
        AdbTransport("phone-01", "127.0.0.1:1")

    assert "this machine has no adb" in caught.value.message
    assert "apt-get install adb" in caught.value.hint


def test_nobody_at_an_address_is_told_as_such(adb_server):
    with pytest.raises(DeviceUnreachable, match="Connection refused") as caught:
        AdbTransport("phone-01", "127.0.0.1:1")

    assert caught.value.absent


def test_a_serial_that_no_device_has_is_told_as_such(adb_server):
    with pytest.raises(DeviceUnreachable, match="device 'R58M0000000' not found") as caught:
        AdbTransport("phone-01", "R58M0000000")

    assert caught.value.absent


def test_a_device_that_dies_is_missed_and_found_again_when_it_is_back(phone, phone_lab):
    transport = AdbTransport("phone-01", phone)
    killer = threading.Timer(0.5, phone_lab.break_device, ["pi-01", Breakage.OFFLINE])
    killer.start()

    with pytest.raises(DeviceUnreachable, match="went away in the middle"):
        transport.run(["sleep", "20"], timeout_s=10)
    with pytest.raises(DeviceUnreachable):
        AdbTransport("phone-01", phone, connect_s=2)
    killer.join()
    phone_lab.mend("pi-01")

    with AdbTransport("phone-01", phone) as again:
        assert again.run(["true"], timeout_s=10).status == 0


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        # From the source of adb (transport.cpp, UnauthorizedMessage), as its server says it
        (
            "device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set\n"
            "Try 'adb kill-server' if that seems wrong.\n"
            "Otherwise check for a confirmation dialog on your device.",
            LoginRefused,
            "allow USB debugging",
        ),
        ("closed", DeviceUnreachable, "adb devices"),
    ],
)
def test_what_the_server_refuses_is_said_in_words_that_help(refusing, said, kind, hint):
    refusing(said)

    with pytest.raises(kind) as caught:
        AdbTransport("phone-01", "R58M0000000")

    assert type(caught.value) is kind
    assert hint in caught.value.hint


@pytest.fixture
def free_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port for an adb server on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    return port


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Stand in for an adb server that answers its next request with a failure."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.getsockname()[1]))

        def answer(said: str) -> None:
            line, _ = server.accept()
            with line:
                line.recv(4096)
                line.sendall(b"FAIL" + f"{len(said):04x}{said}".encode())

        def refuse(said: str) -> None:
            threading.Thread(target=answer, args=(said,), daemon=True).start()

        yield refuse

"""A second look at whoever does not greet as SSH servers do."""

import socket
import threading

import pytest

from orchestrator.transport.greeting import first_line, looked_again
from orchestrator.transport.transport import DeviceUnreachable, HostKeyChanged, LoginRefused

LOST = DeviceUnreachable("pi-1", "took the connection and did not answer as an SSH server")


@pytest.fixture
def saying():
    """Listen on loopback and say something to each caller, or nothing for as long as they stay."""
    listeners = []

    def listen(words: bytes | None) -> tuple[str, int]:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def answer() -> None:
            line, _ = listener.accept()
            with line:
                line.sendall(words or b"")
                if words is None:
                    line.recv(1)

        threading.Thread(target=answer, daemon=True).start()
        return listener.getsockname()

    yield listen
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (b"Exceeded MaxStartups\r\n", "TRANSPORT > TURNED_AWAY > CROWDED"),
        (b"Not allowed at this time\r\n", "TRANSPORT > TURNED_AWAY > PENALTY"),
        (b"", "TRANSPORT > TURNED_AWAY"),
        (b"220 mail.example\r\n", "TRANSPORT > TURNED_AWAY"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "TRANSPORT > UNREACHABLE"),
        (None, "TRANSPORT > SILENT"),
    ],
)
def test_what_a_server_says_first_gives_the_failure_its_name(saying, words, code):
    host, port = saying(words)

    assert looked_again(LOST, host, port, None).code == code


def test_where_nobody_listens_nothing_new_is_learnt():
    assert first_line("127.0.0.1", 1) == b"SSH-"
    assert looked_again(LOST, "127.0.0.1", 1, None) is LOST


def test_a_login_that_was_good_before_is_told_from_one_that_never_was():
    refused = LoginRefused("pi-1", "pi@10.0.0.1:22 refused the login (Authentication failed.)")

    lost = looked_again(refused, "127.0.0.1", 1, "2026-01-01 12:00")

    assert lost.code == "TRANSPORT > LOGIN > LOST"
    assert "its storage may be dead" in lost.message
    assert looked_again(refused, "127.0.0.1", 1, None) is refused


def test_a_line_that_goes_away_in_the_login_is_no_refusal():
    cut = LoginRefused("pi-1", "refused the login (transport shut down or saw EOF)")

    assert looked_again(cut, "127.0.0.1", 1, "yesterday").code == "TRANSPORT > UNREACHABLE"


def test_other_failures_keep_their_names():
    changed = HostKeyChanged("pi-1", "another host key")

    assert looked_again(changed, "127.0.0.1", 1, "yesterday") is changed

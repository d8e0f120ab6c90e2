"""What every `Transport` promises, held to over SSH and on this machine alike."""

import hashlib
import io
import os
import time

import pytest

from orchestrator.transport.transport import DeviceUnreachable

MIB = 1 << 20
ODD = (
    "two words",
    "it's",
    'a "quote"',
    "$HOME",
    "`id`",
    "; rm -rf x",
    "a\nb",
    "*",
    "~",
    "\\",
    "ünïcødé 🐛",
    "",
    "-n",
    "--",
    "tab\there",
    "a=b",
    "#no",
    "!x",
)


def sh(script: str, *args: str) -> list[str]:
    return ["sh", "-c", script, "sh", *args]


@pytest.mark.parametrize("status", [0, 1, 7, 126, 255])
def test_the_exit_status_of_a_command_comes_back(transport, status):
    done = transport.run(sh('exit "$1"', str(status)), timeout_s=10)

    assert done.status == status


def test_output_and_errors_come_back_apart_and_byte_for_byte(transport):
    script = r"printf 'out\0\377\r\n'; printf 'err\0\376\n' >&2"

    done = transport.run(sh(script), timeout_s=10)

    assert (done.stdout, done.stderr) == (b"out\0\xff\r\n", b"err\0\xfe\n")


def test_every_word_reaches_the_command_as_it_was(transport):
    done = transport.run(sh('printf "%s\\0" "$@"', *ODD), timeout_s=10)

    assert done.stdout.decode().split("\0")[:-1] == list(ODD)


def test_a_stream_arrives_whole(transport):
    data = os.urandom(4 * MIB)
    heard: list[int] = []

    done = transport.stream(io.BytesIO(data), ["sha256sum"], timeout_s=60, sent=heard.append)

    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert sum(heard) == len(data)


def test_what_is_streamed_may_come_back_as_large(transport):
    data = os.urandom(5 * MIB)

    done = transport.stream(io.BytesIO(data), ["cat"], timeout_s=60)

    assert done.stdout == data


def test_a_command_that_stops_reading_early_is_no_error_of_the_line(transport):
    script = "head -c 10 >/dev/null; exec <&-; sleep 0.2; echo enough; exit 3"

    done = transport.stream(io.BytesIO(bytes(8 * MIB)), sh(script), timeout_s=30)

    assert (done.status, done.stdout) == (3, b"enough\n")
    assert transport.run(["true"], timeout_s=10).status == 0


def test_a_command_killed_by_a_signal_has_no_exit_status(transport):
    done = transport.run(sh("echo before; kill -9 $$"), timeout_s=10)

    assert (done.status, done.stdout) == (None, b"before\n")


def test_a_command_that_outlasts_its_timeout_is_given_up(transport):
    began = time.monotonic()

    with pytest.raises(DeviceUnreachable, match=r"no answer to 'sleep' within 0\.5 s"):
        transport.run(["sleep", "20"], timeout_s=0.5)

    assert time.monotonic() - began < 5


def test_a_command_that_reads_nothing_and_does_not_end_is_given_up(transport):
    with pytest.raises(DeviceUnreachable, match="within 1 s"):
        transport.stream(io.BytesIO(bytes(8 * MIB)), ["sleep", "20"], timeout_s=1)


@pytest.mark.parametrize("where", ["1", "2"])
def test_much_on_either_output_does_not_block(transport, where):
    script = f"head -c {4 * MIB} /dev/zero >&{where}; echo done"

    done = transport.run(sh(script), timeout_s=30)

    assert len(done.stdout) + len(done.stderr) == 4 * MIB + len("done\n")
    assert done.stdout.endswith(b"done\n")


def test_errors_before_the_input_is_read_do_not_block(transport):
    script = f"head -c {4 * MIB} /dev/zero >&2; wc -c"

    done = transport.stream(io.BytesIO(bytes(4 * MIB)), sh(script), timeout_s=30)

    assert done.stdout.split() == [str(4 * MIB).encode()]


def test_a_command_that_does_not_exist_ends_with_127(transport):
    done = transport.run(["no-such-command"], timeout_s=10)

    assert done.status == 127
    assert b"no-such-command" in done.stderr


def test_a_command_that_is_only_run_reads_nothing(transport):
    done = transport.run(["cat"], timeout_s=10)

    assert (done.status, done.stdout) == (0, b"")


def test_commands_start_in_the_home_of_the_user(transport):
    done = transport.run(sh('[ "$(pwd)" = "$HOME" ]'), timeout_s=10)

    assert done.status == 0


def test_what_a_listener_raises_ends_the_stream_and_comes_through(transport):
    class Stop(Exception):
        pass

    def stop(count: int) -> None:
        raise Stop

    began = time.monotonic()

    with pytest.raises(Stop):
        transport.stream(io.BytesIO(bytes(MIB)), ["cat"], timeout_s=30, sent=stop)

    assert time.monotonic() - began < 5
    assert transport.run(["true"], timeout_s=10).status == 0


def test_closing_twice_is_fine(connect):
    transport = connect()

    transport.close()
    transport.close()


def test_a_closed_session_reaches_nobody(connect):
    transport = connect()
    transport.close()

    with pytest.raises(DeviceUnreachable):
        transport.run(["true"], timeout_s=10)

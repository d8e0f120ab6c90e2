"""A release crosses the far line once and goes from a gateway to the devices behind it."""

import hashlib
import io
import secrets
import socket
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from orchestrator.app import Fleet
from orchestrator.deploy.errand import Progress
from orchestrator.field import Field
from orchestrator.inventory.device import Device
from orchestrator.transport.transport import Transport

SCRIPT = Path(__file__).parents[2] / "templates" / "device" / "relay.py"
MB = 1_000_000
BEHIND = ("pi-02", "pi-03")
_PLAYBOOK = """name: relayed
waves:
  - {name: all, size: all, max_failed: 100%}
at_once: 6
keep_releases: 3
relay: true
"""


@pytest.fixture
def behind(site):
    """Two devices behind pi-01, and a playbook that relays."""
    (site.folder / "playbooks" / "relayed.yaml").write_text(_PLAYBOOK)
    for device in BEHIND:
        site.describe(device, via="pi-01")
    return site


class Listening(Field):
    """Lines to devices, one of which can be cut, once."""

    cuts = 0

    def connect(self, device: Device) -> Transport:
        lent = super().connect(device)
        self.__dict__.setdefault("lines", {})[device.name] = lent
        return lent

    def cut(self, name: str) -> None:
        if not self.cuts:
            self.cuts += 1
            self.lines[name]._open()._line.sock.shutdown(socket.SHUT_RDWR)


def relay(secret: str, *words: str) -> "subprocess.CompletedProcess[bytes]":
    """The script that gateways and devices run, here."""
    command = [sys.executable, str(SCRIPT), *words]
    said = f"{secret}\n".encode()
    return subprocess.run(command, input=said, capture_output=True, timeout=60, check=False)


def ways(done) -> dict[str, tuple[str, int]]:
    return {o["device"]: (o["sent_as"], o["bytes_sent"]) for o in done.data["outcomes"]}


def test_a_gateway_that_runs_the_model_itself_gets_it_first_and_hands_it_on(behind):
    release = behind.offer("1.0", size=4 * MB)

    done = behind.deploy("pi-group", "-p", "relayed")

    sent = ways(done)
    assert done.code == 0
    assert sent["pi-01"][0] == "whole"
    assert 4 * MB < sent["pi-01"][1] < 4.1 * MB
    assert {sent[name] for name in BEHIND} == {("relayed", 0)}
    assert behind.running("pi-01", *BEHIND) == [release] * 3
    assert [behind.leftovers(name) for name in ("pi-01", *BEHIND)] == [[]] * 3


def test_a_gateway_that_does_not_run_it_holds_it_meanwhile_and_keeps_nothing(behind):
    release = behind.offer("1.0", size=4 * MB)

    done = behind.deploy(" | ".join(BEHIND), "-p", "relayed")

    sent = ways(done)
    assert {way for way, _ in sent.values()} == {"whole to its gateway, relayed", "relayed"}
    assert 4 * MB < sum(count for _, count in sent.values()) < 4.1 * MB
    assert behind.running(*BEHIND) == [release] * 2
    assert behind.linked("pi-01") is None
    assert behind.leftovers("pi-01") == []
    assert behind.findings(" | ".join(BEHIND)) == dict.fromkeys(BEHIND, "match")


def test_a_gateway_that_cannot_hand_it_on_is_passed_over_and_the_reason_is_told(behind):
    release = behind.offer("1.0", size=MB)
    behind.describe("pi-01", python="python-that-is-not-there")

    done = behind.deploy(" | ".join(BEHIND), "-p", "relayed")

    assert done.code == 0
    for way, count in ways(done).values():
        assert way == "not relayed (DEPLOY > SMOKE > NO_PYTHON), whole"
        assert count > MB
    assert behind.running(*BEHIND) == [release] * 2


def test_what_a_gateway_hands_on_wrong_is_not_believed_and_is_sent(behind):
    """The running release of the gateway is damaged after it was deployed there."""
    release = behind.offer("1.0", size=MB)
    assert behind.deploy("pi-01").code == 0
    with (behind.place("pi-01") / "current" / "model.onnx").open("r+b") as file:
        file.seek(MB // 2)
        file.write(b"damaged")

    done = behind.deploy("pi-02", "-p", "relayed")

    assert done.outcome["status"] == "succeeded"
    assert done.outcome["sent_as"] == "not relayed (DEPLOY > TRANSFER > DIGEST), whole"
    assert behind.running("pi-02") == [release]


def test_bytes_that_are_wrong_when_they_arrive_are_replaced_by_sending_them(behind):
    """A gateway whose own script hands out something else: the receiving device hashes."""
    release = behind.offer("1.0", size=MB)
    script = behind.fleet.site.template("device/relay.py").decode()
    wrong = script.replace("(entry, file)", "(entry, __import__('io').BytesIO(file.read()[::-1]))")
    assert wrong != script
    folder = behind.folder / "templates" / "device"
    folder.mkdir(parents=True)
    (folder / "relay.py").write_text(wrong)

    done = behind.deploy("pi-02", "-p", "relayed")

    assert done.outcome["status"] == "succeeded"
    assert done.outcome["sent_as"] == "whole to its gateway, not relayed, whole"
    assert done.outcome["bytes_sent"] > 2 * MB  # to the gateway, and then to the device
    assert behind.running("pi-02") == [release]
    assert behind.leftovers("pi-01") == behind.leftovers("pi-02") == []


def test_a_line_cut_on_the_way_to_the_gateway_goes_on_where_it_was(behind):
    release = behind.offer("1.0", size=4 * MB)
    fleet = Fleet(behind.folder)
    fleet.field = listening = Listening(fleet.site, fleet.ledger.facts)
    plan = fleet.plan("pi-02", fleet.site.playbook("relayed"))

    def watch(progress: Progress) -> None:
        if progress.phase == "send" and progress.sent >= 2 * MB:
            listening.cut("pi-01")

    (outcome,) = fleet.execute(plan, watch=watch).outcomes

    assert outcome.status == "succeeded"
    assert outcome.sent_as == "whole to its gateway, resumed to its gateway, relayed"
    assert listening.cuts == 1
    assert outcome.bytes_sent < 4.9 * MB
    assert behind.running("pi-02") == [release]
    assert behind.leftovers("pi-01") == []


def test_what_a_dead_controller_left_on_a_gateway_is_used_and_tidied_up(behind, script):
    release = behind.offer("1.0", size=4 * MB)
    dead = script(
        "fleet.execute(fleet.plan('pi-02', fleet.site.playbook('relayed')),"
        " watch=lambda p: p.phase == 'fetch' and os._exit(9))"
    )
    dead.communicate(timeout=60)
    assert dead.returncode == 9
    assert {"lock", "staging"} <= {path.name for path in behind.place("pi-01").iterdir()}

    done = behind.deploy(" | ".join(BEHIND), "-p", "relayed")

    assert {way for way, _ in ways(done).values()} == {"relayed"}
    assert sum(count for _, count in ways(done).values()) == 0
    assert behind.running(*BEHIND) == [release] * 2
    assert behind.leftovers("pi-01") == behind.leftovers("pi-02") == []


def test_only_who_knows_the_secret_gets_the_files_and_only_once(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"what a model weighs" * 10_000)
    secret = secrets.token_hex(32)
    told = relay(secret, "serve", str(tmp_path), "127.0.0.1", "model.onnx").stdout.decode()
    port = told.strip().removeprefix("port=")

    silent = socket.create_connection(("127.0.0.1", int(port)))
    stranger = relay(secrets.token_hex(32), "fetch", "127.0.0.1", port)
    silent.close()
    known = relay(secret, "fetch", "127.0.0.1", port)
    again = relay(secret, "fetch", "127.0.0.1", port)

    assert stranger.stdout == b""
    with tarfile.open(fileobj=io.BytesIO(known.stdout)) as tar:
        assert tar.extractfile("model.onnx").read() == (tmp_path / "model.onnx").read_bytes()
    assert again.returncode == 1
    assert b"refused" in again.stderr


def test_on_the_way_the_files_cannot_be_read(tmp_path):
    (tmp_path / "labels.txt").write_bytes(b"a quite recognisable text" * 10_000)
    secret = secrets.token_hex(32)
    told = relay(secret, "serve", str(tmp_path), "127.0.0.1", "labels.txt").stdout.decode()

    with socket.create_connection(("127.0.0.1", int(told.strip().removeprefix("port=")))) as line:
        line.sendall(hashlib.sha256(b"fetch" + bytes.fromhex(secret)).digest())
        seen = line.makefile("rb").read()

    assert len(seen) > 250_000
    assert b"recognisable" not in seen
    assert len(set(seen)) == 256

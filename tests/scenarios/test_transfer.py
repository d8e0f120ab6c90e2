"""What is on a device is not sent; what was cut goes on; what is sent is as little as the line is worth."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress

import pytest

from orchestrator.app import Fleet
from orchestrator.deploy.pace import Pace
from orchestrator.field import Field
from orchestrator.inventory.device import Device
from orchestrator.transport.lines import Lent
from orchestrator.transport.transport import Completed, Source, Transport

MB = 1_000_000


class Cutting(Lent):
    """A session whose line is really cut once so many bytes of a stream have gone."""

    cut_after = 0

    def stream(
        self,
        source: Source,
        argv: Sequence[str],
        *,
        timeout_s: float,
        sent: Callable[[int], None] = lambda count: None,
    ) -> Completed:
        gone = 0

        def count(more: int) -> None:
            nonlocal gone
            gone += more
            sent(more)
            if self.cut_after and gone >= self.cut_after:
                self._open()._line.sock.shutdown(socket.SHUT_RDWR)

        return super().stream(source, argv, timeout_s=timeout_s, sent=count)


class ShakyField(Field):
    """Lines that are cut in the middle of a stream, the first so many times."""

    def __init__(self, fleet: Fleet, *, after: int, times: int) -> None:
        super().__init__(fleet.site, fleet.ledger.facts)
        self.after, self.times = after, times

    def connect(self, device: Device) -> Transport:
        lent = super().connect(device)
        lent.__class__ = Cutting
        lent.cut_after = self.after if self.times > 0 else 0
        return lent


def shaky(site, *, after: int, times: int) -> Fleet:
    """A fleet with such lines."""
    fleet = Fleet(site)
    fleet.field = ShakyField(fleet, after=after, times=times)
    return fleet


def logins(site, device: str) -> int:
    """How often somebody has logged in to a device."""
    return site.lab.places.log(device).read_text().count("Accepted publickey")


@contextmanager
def slow_line(site, device: str, bytes_per_s: int) -> Iterator[None]:
    """A relay in front of a device that lets through so much and no more, one connection at a time."""
    host, port = site.addresses[device]
    server = socket.create_server(("127.0.0.1", 0))
    ends: list[socket.socket] = []

    def carry(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(8192):
                time.sleep(len(data) / bytes_per_s)
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = server.accept()
                near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
                far = socket.create_connection((host, port))
                ends.extend((near, far))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=carry, args=pair, daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    mine = server.getsockname()[1]
    pins = (site.lab.places.lab / "known_hosts").read_text()
    file = site.folder / "known_hosts.slow"
    file.write_text(pins.replace(f"[{host}]:{port} ", f"[127.0.0.1]:{mine} "))
    site.describe(device, address="127.0.0.1", port=mine, known_hosts=str(file))
    try:
        yield
    finally:
        server.close()
        for end in ends:
            end.close()


def test_a_whole_deployment_needs_one_connection(site):
    before = logins(site, "pi-01")

    done = site.deploy("pi-01")

    assert done.code == 0
    assert logins(site, "pi-01") == before + 1


def test_a_cut_transfer_goes_on_where_it_was_and_the_same_run_succeeds(site):
    release = site.offer("1.0", size=4 * MB)
    fleet = shaky(site.folder, after=2 * MB, times=1)
    plan = fleet.plan("pi-01", fleet.site.playbook("all"))

    def watch(progress) -> None:
        if progress.phase == "send" and progress.sent >= 2 * MB:
            fleet.field.times = 0

    (outcome,) = fleet.execute(plan, watch=watch).outcomes

    assert (outcome.status, outcome.attempts) == ("succeeded", 2)
    assert "resumed" in outcome.sent_as
    assert outcome.bytes_sent < 4.9 * MB
    assert site.running("pi-01") == [release]
    assert site.leftovers("pi-01") == []


def test_a_line_that_is_always_cut_is_given_up_and_what_has_arrived_counts_the_next_time(site):
    release = site.offer("1.0", size=4 * MB)
    fleet = shaky(site.folder, after=MB, times=99)

    given_up = fleet.execute(fleet.plan("pi-01", fleet.site.playbook("all"))).outcomes[0]
    done = site.deploy("pi-01")

    assert (given_up.status, given_up.attempts) == ("deferred", 3)
    assert given_up.code == "TRANSPORT > UNREACHABLE"
    assert done.outcome["status"] == "succeeded"
    assert "resumed" in done.outcome["sent_as"]
    assert done.outcome["bytes_sent"] < 3.5 * MB
    assert site.running("pi-01") == [release]


def test_a_beginning_that_is_not_that_of_the_file_is_not_gone_on_with(site):
    release = site.offer("1.0", size=4 * MB)
    fleet = shaky(site.folder, after=MB, times=99)
    fleet.execute(fleet.plan("pi-01", fleet.site.playbook("all")))
    (part,) = site.place("pi-01").glob("staging/*.part/model.onnx")
    with part.open("r+b") as file:
        file.seek(1000)
        file.write(b"not what was sent")

    done = site.deploy("pi-01")

    assert done.outcome["status"] == "succeeded"
    assert "resumed" not in done.outcome["sent_as"]
    assert site.running("pi-01") == [release]


def test_the_same_artifact_under_another_name_is_copied_on_the_device_and_not_sent(site):
    site.offer("1.0", size=MB)
    site.deploy("pi-01")
    site.offer("1.0", size=MB, name="renamed")

    done = site.deploy("pi-01")

    assert done.outcome["status"] == "succeeded"
    assert done.outcome["bytes_sent"] < 8192
    assert done.outcome["size_bytes"] > MB
    assert done.outcome["sent_as"].startswith("copied on the device")
    folder = site.home("pi-01") / ".fleet" / "renamed" / "current" / "model.onnx"
    assert folder.stat().st_size > MB


def test_a_copy_of_bytes_that_were_damaged_there_is_not_believed(site):
    site.offer("1.0", size=MB)
    site.deploy("pi-01")
    with (site.place("pi-01") / "current" / "model.onnx").open("r+b") as file:
        file.seek(MB // 2)
        file.write(b"damaged")
    release = site.offer("1.0", size=MB, name="renamed")

    done = site.deploy("pi-01")

    assert done.outcome["status"] == "succeeded"
    assert done.outcome["bytes_sent"] > MB
    assert (site.home("pi-01") / ".fleet" / "renamed" / "current").readlink().name == release


def test_on_a_metered_line_only_what_has_changed_is_sent(site):
    site.offer("1.0", size=2 * MB)
    site.deploy("pi-group")
    release = site.offer("2.0", size=2 * MB)
    for device in ("pi-01", "pi-02"):
        site.describe(device, link="metered")

    done = site.deploy("pi-group")

    sent = {o["device"]: (o["sent_as"], o["bytes_sent"]) for o in done.data["outcomes"]}
    assert {sent[name][0] for name in ("pi-01", "pi-02")} == {"delta"}
    assert sent["pi-01"][1] < 0.08 * 2 * MB
    assert sent["pi-03"][0] == "whole"
    assert site.running("pi-01", "pi-02", "pi-03") == [release] * 3


def test_a_delta_to_a_release_that_was_damaged_on_the_device_is_followed_by_the_whole(site):
    site.offer("1.0", size=MB)
    site.deploy("pi-01")
    with (site.place("pi-01") / "current" / "model.onnx").open("r+b") as file:
        file.seek(MB // 2)
        file.write(b"damaged")
    release = site.offer("2.0", size=MB)
    site.describe("pi-01", link="metered")

    done = site.deploy("pi-01")

    assert done.outcome["status"] == "succeeded"
    assert done.outcome["sent_as"] == "delta, whole"
    assert done.outcome["bytes_sent"] > MB
    assert site.running("pi-01") == [release]
    assert site.leftovers("pi-01") == []


def test_on_a_metered_line_what_can_be_compressed_is(site):
    release = site.offer("1.0", size=2 * MB, even=True)
    site.describe("pi-01", link="metered")

    done = site.deploy("pi-01")

    assert done.outcome["sent_as"] == "compressed"
    assert done.outcome["bytes_sent"] < 0.5 * done.outcome["size_bytes"]
    assert site.running("pi-01") == [release]


def test_a_line_that_turns_out_to_be_slow_gets_the_delta_in_the_middle_of_sending(site):
    site.offer("1.0", size=3 * MB)
    site.deploy("pi-01")
    release = site.offer("2.0", size=3 * MB)

    with slow_line(site, "pi-01", 300_000):
        done = site.deploy("pi-01")

    assert done.outcome["status"] == "succeeded"
    assert done.outcome["sent_as"] == "whole, delta"
    assert done.outcome["bytes_sent"] < 2 * MB
    assert site.running("pi-01") == [release]
    assert site.leftovers("pi-01") == []


@pytest.mark.parametrize(("device", "fleet", "expected_s"), [(2e5, None, 3.0), (None, 4e5, 3.0)])
def test_no_more_is_sent_than_the_limit_says(site, device, fleet, expected_s):
    site.offer("1.0", size=600_000)
    times: list[float] = []

    def watch(progress) -> None:
        if progress.phase == "send":
            times.append(time.monotonic())

    with site.fleet as controller:
        plan = controller.plan("pi-01 | pi-02", controller.site.playbook("all"))
        report = controller.execute(plan, watch=watch, pace=Pace(device, fleet))

    assert [o.status for o in report.outcomes] == ["succeeded"] * 2
    assert max(times) - min(times) == pytest.approx(expected_s, rel=0.1)


def test_a_limit_that_cannot_be_read_is_named(site):
    done = site.run("deploy", "-t", "pi-01", "--bwlimit", "fast", "--yes")

    assert done.code == 2
    assert "'fast' is no bandwidth" in done.said


def test_devices_behind_one_gateway_share_one_connection_to_it(site):
    for device in ("pi-02", "pi-03"):
        site.describe(device, via="pi-01")
    before = {name: logins(site, name) for name in ("pi-01", "pi-02", "pi-03")}

    done = site.deploy("pi-02 | pi-03")

    came = {name: logins(site, name) - count for name, count in before.items()}
    assert done.code == 0
    assert came == {"pi-01": 1, "pi-02": 1, "pi-03": 1}
    assert site.running("pi-01", "pi-02", "pi-03")[0] is None


def test_a_gateway_that_is_off_is_named_and_its_devices_are_deferred(site, break_device):
    site.describe("pi-02", via="pi-01")
    break_device("pi-01", "offline")

    done = site.deploy("pi-02 | pi-03")

    assert done.code == 3
    assert done.statuses == {"pi-02": "deferred", "pi-03": "succeeded"}
    why = {o["device"]: o["because"] for o in done.data["outcomes"]}["pi-02"]
    assert "its gateway 'pi-01' is not to be reached" in why


def test_a_gateway_nobody_knows_is_named_with_its_line(site):
    site.describe("pi-02", via="pi-10")

    done = site.run("plan", "-t", "pi-02")

    assert done.code == 2
    assert "reached via unknown 'pi-10'; did you mean 'pi-0" in done.said

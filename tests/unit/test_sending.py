"""What to send, in which pieces and how fast: decided by values alone."""

import io
import tarfile
import threading
import time

import pytest
from examples import device
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.deploy.cargo import Pieces, packed
from orchestrator.deploy.delta import BLOCK, Delta, delta
from orchestrator.deploy.economy import Offer, Way, cheapest, worth_asking
from orchestrator.deploy.goods import Goods
from orchestrator.deploy.pace import BadLimit, Bucket, Pace, Paced, read_limit
from orchestrator.deploy.turns import Turns
from orchestrator.inventory.device import Link
from orchestrator.values import sha256

MIB = 1 << 20


def joined(old: bytes, made: Delta) -> bytes:
    """What a device makes of a delta."""
    new = b""
    for line in made.ops.decode().splitlines():
        source, first, count = line.split()
        at = int(first) - 1
        new += (old if source == "old" else made.literal)[at : at + int(count)]
    return new


pieces = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 3 * BLOCK)).map(
        lambda each: bytes([each[0]]) * each[1]
    ),
    max_size=6,
).map(b"".join)


@given(pieces, pieces)
def test_a_delta_joined_with_the_old_file_is_the_new_one(old, new):
    made = delta(memoryview(old), memoryview(new))

    assert joined(old, made) == new


def test_a_delta_of_equal_files_sends_one_line():
    data = memoryview(bytes(10 * BLOCK + 1))

    made = delta(data, data)

    assert (made.ops, made.literal) == (f"old 1 {10 * BLOCK + 1}\n".encode(), b"")


def test_one_block_in_twenty_changed_costs_about_a_twentieth():
    old = bytearray(sha256(b"x").encode() * (MIB // 64))
    for index in range(len(old) // BLOCK):
        old[index * BLOCK : index * BLOCK + 4] = index.to_bytes(4, "big")
    new = bytearray(old)
    for at in range(7 * BLOCK, len(new), 20 * BLOCK):
        new[at] ^= 255

    made = delta(memoryview(bytes(old)), memoryview(bytes(new)))

    assert joined(bytes(old), made) == bytes(new)
    assert made.size < 0.06 * len(new)


def test_what_was_put_in_at_one_place_is_all_that_is_sent():
    old = b"".join(sha256(str(n).encode()).encode() for n in range(4096))
    new = old[:100_000] + b"put in" + old[100_000:]

    made = delta(memoryview(old), memoryview(new))

    assert joined(old, made) == new
    assert made.size < 2 * BLOCK + 200


def test_a_tar_of_shared_pieces_is_one_that_tar_reads():
    files = [("a", b""), ("model.onnx", memoryview(bytes(range(256)) * 9)), ("b", b"x" * 512)]

    data = packed(files).read()

    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        found = {entry.name: tar.extractfile(entry).read() for entry in tar}
    assert found == {name: bytes(content) for name, content in files}


@given(st.lists(st.binary(max_size=40), max_size=8), st.integers(1, 16))
def test_pieces_read_one_after_the_other_are_all_of_them_and_never_copied(buffers, size):
    source = Pieces(buffers)

    read = []
    while piece := source.read(size):
        assert len(piece) <= size
        assert isinstance(piece, memoryview)
        read.append(bytes(piece))

    assert b"".join(read) == b"".join(buffers)
    assert source.size == sum(map(len, buffers))


def test_bytes_of_a_run_are_opened_once_for_all_devices():
    opened: list[str] = []

    def slowly(digest: str) -> bytes:
        opened.append(digest)
        time.sleep(0.05)
        return b"model"

    goods = Goods(slowly)
    found: list[bytes] = []
    each = [threading.Thread(target=lambda: found.append(goods.view("d"))) for _ in range(8)]
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()

    assert opened == ["d"]
    assert found == [b"model"] * 8


def test_bytes_that_could_not_be_opened_are_asked_for_again():
    answers = iter([OSError("busy"), b"model"])

    def sometimes(digest: str) -> bytes:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    goods = Goods(sometimes)

    with pytest.raises(OSError, match="busy"):
        goods.view("d")

    assert goods.view("d") == b"model"


def test_a_beginning_is_known_by_its_hash():
    goods = Goods(lambda digest: b"0123456789")

    assert goods.begins("d", 4, sha256(b"0123"))
    assert not goods.begins("d", 4, sha256(b"0124"))
    assert not goods.begins("d", 11, sha256(b"0123456789"))


SMALL, LARGE = Offer(Way.DELTA, 5 * MIB), Offer(Way.SQUEEZED, 97 * MIB)


@pytest.mark.parametrize(
    ("link", "rate", "way"),
    [
        (Link.METERED, None, Way.DELTA),
        (Link.METERED, 1e9, Way.DELTA),
        (Link.AUTO, None, Way.WHOLE),
        (Link.AUTO, 1e8, Way.WHOLE),
        (Link.AUTO, 1e6, Way.DELTA),
        (Link.FAST, 1e4, Way.WHOLE),
    ],
)
def test_a_delta_is_sent_where_the_line_is_worth_more_than_the_devices_work(link, rate, way):
    assert cheapest(100 * MIB, [SMALL, LARGE], link, rate) is way


def test_what_saves_next_to_nothing_is_left_alone_even_where_bytes_cost_money():
    assert cheapest(100 * MIB, [LARGE], Link.METERED, None) is Way.WHOLE


def test_nobody_compares_or_compresses_for_a_fast_line():
    assert not worth_asking(100 * MIB, Link.AUTO, None)
    assert not worth_asking(100 * MIB, Link.FAST, 1e3)
    assert not worth_asking(MIB, Link.AUTO, 1e8)
    assert worth_asking(100 * MIB, Link.AUTO, 1e6)
    assert worth_asking(100, Link.METERED, None)


@pytest.mark.parametrize(
    ("text", "bytes_per_s"),
    [
        ("500k", 512_000),
        ("500", 512_000),
        ("1.5m", 1.5 * MIB),
        ("2M", 2 * MIB),
        ("2MB", 2_000_000),
        ("2MiB", 2 * MIB),
        ("100b", 100),
        ("0", None),
    ],
)
def test_limits_are_read_as_rsync_reads_them(text, bytes_per_s):
    assert read_limit(text) == bytes_per_s


@pytest.mark.parametrize("text", ["", "fast", "-1", "10 apples", "1e6"])
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(BadLimit, match="is no bandwidth"):
        read_limit(text)


@pytest.mark.parametrize("threads", [1, 4])
def test_together_no_more_flows_than_the_fleet_may(threads):
    pace = Pace(fleet=400_000.0)

    def flow() -> None:
        source = Paced(Pieces([bytes(240_000 // threads)]), pace.of_a_device())
        while source.read(1 << 18):
            pass

    each = [threading.Thread(target=flow) for _ in range(threads)]
    began = time.monotonic()
    for thread in each:
        thread.start()
    for thread in each:
        thread.join()

    assert time.monotonic() - began == pytest.approx(0.6, rel=0.1)


def test_a_bucket_saves_no_more_than_a_moment():
    bucket = Bucket(100_000.0)
    time.sleep(0.5)
    began = time.monotonic()

    bucket.take(40_000)

    assert time.monotonic() - began > 0.25


def test_at_no_time_more_are_at_work_than_overall_in_a_group_and_behind_a_gateway():
    names = [f"pi-{n}" for n in range(40)]

    def limits(name: str) -> tuple[tuple[str, int], ...]:
        number = int(name[3:])
        return (("group", 3),) if number < 20 else (("via", 2),) if number < 30 else ()

    turns = Turns([(name, None) for name in names], 8, limits)
    at_work: list[str] = []
    order: list[str] = []
    while turns or at_work:
        new = [name for name, _ in turns.begin()]
        at_work += new
        order += new
        assert len(at_work) <= 8
        assert sum(int(name[3:]) < 20 for name in at_work) <= 3
        assert sum(20 <= int(name[3:]) < 30 for name in at_work) <= 2
        turns.end(at_work.pop(0))

    assert sorted(order) == sorted(names)
    assert device("pi-1").link is Link.AUTO


def test_a_device_waits_for_its_gateway_where_that_has_work_too():
    before = {"behind-1": "gateway", "behind-2": "gateway", "lonely": "not in this wave"}
    names = ["behind-1", "gateway", "behind-2", "lonely"]
    turns = Turns([(name, None) for name in names], 8, lambda name: (), before.get)

    first = [name for name, _ in turns.begin()]
    turns.end("lonely")
    second = [name for name, _ in turns.begin()]
    turns.end("gateway")
    third = [name for name, _ in turns.begin()]

    assert (first, second, third) == (["gateway", "lonely"], [], ["behind-1", "behind-2"])

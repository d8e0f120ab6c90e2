"""How many workers run at once: no more than asked for, and no more than memory bears."""

import threading
import time

import pytest

from orchestrator.build.jobs import Convert, Identify, Samples
from orchestrator.build.workers import OTHER_BYTES, TENSORFLOW_BYTES, Room, memory_here, needs_bytes
from orchestrator.catalog.model import Preprocessing
from orchestrator.catalog.variant import BUILDABLE


def most_at_once(room: Room, needs: list[int]) -> int:
    """How many of some jobs were ever in the room together."""
    inside, most, lock = 0, 0, threading.Lock()

    def job(needed: int) -> None:
        nonlocal inside, most
        with room.taken(needed):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=job, args=(needed,)) for needed in needs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    return most


@pytest.mark.parametrize(
    ("jobs", "memory", "needs", "most"),
    [
        (2, 100, [10] * 6, 2),
        (4, 35, [10] * 6, 3),
        (4, 35, [30, 30, 30], 1),
        (4, 35, [500, 500], 1),
        (1, 1000, [10] * 3, 1),
    ],
)
def test_no_more_jobs_run_at_once_than_asked_for_and_than_memory_bears(jobs, memory, needs, most):
    assert most_at_once(Room(jobs, memory), needs) == most


def test_a_place_is_given_back_when_its_job_raises():
    room = Room(1, 10)

    with pytest.raises(ZeroDivisionError), room.taken(10):
        raise ZeroDivisionError

    assert most_at_once(room, [10]) == 1


@pytest.mark.parametrize(
    ("source", "needed"),
    [
        ("m.keras", TENSORFLOW_BYTES),
        ("m.H5", TENSORFLOW_BYTES),
        ("m.onnx", OTHER_BYTES),
        ("m.tflite", OTHER_BYTES),
    ],
)
def test_only_conversions_by_tensorflow_need_its_memory(source, needed):
    samples = Samples(folder="/", cases=8, preprocessing=Preprocessing())
    recipe = BUILDABLE["tflite-float32"]

    job = Convert(source=source, shown=source, recipe=recipe, samples=samples, out="out")

    assert needs_bytes(job) == needed
    assert needs_bytes(Identify(source=source)) == OTHER_BYTES


def test_this_machine_has_memory_for_a_worker():
    assert memory_here() > OTHER_BYTES

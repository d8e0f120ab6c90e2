"""Turns taken by threads, one device each, until all are done or somebody says stop."""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Protocol, TypeVar

from orchestrator.deploy.turns import Turns

Work = TypeVar("Work")
WorkIn = TypeVar("WorkIn", contravariant=True)
Ended = TypeVar("Ended")


class Worker(Protocol[WorkIn, Ended]):
    """What a thread does for one device; called by many at once. Never raises."""

    def __call__(self, name: str, work: WorkIn, /) -> list[Ended]:
        """Everything that came of a device's turn."""
        ...

    def give_up(self) -> None:
        """Whoever is at work ends as soon as it can, whoever comes later at once."""
        ...


def taken(worker: Worker[Work, Ended], turns: Turns[Work], at_once: int) -> Iterator[list[Ended]]:
    """What comes of the turns, as it comes; what came at the same time together.

    A `KeyboardInterrupt` has the worker give up, and is raised when everybody has ended.
    """
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="device") as pool:
        left: dict[Future[list[Ended]], str] = {}
        interrupted: KeyboardInterrupt | None = None
        try:
            while turns or left:
                left.update((pool.submit(worker, n, work), n) for n, work in turns.begin())
                try:
                    done, _ = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
                except KeyboardInterrupt as error:
                    worker.give_up()
                    interrupted = error
                    continue
                for future in done:
                    turns.end(left.pop(future))
                left.update((pool.submit(worker, n, work), n) for n, work in turns.begin())
                yield [ended for future in done for ended in future.result()]
        except BaseException:  # whoever takes what comes has given up: so does everybody
            worker.give_up()
            raise
        if interrupted is not None:
            raise interrupted

"""Double buffering for loops: finish one item while the work on the next is under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

Item = TypeVar("Item")
Begun = TypeVar("Begun")
Result = TypeVar("Result")


class Finished(NamedTuple):
    """What became of an item."""

    item: Any
    result: Any
    # How long the work begun for the next item had been ready before this one was finished, [s].
    waited: float


def double_buffered(
    items: Iterable[Item],
    begin: Callable[[Item], Begun],
    wait: Callable[[Begun], object],
    finish: Callable[[Item, Begun], Result],
) -> Generator[Finished, None, None]:
    """Yield `finish(item, begin(item))` in order; begin the next item before waiting for one.

    At most two items are alive: one being finished, in a thread, and the next one. Exceptions of
    `begin` and `finish` are raised here, as soon as the next item is begun. To leave the loop
    early, close the iterator (`contextlib.closing`), which waits for the item being finished.

    Args:
        items: what to work on.
        begin: starts the work on an item and returns at once, as JAX dispatches.
        wait: returns when that work is done.
        finish: takes the work's result away. It has to wait for the work itself.
    """
    with ThreadPoolExecutor(2, thread_name_prefix="double_buffered") as pool:
        former: tuple[Item, Future[Result]] | None = None

        def done_at(begun: Begun) -> float:
            wait(begun)
            return time.monotonic()

        for item in items:
            begun = begin(item)
            ready = pool.submit(done_at, begun)
            if former is not None:
                result = former[1].result()
                finished_at = time.monotonic()
                # A device that is still at work has not waited yet.
                waited = max(0.0, finished_at - ready.result()) if ready.done() else 0.0
                yield Finished(former[0], result, waited)
            former = item, pool.submit(finish, item, begun)
            del begun
        if former is not None:
            yield Finished(former[0], former[1].result(), 0.0)

"""The next item is begun before the former is waited for, and nothing that fails goes unnoticed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest

from mole_jax.zoo.making.double_buffered import Finished, double_buffered


def nothing(*_: object) -> None:
    pass


def test_results_come_in_order() -> None:
    found = list(double_buffered(range(5), lambda i: 10 * i, nothing, lambda i, begun: (i, begun)))
    assert [f.item for f in found] == list(range(5))
    assert [f.result for f in found] == [(i, 10 * i) for i in range(5)]
    assert list(double_buffered([], lambda i: i, nothing, lambda i, _: i)) == []


def test_an_item_is_finished_while_the_next_is_at_work() -> None:
    begun = [threading.Event() for _ in range(4)]

    def begin(i: int) -> int:
        begun[i].set()
        return i

    def finish(i: int, _: int) -> bool:
        # Were the next item begun only after this one, it would never be.
        return i == 3 or begun[i + 1].wait(10)

    assert all(f.result for f in double_buffered(range(4), begin, nothing, finish))


def test_two_items_at_most_are_alive() -> None:
    alive: set[int] = set()
    most = 0

    def begin(i: int) -> int:
        nonlocal most
        alive.add(i)
        most = max(most, len(alive))
        return i

    for _ in double_buffered(range(6), begin, nothing, lambda i, _: alive.discard(i)):
        pass
    assert most == 2
    assert not alive


def test_waiting_counts_from_when_the_next_was_ready() -> None:
    ready = threading.Event()

    def wait(i: int) -> None:
        if i == 1:
            ready.set()

    def finish(i: int, _: int) -> None:
        if i == 0:
            ready.wait(10)
            threading.Event().wait(0.05)

    first, second = double_buffered([0, 1], lambda i: i, wait, finish)
    assert 0 < first.waited < 10
    assert second.waited == 0
    # Here the next is still at work when the former is finished.
    held = threading.Event()
    first = next(
        found := double_buffered([0, 1], lambda i: i, lambda i: i and held.wait(10), nothing)
    )
    assert first == Finished(0, None, 0.0)
    held.set()
    assert next(found).item == 1


@pytest.mark.parametrize("problem", [OSError, KeyboardInterrupt])
def test_a_failure_is_raised_once_the_next_item_is_begun(problem: type[BaseException]) -> None:
    begun: list[int] = []

    def finish(i: int, _: int) -> None:
        if i == 1:
            raise problem("no space")

    with pytest.raises(problem, match="no space"):
        list(double_buffered(range(9), lambda i: begun.append(i), nothing, finish))
    assert begun == [0, 1, 2]


def leave_by_breaking(finish: Callable[..., None]) -> None:
    with contextlib.closing(double_buffered(range(9), lambda i: i, nothing, finish)) as found:
        next(found)


def test_leaving_early_waits_for_what_is_being_finished() -> None:
    done: list[int] = []

    def finish(i: int, _: int) -> None:
        threading.Event().wait(0.01)
        done.append(i)

    leave_by_breaking(finish)
    before = list(done)
    assert before == [0]
    assert threading.active_count() == 1 or not [
        t for t in threading.enumerate() if t.name.startswith("double_buffered")
    ]

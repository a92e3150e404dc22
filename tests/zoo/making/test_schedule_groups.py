"""Plans cover every run once, and no two processes write to one file."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mole_jax.zoo.making import schedule_groups


def runs_of(rounds: list[list[schedule_groups.Group]]) -> list[tuple[int, int]]:
    return [
        pair
        for round_ in rounds
        for group in round_
        for pair in itertools.product(group.subsets, group.members)
    ]


@pytest.mark.parametrize("n_processes", [1, 2, 3])
@pytest.mark.parametrize(("n_subsets", "members"), [(10, 3), (37, 8), (7, 5), (64, 16)])
@pytest.mark.parametrize("done", [0, 3])
def test_every_run_is_planned_once_in_order(
    n_processes: int, n_subsets: int, members: int, done: int
) -> None:
    have = np.where(np.arange(n_subsets) < done, members, 0)
    rounds = schedule_groups.schedule(have, members, 3, n_processes=n_processes, runs_per_shard=8)
    assert runs_of(rounds) == list(itertools.product(range(done, n_subsets), range(members)))
    row = done * members
    for group in itertools.chain(*rounds):
        assert group.row == row
        row += group.n_runs
    assert all(len(round_) == n_processes for round_ in rounds[:-1])
    assert 1 <= len(rounds[-1]) <= n_processes


@pytest.mark.parametrize("members", [1, 3, 6, 8, 20])
@pytest.mark.parametrize("done", [0, 3])
def test_groups_of_several_processes_end_where_a_shard_ends(members: int, done: int) -> None:
    have = np.where(np.arange(50) < done, members, 0)
    rounds = schedule_groups.schedule(have, members, 4, n_processes=2, runs_per_shard=8)
    groups = list(itertools.chain(*rounds))
    assert len(groups) > 2
    assert all(group.row % 8 == 0 for group in groups[1:])
    assert all(len(group.subsets) >= 4 for group in groups[1:-1])


def test_nothing_is_left_of_a_finished_or_larger_zoo() -> None:
    assert schedule_groups.schedule(np.full(4, 3), 3, 2) == []
    assert schedule_groups.schedule(np.full(4, 5), 3, 2) == []


def test_members_are_added_after_those_that_are_there() -> None:
    # An addition of two members was broken off after the second data subset.
    have = np.array([5, 5, 3, 3, 3])
    rounds = schedule_groups.schedule(have, 6, 2)
    added = [itertools.product((0, 1), (5,)), itertools.product((2, 3, 4), (3, 4, 5))]
    assert runs_of(rounds) == list(itertools.chain(*added))
    assert [group.row for (group,) in rounds] == [19, 21, 27]


@pytest.mark.parametrize("n_processes", [1, 3])
@pytest.mark.parametrize("done", [0, 16])
def test_members_of_a_data_subset_may_be_trained_a_part_at_a_time(
    n_processes: int, done: int
) -> None:
    have = np.array([done, 0])
    rounds = schedule_groups.schedule(
        have, 50, 4, n_processes=n_processes, runs_per_shard=8, members_per_group=12
    )
    expected = [(0, m) for m in range(done, 50)] + [(1, m) for m in range(50)]
    assert runs_of(rounds) == expected
    groups = list(itertools.chain(*rounds))
    assert [group.row for group in groups] == np.cumsum(
        [done, *(group.n_runs for group in groups[:-1])]
    ).tolist()
    if n_processes > 1:  # no two groups of a round write to one shard
        assert all(group.row % 8 == 0 for round_ in rounds for group in round_[1:])

"""Which runs are trained together, in which order, and by which process."""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np


class Group(NamedTuple):
    """Runs trained in one go: some members of some data subsets, stored one after another."""

    subsets: range
    members: range
    row: int  # where the zoo has the first of its runs

    @property
    def n_runs(self) -> int:
        return len(self.subsets) * len(self.members)


def schedule(
    have: np.ndarray,
    members: int,
    subsets_per_group: int,
    *,
    n_processes: int = 1,
    runs_per_shard: int = 1,
    members_per_group: int = 0,
) -> list[list[Group]]:
    """Return what is left to train: rounds of a group for each process (fewer in the last round).

    A group takes data subsets that have the same number of runs, `subsets_per_group` of them. With
    several processes it may take more, to end where a shard ends, so that no two processes write to
    one file.

    With `members_per_group` a group has at most this many members, of one data subset, or more, to
    end where a shard ends.

    Args:
        have: [T] members that each data subset has already.
        members: how many each shall have.
        subsets_per_group: data subsets trained together.
        n_processes: how many processes share the work.
        runs_per_shard: rows of a file.
        members_per_group: members of one data subset trained together; 0: all members, of several
            subsets.
    """
    if members_per_group:
        return _by_member(have, members, members_per_group, n_processes, runs_per_shard)
    row = int(have.sum())
    found = []
    for there, same in itertools.groupby(range(len(have)), key=lambda i: int(have[i])):
        new = members - there
        if new <= 0:
            continue
        part = list(same)
        unit = runs_per_shard // math.gcd(new, runs_per_shard) if n_processes > 1 else 1
        size = -(-subsets_per_group // unit) * unit  # a multiple of the unit
        first, last = part[0], part[-1] + 1
        round_: list[Group] = []
        while first < last:
            # Rows are counted from data subset 0 on, where all have had as many runs.
            stop = min(first // unit * unit + size, last)
            round_.append(Group(range(first, stop), range(there, members), row))
            row += round_[-1].n_runs
            first = stop
            if len(round_) == n_processes or first == last:
                found.append(round_)
                round_ = []
    return found


def _by_member(
    have: np.ndarray, members: int, size: int, n_processes: int, runs_per_shard: int
) -> list[list[Group]]:
    """Return rounds of groups of one data subset and of `size` members; see `schedule`.

    A round ends where a data subset ends within a shard: the next group writes to that shard, too.
    """
    row = int(have.sum())
    found: list[list[Group]] = []
    full = True
    for subset, there in enumerate(have.tolist()):
        while there < members:
            stop = there + size
            if n_processes > 1:
                stop += -(row + size) % runs_per_shard
            stop = min(stop, members)
            if full:
                found.append([])
            found[-1].append(Group(range(subset, subset + 1), range(there, stop), row))
            row += stop - there
            there = stop
            full = len(found[-1]) == n_processes or row % runs_per_shard > 0
    return found

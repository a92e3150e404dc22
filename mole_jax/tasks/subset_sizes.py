"""How many classes data subsets have: all the same number, or any number in a range."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mole_jax.core import compat
from mole_jax.core.errors import UserError

# After this many draws without a new held-out subset, only classes of training subsets are drawn
# from. The distribution is the same, but with very many classes the first way hardly ends.
PATIENCE = 20_000

# Below, `sizes` are the numbers of classes that a subset may have, in increasing order.


def of(config: Mapping[str, Any]) -> range:
    """Return the sizes of `config.data`, the section of image tasks.

    Raises:
        UserError: for an impossible smallest size.
    """
    most, fewest = config["classes_per_subset"], compat.get_from(config, "data", "fewest_classes")
    if fewest and not 2 <= fewest <= most:
        raise UserError(
            f"data.fewest_classes={fewest} must lie in 2..data.classes_per_subset={most}, or be 0 "
            "for subsets that all have that many"
        )
    return range(fewest or most, most + 1)


def words(sizes: Sequence[int]) -> str:
    """Return sizes for a message: "5", or "2 to 5"."""
    return str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"


def one(rng: np.random.Generator, sizes: Sequence[int]) -> int:
    """Draw a size uniformly; nothing is drawn where there is only one."""
    return sizes[0] if len(sizes) == 1 else int(rng.choice(np.asarray(sizes)))


def ways(groups: Sequence[Sequence[int]], sizes: Sequence[int]) -> int:
    """Count the subsets of these sizes that take all their classes from one of the groups."""
    return sum(math.comb(len(group), k) for group in groups for k in sizes)


def draw(
    rng: np.random.Generator,
    groups: Sequence[Sequence[int]],
    sizes: Sequence[int],
    n_train: int,
    n_held_out: int,
    *,
    listed: bool,
) -> list[tuple[int, ...]]:
    """Draw different subsets, those to train on first.

    Every size is equally likely until its subsets are used up. Training takes no larger share of a
    size than of all subsets together, rounded up, so held-out subsets have all sizes, too, where
    there are enough.

    Args:
        rng: the source of randomness.
        groups: a subset takes its classes from one of them.
        sizes: numbers of classes.
        n_train: subsets to train on.
        n_held_out: those after them.
        listed: draw from lists of all subsets. Otherwise subsets are drawn one by one, and
            held-out ones have only classes that are trained on.

    Raises:
        UserError: where the classes that are trained on make too few subsets to hold out.
    """
    there = {k: ways(groups, [k]) for k in sizes}
    share = n_train / (n_train + n_held_out)
    lists = {k: _shuffled(rng, groups, k) for k in sizes} if listed else {}
    drawn: dict[tuple[int, ...], None] = {}
    taken: Counter[int] = Counter()
    while len(drawn) < n_train:
        k = one(rng, [k for k in sizes if taken[k] < math.ceil(share * there[k])])
        found = lists[k].pop() if listed else _one(rng, groups, k)
        if found not in drawn:
            drawn[found] = None
            taken[k] += 1
    known = {c for classes in drawn for c in classes}
    trained = groups if listed else [[c for c in group if c in known] for group in groups]
    there = {k: ways(trained, [k]) for k in sizes}
    if (left := sum(there.values()) - n_train) < n_held_out:
        raise UserError(
            f"data: {n_held_out} held-out subsets asked for, but the {len(known)} classes that "
            f"are trained on make only {left} more; raise data.train_subsets={n_train}, or lower "
            "data.held_out_subsets"
        )
    misses = 0
    while len(drawn) < n_train + n_held_out:
        k = one(rng, [k for k in sizes if taken[k] < there[k]])
        found = lists[k].pop() if listed else _one(rng, trained if misses > PATIENCE else groups, k)
        if found in drawn or not (listed or known >= set(found)):
            misses += 1
            continue
        drawn[found] = None
        taken[k] += 1
    return list(drawn)


def repeated(
    rng: np.random.Generator, subsets: Sequence[tuple[int, ...]], n: int
) -> list[tuple[int, ...]]:
    """Return the first n subsets; where there are fewer, repeat them in turn.

    Among several sizes, each is equally likely to repeat.
    """
    of_size = {
        k: itertools.cycle([s for s in subsets if len(s) == k])
        for k in sorted({len(s) for s in subsets})
    }
    again = (next(of_size[one(rng, list(of_size))]) for _ in itertools.count())
    return list(itertools.islice(itertools.chain(subsets, again), n))


def _shuffled(
    rng: np.random.Generator, groups: Sequence[Sequence[int]], k: int
) -> list[tuple[int, ...]]:
    every = [c for group in groups for c in itertools.combinations(sorted(group), k)]
    return [every[i] for i in rng.permutation(len(every))]


def _one(rng: np.random.Generator, groups: Sequence[Sequence[int]], k: int) -> tuple[int, ...]:
    each = np.array([math.comb(len(group), k) for group in groups], float)
    group = groups[rng.choice(len(groups), p=each / each.sum()) if len(groups) > 1 else 0]
    return tuple(sorted(rng.choice(group, k, replace=False).tolist()))

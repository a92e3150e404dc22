"""Data subsets: K of N classes, relabelled 0..K-1, and which of them are held out."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np

from mole_jax.core.errors import UserError

_LISTABLE = 1_000_000  # with more subsets than this, they are drawn one by one


@dataclasses.dataclass(frozen=True)
class DataSubset:
    """Which classes a task has; the position of a class is its new label."""

    id: str
    classes: tuple[int, ...]
    split: str  # "train" or "S1" (an unseen subset of known classes)


def subset_id(source: str, classes: Sequence[int], n_classes: int) -> str:
    """A name that is the same on every machine: `digits-5of10-0.2.3.7.9`."""
    return f"{source}-{len(classes)}of{n_classes}-{'.'.join(map(str, classes))}"


def sample(
    source: str, n_classes: int, *, k: int, n_train: int, n_held_out: int, seed: int
) -> tuple[DataSubset, ...]:
    """Draw distinct K-class subsets, the training ones first, then the held-out ones (S1).

    Where any are held out, every class occurs in training subsets, so that a held-out subset is a
    new combination of known classes. `n_train=0` takes all subsets that are not held out.

    Raises:
        UserError: when there are fewer subsets than asked for, or a class is never trained on.
    """
    if not 2 <= k <= n_classes:
        raise UserError(f"data.classes_per_subset={k} must lie in 2..{n_classes} ({source})")
    total = math.comb(n_classes, k)
    if total > _LISTABLE and not n_train:
        raise UserError(
            f"data.train_subsets=0 means all of {total} ways to take {k} of {n_classes} classes, "
            "which are too many; say how many"
        )
    n_train = n_train or total - n_held_out
    if n_train < 1 or n_held_out < 0 or n_train + n_held_out > total:
        raise UserError(
            f"data: {n_train} training and {n_held_out} held-out subsets asked for, but there are "
            f"{total} ways to take {k} of {n_classes} classes"
        )
    rng = np.random.default_rng([seed, 0x5EB5])
    if total <= _LISTABLE:
        everything = list(itertools.combinations(range(n_classes), k))
        order = rng.permutation(total)[: n_train + n_held_out]
        chosen = [everything[i] for i in order]
    else:  # too many to list: draw until there are enough different ones
        drawn: dict[tuple[int, ...], None] = {}
        while len(drawn) < n_train + n_held_out:
            drawn[tuple(sorted(rng.choice(n_classes, k, replace=False).tolist()))] = None
        chosen = list(drawn)
    unseen = set(range(n_classes)) - {c for classes in chosen[:n_train] for c in classes}
    if n_held_out and unseen:
        raise UserError(
            f"data: classes {sorted(unseen)} are in no training subset; raise data.train_subsets"
        )
    return tuple(
        DataSubset(subset_id(source, classes, n_classes), classes, "train" if i < n_train else "S1")
        for i, classes in enumerate(chosen)
    )

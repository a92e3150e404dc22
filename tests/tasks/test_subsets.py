"""Data subsets are distinct, keep their names, and hold out only new combinations of classes."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import subsets
from mole_jax.tasks.subsets import DataSubset

GOLDEN = [
    "digits-6of10-1.3.4.5.6.9",
    "digits-6of10-0.3.4.5.6.7",
    "digits-6of10-0.1.3.4.5.6",
    "digits-6of10-0.3.4.5.8.9",
    "digits-6of10-0.1.3.4.6.9",
    "digits-6of10-1.2.3.4.5.6",
    "digits-6of10-0.1.4.6.7.9",
    "digits-6of10-2.3.5.6.7.9",
]


def sample(**changes: Any) -> tuple[DataSubset, ...]:
    arguments = {"source": "digits", "n_classes": 10, "k": 5, "n_train": 0, "n_held_out": 52}
    arguments |= {"seed": 0} | changes
    return subsets.sample(arguments.pop("source"), arguments.pop("n_classes"), **arguments)


def test_all_subsets_are_taken_once() -> None:
    chosen = sample()
    assert len(chosen) == len({s.classes for s in chosen}) == len({s.id for s in chosen}) == 252
    assert [s.split for s in chosen] == ["train"] * 200 + ["S1"] * 52


@pytest.mark.parametrize("seed", range(5))
def test_held_out_subsets_are_new_combinations_of_trained_classes(seed: int) -> None:
    chosen = sample(n_train=20, n_held_out=10, seed=seed)
    train = {frozenset(s.classes) for s in chosen if s.split == "train"}
    held_out = {frozenset(s.classes) for s in chosen if s.split == "S1"}
    assert (len(train), len(held_out)) == (20, 10)
    assert not train & held_out  # not in another order of labels either
    assert frozenset().union(*train) == frozenset(range(10))


def test_classes_stand_in_order_and_the_id_names_them() -> None:
    for s in sample():
        assert s.classes == tuple(sorted(set(s.classes)))
        assert s.id == "digits-5of10-" + ".".join(map(str, s.classes))


def test_golden_ids() -> None:
    chosen = sample(n_train=6, n_held_out=2, k=6)
    assert [s.id for s in chosen] == GOLDEN, (
        "the drawn subsets or their names have changed: stored zoos name their tasks like this, "
        "and the same seed must hold out the same subsets"
    )


def test_the_draw_depends_on_the_seed() -> None:
    assert sample(seed=4) == sample(seed=4) != sample(seed=5)


def test_too_many_subsets_to_list_are_drawn_one_by_one() -> None:
    assert math.comb(60, 10) > 10**10
    chosen = sample(n_classes=60, k=10, n_train=100, n_held_out=20)
    assert len({frozenset(s.classes) for s in chosen}) == 120
    assert [s.split for s in chosen] == ["train"] * 100 + ["S1"] * 20
    assert all(s.classes == tuple(sorted(set(s.classes))) for s in chosen)
    assert all(isinstance(c, int) for s in chosen for c in s.classes)  # as the id and JSON need
    assert {c for s in chosen[:100] for c in s.classes} == set(range(60))
    assert chosen == sample(n_classes=60, k=10, n_train=100, n_held_out=20)


def test_one_subset_of_all_classes() -> None:
    (only,) = sample(k=10, n_held_out=0)
    assert only == DataSubset("digits-10of10-0.1.2.3.4.5.6.7.8.9", tuple(range(10)), "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k": 1}, r"classes_per_subset=1 must lie in 2..10 \(digits\)"),
        ({"k": 11}, "classes_per_subset=11 must lie in 2..10"),
        ({"n_train": 201}, "201 training and 52 held-out subsets asked for, .* 252 ways"),
        ({"n_held_out": 252}, "252 held-out subsets asked for"),
        ({"n_train": -1}, "-1 training"),
        ({"n_held_out": -1}, "-1 held-out"),
        ({"n_train": 1}, "are in no training subset; raise data.train_subsets"),
        ({"n_classes": 60, "k": 10}, "train_subsets=0 means all of 75394027566 ways"),
    ],
)
def test_impossible_draws_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sample(**changes)

"""Data subsets of several sizes: all sizes come up, in training and held out, and none twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import images, subset_sizes, subsets
from mole_jax.tasks.images import ImageFamily
from mole_jax.tasks.subsets import DataSubset
from tests import tiny

SIZES = range(2, 6)


def sample(n_classes: int = 10, **changes: Any) -> tuple[DataSubset, ...]:
    arguments = {"sizes": SIZES, "n_train": 300, "n_held_out": 60, "seed": 0} | changes
    return subsets.sample("x", n_classes, **arguments)


def counts(chosen: tuple[DataSubset, ...], split: str) -> Counter[int]:
    return Counter(len(s.classes) for s in chosen if s.split == split)


@pytest.mark.parametrize("n_classes", [10, 60])  # all listed, and drawn one by one
@pytest.mark.parametrize("seed", range(3))
def test_no_subset_is_there_twice_of_any_size(n_classes: int, seed: int) -> None:
    chosen = sample(n_classes, seed=seed)
    assert len({frozenset(s.classes) for s in chosen}) == len(chosen) == 360
    assert [s.split for s in chosen] == ["train"] * 300 + ["S1"] * 60
    known = {c for s in chosen[:300] for c in s.classes}
    assert all(set(s.classes) <= known for s in chosen)
    assert chosen == sample(n_classes, seed=seed) != sample(n_classes, seed=seed + 3)


def test_sizes_are_equally_likely_where_there_are_enough() -> None:
    chosen = sample(60)
    for split, n in (("train", 300), ("S1", 60)):
        each = counts(chosen, split)
        assert set(each) == set(SIZES)
        assert max(abs(each[k] / n - 1 / 4) for k in SIZES) < 0.12


def test_there_may_be_more_subsets_than_an_integer_counts() -> None:
    chosen = sample(3000, sizes=range(2, 13), n_train=200, n_held_out=20)
    assert len({s.classes for s in chosen}) == 220
    assert set(counts(chosen, "train")) == set(range(2, 13))


def test_of_rare_sizes_some_are_held_out() -> None:
    """There are 45 pairs of ten classes: training takes its share of them and no more."""
    chosen = sample()
    train, held_out = counts(chosen, "train"), counts(chosen, "S1")
    assert train[2] == 38 and held_out[2] == 7  # 45 * 300 / 360, rounded up
    assert min(train.values()) > 30 and min(held_out.values()) > 5
    everything = sample(n_train=0)
    assert len(everything) == 45 + 120 + 210 + 252
    assert set(counts(everything, "S1")) == set(SIZES)


def test_where_subsets_come_again_sizes_are_equally_likely() -> None:
    subsets_ = [(0, 1), (0, 2, 3), (1, 2, 4), (3, 4, 5), (0, 4, 5)]
    found = subset_sizes.repeated(np.random.default_rng(0), subsets_, 405)
    assert found[:5] == subsets_ == subset_sizes.repeated(np.random.default_rng(0), subsets_, 5)
    again = Counter(found[5:])
    assert abs(again[0, 1] / 400 - 1 / 2) < 0.1
    assert max(again[s] for s in subsets_[1:]) - min(again[s] for s in subsets_[1:]) <= 1
    one_size = subsets_[1:]
    assert subset_sizes.repeated(np.random.default_rng(0), one_size, 9) == [
        *one_size, *one_size, one_size[0],
    ]  # fmt: skip


def build(**changes: Any) -> ImageFamily:
    data = tiny.data_config(
        **{
            "classes_per_subset": 4,
            "fewest_classes": 2,
            "train_subsets": 20,
            "held_out_subsets": 6,
            "held_out_classes": 4,
            "unseen_class_subsets": 8,
            **changes,
        }
    )
    network = {"name": "mlp", "hidden": (8,), "activation": "relu"}
    return images.build({"seed": 0, "data": data, "network": network})


def test_a_network_has_an_output_for_each_class_of_the_largest() -> None:
    family = build(examples_per_class=(5, 20), imbalance=2.0, shuffle_labels=True)
    assert family.n_classes == family.network.n_outputs == 4
    sizes = [len(s.classes) for s in family.subsets]
    assert family.classes_of_tasks.tolist() == sizes
    assert {len(s.classes) for s in family.subsets if s.split == "S2"} == {2, 3, 4}
    assert all(len(s.counts) == len(s.classes) for s in family.subsets)
    np.testing.assert_allclose(family.chance_score(np.arange(3)), 1 / np.array(sizes[:3]))
    np.testing.assert_allclose(family.chance_loss(np.arange(3)), np.log(sizes[:3]))
    assert family.subsets[0].id.startswith(f"digits-{sizes[0]}of10-")
    assert DataSubset.from_json(family.subsets[0].to_json()) == family.subsets[0]


def test_with_one_size_nothing_is_different() -> None:
    few = {"train_subsets": 8, "held_out_subsets": 4, "unseen_class_subsets": 1}
    fixed, same = build(fewest_classes=0, **few), build(fewest_classes=4, **few)
    assert fixed.subsets == same.subsets
    assert fixed.device_data.n_classes is same.device_data.n_classes is None


@pytest.mark.parametrize("fewest", [1, 5, -1])
def test_impossible_sizes_are_refused(fewest: int) -> None:
    with pytest.raises(UserError, match=f"fewest_classes={fewest} must lie in 2..data.classes_per"):
        build(fewest_classes=fewest)


def test_more_than_there_are_is_refused() -> None:
    with pytest.raises(UserError, match="there are 11 ways to take 2 to 4 classes with any"):
        build(unseen_class_subsets=12)
    with pytest.raises(UserError, match="there are 627 ways to take 2 to 5 of 10 classes"):
        sample(n_train=600)
    assert subset_sizes.words([5]) == "5"

"""The four pools are disjoint, stratified, complete, and a function of seed and data alone."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import pools, sources
from mole_jax.tasks.pools import NAMES, ClassTable
from mole_jax.tasks.sources import ImageData

FRACTIONS = {"train": 0.5, "support": 0.15, "validation": 0.15, "test": 0.2}
GOLDEN = {
    "train": "90b7bf75e3f80d09",
    "support": "aa5f9cfbe44d9e9a",
    "validation": "b92f0bfdedc6b687",
    "test": "59b2a25d0f065e72",
}


def made_up(per_class: tuple[int, ...], official: float = 0.0) -> ImageData:
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.repeat(np.arange(len(per_class)), per_class)).astype(np.int32)
    return ImageData(
        name="made-up",
        images=np.zeros((len(labels), 1, 1, 1), np.uint8),
        labels=labels,
        n_classes=len(per_class),
        official_test=rng.random(len(labels)) < official,
        class_source=np.zeros(len(per_class), np.int32),
        sources=("made-up",),
    )


def rows(table: ClassTable) -> list[int]:
    return table.indices[table.mask].tolist()


@pytest.mark.parametrize(
    "data", [sources.load("digits"), made_up((40, 57, 23)), made_up((60, 80, 100), official=0.3)]
)
def test_pools_are_disjoint_and_cover_every_image(data: ImageData) -> None:
    tables = pools.assign(data, FRACTIONS, seed=0)
    assert tuple(tables) == NAMES
    everything = list(itertools.chain(*(rows(t) for t in tables.values())))
    assert sorted(everything) == list(range(len(data.labels)))  # hence none is in two pools


def test_rows_stand_with_their_class_and_padding_repeats_them() -> None:
    data = made_up((40, 57, 23))
    for table in pools.assign(data, FRACTIONS, seed=0).values():
        assert table.indices.dtype == table.counts.dtype == np.int32
        assert table.indices.shape == (3, table.counts.max())
        for c, (indices, count) in enumerate(zip(table.indices, table.counts, strict=True)):
            assert np.all(data.labels[indices] == c)  # the padding, too
            assert set(indices[count:]) <= set(indices[:count])


def test_pools_are_stratified() -> None:
    data = sources.load("digits")
    per_class = np.bincount(data.labels)
    for name, table in pools.assign(data, FRACTIONS, seed=0).items():
        assert np.all(np.abs(table.counts - FRACTIONS[name] * per_class) <= 1), name


def test_the_split_depends_on_the_seed_alone() -> None:
    data = made_up((40, 57, 23))
    a, b, other = (pools.assign(data, FRACTIONS, seed=seed) for seed in (1, 1, 2))
    for name in NAMES:
        assert rows(a[name]) == rows(b[name])
        assert rows(a[name]) != rows(other[name])
        assert pools.digest(a[name]) == pools.digest(b[name]) != pools.digest(other[name])


def test_golden_digest() -> None:
    digests = {
        name: pools.digest(table)
        for name, table in pools.assign(sources.load("digits"), FRACTIONS, seed=0).items()
    }
    assert digests == GOLDEN, (
        "the pools of the digits have changed: stored zoos and models now see test images that "
        "they were trained on, so such a change needs a new version of the zoo"
    )


def test_an_official_test_split_is_the_test_pool() -> None:
    data = made_up((60, 80, 100), official=0.3)
    tables = pools.assign(data, FRACTIONS, seed=0)
    assert sorted(rows(tables["test"])) == np.flatnonzero(data.official_test).tolist()
    free = np.bincount(data.labels[~data.official_test])
    for name in NAMES[:-1]:  # the others share the rest in proportion
        assert np.all(np.abs(tables[name].counts - FRACTIONS[name] / 0.8 * free) <= 1), name


def test_caps_keep_a_part_of_the_uncapped_pools() -> None:
    data = made_up((60, 80, 12), official=0.3)
    whole = pools.assign(data, FRACTIONS, seed=0)
    capped = pools.assign(
        data, FRACTIONS, seed=0, max_per_class={"train": 7, "test": 5, "support": 0}
    )
    assert capped["train"].counts.max() == 7
    assert capped["test"].counts.max() == 5
    for name in NAMES:
        cap = {"train": 7, "test": 5}.get(name, 1000)
        np.testing.assert_array_equal(capped[name].counts, np.minimum(whole[name].counts, cap))
        assert set(rows(capped[name])) <= set(rows(whole[name]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fractions": {"train": 0.5, "test": 0.5}}, "needs the keys"),
        ({"fractions": {**FRACTIONS, "extra": 0.1}}, "needs the keys"),
        ({"fractions": {**FRACTIONS, "train": 0.6}}, "sum to 1"),
        ({"fractions": {**FRACTIONS, "train": 0.65, "support": 0.0}}, "must be positive"),
        ({"fractions": {**FRACTIONS, "train": 0.9, "test": -0.2}}, "must be positive"),
        ({"max_per_class": {"train": -1}}, "max_per_class=.*-1"),
        ({"max_per_class": {"trian": 3}}, "max_per_class=.*trian"),
        ({"data": made_up((40, 2))}, "class 1 of made-up has no example left for the"),
        ({"data": made_up((40, 0, 40))}, r"class 1 of made-up .* \(0 in all\)"),
    ],
)
def test_impossible_splits_are_refused(changes: dict[str, Any], message: str) -> None:
    arguments = {"data": made_up((40, 40)), "fractions": FRACTIONS, "seed": 0} | changes
    with pytest.raises(UserError, match=message):
        pools.assign(arguments.pop("data"), arguments.pop("fractions"), **arguments)

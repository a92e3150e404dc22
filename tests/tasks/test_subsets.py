"""Data subsets are distinct, keep their names, and hold out only new combinations of classes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import subsets
from mole_jax.tasks.sources import ImageData
from mole_jax.tasks.subsets import DataSubset
from tests import tiny

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
    arguments = {"source": "digits", "n_classes": 10, "sizes": [5], "n_train": 0, "n_held_out": 52}
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
    chosen = sample(n_train=6, n_held_out=2, sizes=[6])
    assert [s.id for s in chosen] == GOLDEN, (
        "the drawn subsets or their names have changed: stored zoos name their tasks like this, "
        "and the same seed must hold out the same subsets"
    )


def test_the_draw_depends_on_the_seed() -> None:
    assert sample(seed=4) == sample(seed=4) != sample(seed=5)


def test_too_many_subsets_to_list_are_drawn_one_by_one() -> None:
    assert math.comb(60, 10) > 10**10
    chosen = sample(n_classes=60, sizes=[10], n_train=100, n_held_out=20)
    assert len({frozenset(s.classes) for s in chosen}) == 120
    assert [s.split for s in chosen] == ["train"] * 100 + ["S1"] * 20
    assert all(s.classes == tuple(sorted(set(s.classes))) for s in chosen)
    assert all(isinstance(c, int) for s in chosen for c in s.classes)  # as the id and JSON need
    assert {c for s in chosen[:100] for c in s.classes} == set(range(60))
    assert chosen == sample(n_classes=60, sizes=[10], n_train=100, n_held_out=20)


def test_one_subset_of_all_classes() -> None:
    (only,) = sample(sizes=[10], n_held_out=0)
    assert only == DataSubset("digits-10of10-0.1.2.3.4.5.6.7.8.9", tuple(range(10)), "train")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": [1]}, r"classes_per_subset=1 must lie in 2..10 \(digits\)"),
        ({"sizes": [11]}, "classes_per_subset=11 must lie in 2..10"),
        ({"n_train": 201}, "201 training and 52 held-out subsets asked for, .* 252 ways"),
        ({"n_held_out": 252}, "252 held-out subsets asked for"),
        ({"n_train": -1}, "-1 training"),
        ({"n_held_out": -1}, "-1 held-out"),
        ({"n_train": 1}, "are in no training subset; raise data.train_subsets"),
        ({"n_classes": 60, "sizes": [10]}, "train_subsets=0 means all of 75394027566 ways"),
    ],
)
def test_impossible_draws_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        sample(**changes)


def draw(seed: int = 0, **changes: Any) -> tuple[DataSubset, ...]:
    """Subsets of a made-up source of three parts with 6, 5 and 4 classes."""
    parts = np.repeat([0, 1, 2], [6, 5, 4]).astype(np.int32)
    labels = np.repeat(np.arange(15), 30).astype(np.int32)
    none = np.zeros(len(labels), bool)
    data = ImageData(
        "a+b+c",
        np.zeros((len(labels), 1, 1, 1), np.uint8),
        labels,
        15,
        none,
        parts,
        ("a", "b", "c"),
    )
    arguments = {"classes_per_subset": 3, "train_subsets": 60, "held_out_subsets": 10, **changes}
    return subsets.draw(tiny.data_config(**arguments), data, np.full(15, 20), seed)


UNSEEN = {"held_out_classes": 4, "unseen_class_subsets": 4}
ANY = {"held_out_classes": 2, "unseen_class_subsets": 7, "unseen_class_rule": "any"}
FOREIGN = {"held_out_sources": "c", "unseen_source_subsets": 4}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shuffle", [False, True])
def test_s2_and_s3_have_classes_that_training_never_sees(seed: int, shuffle: bool) -> None:
    fewer = {"train_subsets": 20, "held_out_subsets": 5}
    chosen = draw(seed, shuffle_labels=shuffle, **fewer, **UNSEEN, **FOREIGN)
    of = {
        split: [set(s.classes) for s in chosen if s.split == split]
        for split in ("train", *subsets.HELD_OUT)
    }
    assert [len(of[split]) for split in of] == [20, 5, 4, 0, 4, 0]
    known = set().union(*of["train"])
    assert set().union(*of["S1"]) <= known
    assert not known & set().union(*of["S2"])  # all classes are new
    assert len(set().union(*of["S2"])) == 4
    assert set().union(*of["S3"]) == {11, 12, 13, 14}
    assert not {11, 12, 13, 14} & (known | set().union(*of["S2"]))
    assert len({s.id for s in chosen}) == len({s.content for s in chosen}) == len(chosen)


@pytest.mark.parametrize("seed", range(3))
def test_of_s2any_at_least_one_class_is_new(seed: int) -> None:
    chosen = draw(seed, **ANY)
    known = {c for s in chosen if s.split == "train" for c in s.classes}
    found = [set(s.classes) for s in chosen if s.split == "S2any"]
    assert len(found) == 7 and not any(s.split == "S2" for s in chosen)
    assert all(classes - known for classes in found)
    assert any(classes & known for classes in found)


def test_of_several_foreign_sources_each_has_subsets_of_its_own() -> None:
    chosen = draw(held_out_sources="b+c", unseen_source_subsets=3, train_subsets=10,
                  held_out_subsets=2)  # fmt: skip
    part = np.repeat([0, 1, 2], [6, 5, 4])
    foreign = [{int(part[c]) for c in s.classes} for s in chosen if s.split == "S3"]
    assert foreign == [{1}] * 3 + [{2}] * 3


def test_of_many_classes_some_may_never_be_trained_on() -> None:
    """More classes than a few subsets have: held-out subsets take theirs from those that do."""
    drawn = subsets.sample("x", 500, sizes=[5], n_train=40, n_held_out=10, seed=0)
    known = {c for s in drawn if s.split == "train" for c in s.classes}
    assert len(known) < 200
    assert all(set(s.classes) <= known for s in drawn if s.split == "S1")


@pytest.mark.parametrize("sizes", [[5], [4, 5]])
def test_few_subsets_of_very_many_classes_end(sizes: list[int]) -> None:
    """Hardly any five of 5,000 classes are trained on: drawing them at random has no end."""
    drawn = subsets.sample("x", 5000, sizes=sizes, n_train=8, n_held_out=10, seed=0)
    known = {c for s in drawn if s.split == "train" for c in s.classes}
    assert len({s.classes for s in drawn}) == 18 and len(known) <= 40
    assert all(set(s.classes) <= known for s in drawn if s.split == "S1")


def test_few_subsets_may_leave_nothing_to_hold_out() -> None:
    with pytest.raises(
        UserError, match=r"the 5 classes .* make only 0 more; raise data.train_subsets"
    ):
        subsets.sample("x", 5000, sizes=[5], n_train=1, n_held_out=1, seed=0)


def test_what_is_held_out_besides_does_not_change_the_rest() -> None:
    assert draw() == draw(shuffle_labels=False, examples_per_class=(0, 0))
    plain = [s.classes for s in draw(**UNSEEN) if s.split in ("train", "S1")]
    again = [s.classes for s in draw(**UNSEEN, imbalance=2.0) if s.split in ("train", "S1")]
    assert plain == again


def test_labels_are_shuffled_for_each_subset_on_its_own() -> None:
    ordered, shuffled = draw(), draw(shuffle_labels=True)
    assert [set(s.classes) for s in ordered] == [set(s.classes) for s in shuffled]
    moved = [a.classes != b.classes for a, b in zip(ordered, shuffled, strict=True)]
    assert 0.6 < np.mean(moved) < 1  # 5 of 6 orders are new
    assert shuffled[0].id == "a+b+c-3of15-" + ".".join(map(str, shuffled[0].classes))


def test_a_subset_may_have_to_take_its_classes_from_one_source() -> None:
    part = np.repeat([0, 1, 2], [6, 5, 4])
    apart = draw(mix_sources=False, train_subsets=20, held_out_subsets=5)
    assert all(len({part[c] for c in s.classes}) == 1 for s in apart)
    assert any(len({part[c] for c in s.classes}) > 1 for s in draw())


def test_numbers_of_examples_follow_range_and_imbalance() -> None:
    chosen = draw(examples_per_class=(4, 20), imbalance=4.0)
    largest = [max(s.counts) for s in chosen]
    assert min(largest) >= 4 and max(largest) <= 20 and len(set(largest)) > 5
    for s in chosen:
        assert max(s.counts) / min(s.counts) == pytest.approx(4, rel=0.5)
        assert s.id.endswith("-n" + ".".join(map(str, s.counts)))
    assert len({np.argmax(s.counts) for s in chosen}) == 3  # any label can be the rare one
    assert {max(s.counts) for s in draw(imbalance=2.0)} == {20}  # without a range: all there are
    assert DataSubset.from_json(chosen[0].to_json()) == chosen[0]
    assert draw(examples_per_class=(4, 20)) == draw(examples_per_class=(4, 20))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out_classes": 13}, "held_out_classes=13 must lie in 0..12"),
        ({"held_out_classes": 3}, "unseen_class_subsets=0 and data.held_out_classes=3 go together"),
        ({"held_out_classes": 2}, "held_out_classes=2 must be data.classes_per_subset=3 or more"),
        ({"unseen_class_rule": "some"}, "unseen_class_rule='some' is unknown"),
        ({"unseen_class_subsets": 2}, "go together: give both, or neither"),
        ({"held_out_sources": "d"}, "names 'd', but .* has a, b, c"),
        ({"held_out_sources": "c+a+b"}, "leaves nothing to train on"),
        ({"held_out_sources": "c"}, "unseen_source_subsets=0 and data.held_out_sources='c' go"),
        ({**FOREIGN, "unseen_source_subsets": 5}, "5 held-out subsets asked for .* 4 ways"),
        ({"examples_per_class": (5, 3)}, "examples_per_class=.5, 3. must be .low, high."),
        ({"examples_per_class": (0, 3)}, "must be .low, high. with 1 <= low"),
        ({"imbalance": 0.5}, "imbalance=0.5 must be 1 or more"),
    ],
)
def test_impossible_choices_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        draw(**changes)

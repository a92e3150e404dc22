"""Transformations are drawn as the shares say, have names of their own, and make distinct tasks."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import subsets, transformation
from mole_jax.tasks.sources import ImageData
from mole_jax.tasks.subsets import DataSubset
from mole_jax.tasks.transformation import BANK, KINDS, Transformation, TransformShares
from tests import tiny

SHAPE = (8, 8, 1)
ALL = dict.fromkeys(KINDS, 0.5)
GOLDEN = [
    "a-3of10-0.3.9-permutation395232-linear21",
    "a-3of10-1.6.9-middle0.505-contrast0.986-level0.413-symmetry2",
    "a-3of10-0.4.5-stroke-0.758-blur0.468-middle0.484-contrast0.789-level0.338-permutation23942",
    "a-3of10-3.6.8-symmetry1",
    "a-3of10-4.5.8-blur0.695-middle0.66-contrast0.804-level0.458-inverted1-symmetry2",
]


def drawn(n: int = 400, seed: int = 0, **shares: Any) -> list[Transformation]:
    """Transformations of n different data subsets."""
    classes = [(i, i + 1) for i in range(n)]
    found = transformation.draw(TransformShares(**shares), classes, SHAPE, seed)
    return [x or Transformation() for x in found]


def chosen(transform: dict[str, Any], shape: tuple[int, ...] = SHAPE, **changes: Any) -> Any:
    """Data subsets of a made-up source of ten classes, of which three make one: 120 ways."""
    labels = np.repeat(np.arange(10), 30).astype(np.int32)
    images, none = np.zeros((300, *shape), np.uint8), np.zeros(300, bool)
    data = ImageData("a", images, labels, 10, none, np.zeros(10, np.int32), ("a",))
    every = tiny.data_config()["transform"] | transform
    arguments = {"classes_per_subset": 3, "train_subsets": 60, "held_out_subsets": 10, **changes}
    config = tiny.data_config(transform=every, **arguments)
    return subsets.draw(config, data, np.full(10, 20), 0)


def test_nothing_is_drawn_without_shares() -> None:
    assert transformation.draw(TransformShares(held_out=True), [(1, 2)], SHAPE, 0) == [None]
    config = tiny.data_config(classes_per_subset=3, train_subsets=60, held_out_subsets=10)
    assert TransformShares.of(config["transform"], SHAPE) == TransformShares()
    plain = chosen({})
    assert {s.transformation for s in plain} == {None}
    assert all(set(s.to_json()) == {"id", "classes", "split"} for s in plain)
    # Nor does what is drawn change which classes are drawn.
    assert [s.classes for s in chosen(ALL)] == [s.classes for s in plain]


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_has_its_share_and_leaves_the_others_as_they_are(kind: str) -> None:
    some, more = drawn(**{kind: 0.3}), drawn(**{kind: 0.6})
    for share, found in ((0.3, some), (0.6, more)):
        changed = np.mean([x != Transformation() for x in found])
        assert changed == pytest.approx(share, abs=4 * np.sqrt(share * (1 - share) / len(found)))
    assert all(a in (b, Transformation()) for a, b in zip(some, more, strict=True))
    own = {
        f.name
        for f in dataclasses.fields(Transformation)
        if f.name in set().union(*(x.to_json() for x in more))
    }
    both, without = drawn(**ALL), drawn(**(ALL | {kind: 0.0}))
    for a, b in zip(both, without, strict=True):
        a, b = ({k: v for k, v in x.to_json().items() if k not in own} for x in (a, b))
        assert a == b


def test_numbers_lie_where_images_stay_recognisable() -> None:
    found = drawn(**dict.fromkeys(KINDS, 1.0))
    assert {x.symmetry for x in found} == set(range(1, 8))
    assert {x.linear for x in found} == set(range(1, BANK + 1))
    assert len({x.permutation for x in found}) > 390
    assert all(x.inverted for x in found)
    assert all(0.2 <= x.middle <= 0.8 and 0.5 <= x.contrast <= 1 for x in found)
    assert all(0 <= x.level <= 1 and 0.3 <= x.blur <= 0.7 for x in found)
    thick = np.array([x.stroke for x in found]) > 0
    assert 0.4 < thick.mean() < 0.6
    assert {
        x.symmetry
        for x in transformation.draw(
            TransformShares(symmetry=1.0), [(i,) for i in range(50)], (4, 6, 1), 0
        )
        if x
    } == {1, 2, 3}


def test_names_are_stable_and_distinct() -> None:
    found = chosen(ALL)
    assert [s.id for s in found[:5]] == GOLDEN, (
        "the drawn transformations or their names have changed: stored zoos name their tasks like "
        "this, and the same seed must make the same tasks"
    )
    assert found == chosen(ALL)
    assert len({s.id for s in found}) == len(found)
    assert len({x.name for x in drawn(**ALL)}) == len(set(drawn(**ALL)))


def test_json_keeps_a_transformation() -> None:
    for s in chosen(ALL):
        assert DataSubset.from_json(json.loads(json.dumps(s.to_json()))) == s


def test_there_may_be_more_tasks_than_data_subsets() -> None:
    found = chosen({"contrast": 0.9, "symmetry": 0.5}, train_subsets=1000)
    train = [s for s in found if s.split == "train"]
    assert len(train) == len({s.id for s in train}) == 1000
    assert len(found) == 1010
    known = {s.content for s in train}
    assert len(known) == 110  # all that are not held out
    assert not known & {s.content for s in found if s.split == "S1"}
    assert len({(s.content, s.transformation) for s in train}) == 1000
    # All data subsets come about equally often.
    times = np.unique([s.id.split("-")[2] for s in train], return_counts=True)[1]
    assert set(times.tolist()) == {9, 10}
    assert len(chosen({"contrast": 0.9}, train_subsets=0)) == 120


def test_held_out_tasks_are_transformed_only_where_that_is_asked_for() -> None:
    changes = {"held_out_classes": 4, "unseen_class_subsets": 4, "train_subsets": 30}
    apart, too = (chosen(ALL | {"held_out": x}, **changes) for x in (False, True))
    assert len(apart) == len(too) == 44
    for a, b in zip(apart, too, strict=True):
        assert (a.classes, a.split) == (b.classes, b.split)
        if a.split == "train":
            assert a == b
        else:
            assert a.transformation is None
    assert np.mean([s.transformation is not None for s in too if s.split != "train"]) > 0.7


@pytest.mark.parametrize(
    ("transform", "changes", "message"),
    [
        ({"blur": 1.5}, {}, r"data.transform.blur=1.5 must lie in 0..1"),
        ({"permute": -0.1}, {}, r"data.transform.permute=-0.1 must lie in 0..1"),
        ({"linear": 0.1}, {"shape": (28, 28, 1)}, "at most 256 numbers, these have 784"),
        ({"symmetry": 0.5}, {"train_subsets": 1000}, "1000 tasks are too many for the kinds"),
        ({}, {"train_subsets": 1000}, "1000 training and 10 held-out subsets asked for"),
        (ALL, {"held_out_subsets": 120}, "120 held-out subsets asked for"),
    ],
)
def test_impossible_transformations_are_refused(
    transform: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        chosen(transform, **changes)

"""Support sets of training: their sizes, and their names."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import family as families
from mole_jax.tasks.images import ImageTasks
from mole_jax.training import support_sets
from mole_jax.training.support_sets import SupportSizes
from tests import tiny

B, K = 400, 3


@pytest.fixture(scope="module")
def data() -> ImageTasks:
    return families.build(tiny.tiny_config()).device_data


def sizes(data: ImageTasks, rules: SupportSizes) -> np.ndarray:
    """Return examples of each class of B support sets: [B, K]."""
    task = jnp.zeros(B, jnp.int32)
    drawn = jax.jit(lambda key: support_sets.draw(rules, data, task, K, key))(jax.random.key(0))
    assert drawn.labels.shape == (B, K * rules.most)
    mask, labels = np.asarray(drawn.mask), np.asarray(drawn.labels)
    return np.stack([(mask & (labels == k)).sum(1) for k in range(K)], axis=1)


@pytest.mark.parametrize("kind", support_sets.SIZES)
def test_every_size_comes_up_and_classes_are_equal(data: ImageTasks, kind: str) -> None:
    found = sizes(data, SupportSizes(1, 4, kind))
    assert set(found[:, 0]) == {1, 2, 3, 4}
    assert (found == found[:, :1]).all()
    ones = (found[:, 0] == 1).mean()
    assert (abs(ones - 1 / 4) < 0.07) if kind == "uniform" else ones > 0.36


def test_a_share_of_them_has_classes_of_unequal_size(data: ImageTasks) -> None:
    found = sizes(data, SupportSizes(1, 4, "uniform", unequal=0.5))
    unequal = (found != found[:, :1]).any(1).mean()
    assert abs(unequal - 0.5 * 15 / 16) < 0.08
    assert found.min() == 1 and found.max() == 4


def test_renaming_moves_labels_alone(data: ImageTasks) -> None:
    rules, task = SupportSizes(2, 2), jnp.zeros(B, jnp.int32)
    drawn = support_sets.draw(rules, data, task, K, jax.random.key(0))
    order = support_sets.random_orders(jax.random.key(1), B, K, 0.5)
    found = support_sets.renamed(drawn, order)
    np.testing.assert_array_equal(found.inputs, drawn.inputs)
    back = np.take_along_axis(np.asarray(order), np.asarray(found.labels), axis=1)
    np.testing.assert_array_equal(back, drawn.labels)
    kept = (np.asarray(order) == np.arange(K)).all(1).mean()
    assert abs(kept - (0.5 + 0.5 / 6)) < 0.08


@pytest.mark.parametrize(
    ("rules", "word"),
    [
        (SupportSizes(5, 4), "support_min_per_class=5"),
        (SupportSizes(1, 4, "some"), "support_sizes='some'"),
        (SupportSizes(1, 4, unequal=2.0), "support_unequal=2.0"),
    ],
)
def test_what_cannot_be_is_refused(rules: SupportSizes, word: str) -> None:
    with pytest.raises(UserError, match=word):
        rules.check()


def test_renaming_stays_within_the_classes_of_a_task() -> None:
    present = jnp.arange(B) % 3 + 2  # of 4
    order = np.asarray(support_sets.random_orders(jax.random.key(1), B, 4, 1.0, present))
    for k in (2, 3, 4):
        own = order[np.asarray(present) == k]
        assert (own[:, k:] == np.arange(k, 4)).all()
        assert (np.sort(own, axis=1) == np.arange(4)).all()
        different = {tuple(row) for row in own[:, :k].tolist()}
        assert len(different) == (2, 6, 24)[k - 2]  # all k! of them

"""Warped copies: whose they are, and that a classical learner learns from them."""

from __future__ import annotations

import jax
import numpy as np

from mole_jax.evaluation.baselines import warped
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.tasks.examples import Examples

SHAPE, COPIES = (8, 8, 1), 3


def episodes(rng: np.random.Generator) -> EpisodeGrid:
    """Two tasks x two starts, three examples of which the last is masked."""
    lead = (2, 2)
    support = Examples(
        rng.uniform(size=(*lead, 3, 64)).astype(np.float32),  # type: ignore[arg-type]
        np.tile(np.array([0, 1, 0], np.int32), (*lead, 1)),  # type: ignore[arg-type]
        np.tile(np.array([True, True, False]), (*lead, 1)),  # type: ignore[arg-type]
    )
    return EpisodeGrid(np.arange(2), np.zeros((*lead, 5)), np.zeros(lead), support)


def test_a_copy_keeps_the_label_and_the_mask_of_its_example() -> None:
    given = episodes(np.random.default_rng(0))
    found = warped.with_copies(given, SHAPE, COPIES).support
    assert found.inputs.shape == (2, 2, 3 * (1 + COPIES), 64)
    np.testing.assert_array_equal(found.inputs[..., :3, :], given.support.inputs)
    of = np.concatenate([np.arange(3), np.repeat(np.arange(3), COPIES)])
    np.testing.assert_array_equal(found.labels, given.support.labels[..., of])
    np.testing.assert_array_equal(found.mask, given.support.mask[..., of])
    # Moved a little: a copy is nearer to its own example than to the others.
    for rows, images in zip(
        found.inputs.reshape(4, -1, 64), given.support.inputs.reshape(4, 3, 64), strict=True
    ):
        apart = ((np.asarray(rows)[:, None] - np.asarray(images)[None]) ** 2).sum(-1)
        np.testing.assert_array_equal(apart.argmin(1), of)
        assert (apart[3:].min(1) > 1e-3).all()


def test_copies_depend_on_their_own_example_alone() -> None:
    given = episodes(np.random.default_rng(0))
    whole = warped.with_copies(given, SHAPE, COPIES).support.inputs
    second = jax.tree.map(lambda x: x[1:], given.support)
    alone = EpisodeGrid(given.tasks[1:], given.starts[1:], given.start_metric[1:], second)
    np.testing.assert_allclose(warped.with_copies(alone, SHAPE, COPIES).support.inputs, whole[1:])


def test_channels_are_warped_alike() -> None:
    image = np.random.default_rng(0).uniform(size=(1, 8, 8))
    two = np.stack([image, image], axis=-1).reshape(1, -1)
    found = warped.copied(two, (8, 8, 2), COPIES, 1.0).reshape(-1, 8, 8, 2)
    np.testing.assert_allclose(found[..., 0], found[..., 1], atol=1e-6)
    plain = warped.copied(image.reshape(1, -1), SHAPE, COPIES, 1.0).reshape(-1, 8, 8)
    np.testing.assert_allclose(found[..., 0], plain, atol=1e-6)


def test_classical_learners_gain_where_queries_are_moved() -> None:
    """Bars that are moved by a pixel or so: with copies they are recognised, without not always."""
    rng = np.random.default_rng(1)
    images = np.zeros((2, 9, 9, 1))
    images[0, 2:7, 4], images[1, 2:7, 2:7] = 1.0, 0.25
    x, y = images.reshape(2, -1).astype(np.float32), np.arange(2)
    queries = warped.copied(x + rng.normal(size=x.shape) * 0.01, (9, 9, 1), 40, 2.0)[2:]
    truth = np.repeat(y, 40)
    for of in warped.classical((9, 9, 1), 30):
        right = [
            np.mean(of.scores(x, y, 2, queries, strength).argmax(1) == truth)
            for strength in (0.0, 1.5)
        ]
        assert right[1] > right[0], (of.name, right)

"""Warps of images: what they leave alone, and that they differ."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.metamodel.networks.warps import moved, of_steps, varied

STEPS = 6  # of which the last two see the images as they are


@pytest.mark.parametrize("shape", [(8, 8, 1), (6, 9, 3)])
def test_the_last_steps_see_images_as_they_are_and_the_first_do_not(
    shape: tuple[int, int, int],
) -> None:
    images = jax.random.normal(jax.random.key(0), (2, 5, int(np.prod(shape))))
    seen = np.asarray(varied(images, shape, 1.0, STEPS))
    assert seen.shape == (STEPS, *images.shape)
    moved = np.abs(seen - np.asarray(images)[None]).max(axis=(1, 2, 3))
    assert (moved[:4] > 0.1).all()
    np.testing.assert_allclose(seen[4:], jnp.stack([images] * 2), atol=1e-6)
    between = np.abs(seen[:4, None] - seen[None, :4]).max(axis=(2, 3, 4))
    assert (between + np.eye(4) > 0.1).all()  # no two alike


@pytest.mark.parametrize("shape", [(8, 8, 1), (6, 9, 3), (12, 12, 1)])
def test_a_step_at_a_time_sees_the_same(shape: tuple[int, int, int]) -> None:
    images = jax.random.normal(jax.random.key(0), (1, 5, int(np.prod(shape))))
    looks = zip(*of_steps(shape, 1.0, STEPS), strict=True)
    one_by_one = [moved(images[0], shape, *look) for look in looks]
    together = varied(images, shape, 1.0, STEPS)[:, 0]
    np.testing.assert_allclose(jnp.stack(one_by_one), together, atol=1e-5)


def test_without_strength_nothing_moves() -> None:
    images = jax.random.normal(jax.random.key(0), (1, 2, 64))
    seen = varied(images, (8, 8, 1), 0.0, 3)
    np.testing.assert_allclose(seen, jnp.stack([images] * 3), atol=1e-6)


def test_warps_take_means_of_neighbours() -> None:
    """An even image stays as it is, whatever its border; nothing gets brighter than it was."""
    even = jnp.full((1, 1, 64), 0.7)
    np.testing.assert_allclose(varied(even, (8, 8, 1), 3.0, STEPS), 0.7, rtol=1e-5)
    images = jax.random.uniform(jax.random.key(0), (1, 4, 64))
    seen = varied(images, (8, 8, 1), 3.0, STEPS)
    assert seen.min() >= images.min() - 1e-6 and seen.max() <= images.max() + 1e-6


def test_images_and_channels_are_warped_apart_and_alike() -> None:
    images = jax.random.normal(jax.random.key(0), (2, 3, 8 * 8 * 2))
    seen = varied(images, (8, 8, 2), 1.0, STEPS)
    for i in range(2):
        for j in range(3):
            for channel in range(2):
                one = images[i, j].reshape(64, 2)[:, channel]
                alone = varied(one[None, None], (8, 8, 1), 1.0, STEPS)[:, 0, 0]
                own = seen[:, i, j].reshape(STEPS, 64, 2)[..., channel]
                np.testing.assert_allclose(own, alone, atol=1e-5)


def test_a_pair_of_warps_moves_nothing_in_all() -> None:
    """Opposite warps move a ramp by as much in opposite directions, away from the border."""
    across = jnp.broadcast_to(jnp.arange(12.0), (12, 12)).reshape(1, 1, -1)
    seen = varied(across, (12, 12, 1), 0.5, STEPS).reshape(STEPS, 12, 12)[:, 4:8, 4:8]
    ramp = across.reshape(12, 12)[4:8, 4:8]
    assert np.abs(np.asarray(seen[0] - ramp)).max() > 0.05
    np.testing.assert_allclose(seen[0] + seen[1], 2 * ramp, atol=0.05)

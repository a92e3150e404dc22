"""Augmented images are the originals, flipped or moved, and each is changed on its own."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import augment
from mole_jax.tasks.augment import Augmentation

IMAGES = np.random.default_rng(0).integers(1, 255, (200, 6, 5, 2)).astype(np.uint8)


def changed(rules: Augmentation, seed: int = 0) -> np.ndarray:
    found = np.asarray(
        jax.jit(augment.augment, static_argnums=0)(rules, IMAGES, jax.random.key(seed))
    )
    assert (found.shape, found.dtype) == (IMAGES.shape, IMAGES.dtype)
    return found


def test_nothing_is_changed_where_nothing_is_asked_for() -> None:
    np.testing.assert_array_equal(changed(augment.NONE), IMAGES)


def test_half_of_the_images_are_flipped() -> None:
    found = changed(Augmentation(flip=True))
    same = (found == IMAGES).all((1, 2, 3))
    flipped = (found == IMAGES[:, :, ::-1]).all((1, 2, 3))
    assert (same ^ flipped).all()
    assert 70 < flipped.sum() < 130
    assert not np.array_equal(changed(Augmentation(flip=True), seed=1), found)


def test_a_crop_is_the_image_moved_over_black() -> None:
    border = 2
    padded = np.pad(IMAGES, [(0, 0), (border, border), (border, border), (0, 0)])
    height, width = IMAGES.shape[1:3]
    moves = set()
    for image, source in zip(changed(Augmentation(crop=border)), padded, strict=True):
        places = [
            (i, j)
            for i in range(2 * border + 1)
            for j in range(2 * border + 1)
            if np.array_equal(source[i : i + height, j : j + width], image)
        ]
        assert len(places) == 1
        moves.add(places[0])
    assert len(moves) == (2 * border + 1) ** 2  # every one of them occurs


@pytest.mark.parametrize("crop", [-1, 5])
def test_an_impossible_crop_is_refused(crop: int) -> None:
    with pytest.raises(UserError, match=rf"data.augment.crop={crop} must lie in 0..4"):
        Augmentation.of({"flip": False, "crop": crop}, (6, 5, 2))

"""Images of another size are made as large as networks take them."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.sampling.resizing import PIECE, resized

SHAPE = (8, 8, 1)


def test_flat_and_shaped_images_are_the_same() -> None:
    x = np.random.default_rng(0).uniform(0, 255, (5, 28, 28)).astype(np.float32)
    found = resized("x", x, SHAPE)
    assert found.shape == (5, *SHAPE) and found.dtype == np.float32
    np.testing.assert_array_equal(resized("x", x[..., None], SHAPE), found)
    np.testing.assert_array_equal(resized("x", x.reshape(5, -1), SHAPE), found)


def test_the_scale_and_what_is_even_stay() -> None:
    even = np.full((2, 20, 30), 7.0)
    np.testing.assert_allclose(resized("x", even, SHAPE), 7.0, rtol=1e-5)
    half = np.repeat([0.0, 255.0], 14)[None, None].repeat(28, axis=1)  # right half white
    found = resized("x", half, SHAPE)[0, :, :, 0]
    np.testing.assert_allclose(found[:, :3], 0.0, atol=1e-3)
    np.testing.assert_allclose(found[:, 5:], 255.0, rtol=1e-5)
    same = np.arange(128.0).reshape(2, 8, 8)
    np.testing.assert_allclose(resized("x", same, SHAPE)[..., 0], same, rtol=1e-6)


def test_many_are_done_in_parts_and_none_is_no_image() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (PIECE + 3, 4, 4))
    found = resized("x", x, SHAPE)
    np.testing.assert_allclose(found[-3:], resized("x", x[-3:], SHAPE), rtol=1e-6)
    assert resized("x", np.zeros((0, 4, 4)), SHAPE).shape == (0, *SHAPE)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 10)), "10 numbers do not make a square image"),
        (np.zeros((3, 28, 28, 3)), r"in colour, but networks take grey ones: x\.mean\(-1\)$"),
        (np.zeros((3, 28, 28, 4)), r"grey ones: x\[\.\.\., :3\]\.mean\(-1\)$"),
        (np.zeros(3), "expected images"),
        (np.zeros((3, 0, 4)), "expected images"),
        (np.array(["a"]), "real numbers"),
    ],
)
def test_what_are_no_such_images_is_refused(x: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        resized("x", x, SHAPE)

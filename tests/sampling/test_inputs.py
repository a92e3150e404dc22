"""Shapes are looked at, not sizes; and numbers on another scale than in training are noticed."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.sampling.inputs import Inputs

GREY = Inputs((4, 6, 1), (0.5,), (-1.0,), (3.0,), (2.0,))
COLOUR = Inputs((4, 6, 3), (0.5,), (-1.0,))
OBSERVED = Inputs((5,), (1.0,), (0.0,))


@pytest.mark.parametrize(
    ("inputs", "shape"),
    [
        (GREY, (7, 24)),
        (GREY, (7, 4, 6)),
        (GREY, (7, 4, 6, 1)),
        (COLOUR, (7, 72)),
        (COLOUR, (7, 4, 6, 3)),
        (OBSERVED, (7, 5)),
    ],
)
def test_flat_or_the_networks_own_shape(inputs: Inputs, shape: tuple[int, ...]) -> None:
    x = np.arange(7 * inputs.size, dtype=np.float64).reshape(shape)
    for given in (x, jnp.asarray(x), x.tolist()):
        rows = inputs.flat("x", given)
        assert rows.dtype == jnp.float32
        np.testing.assert_array_equal(rows, x.reshape(7, -1))
    assert inputs.flat("x", x[:0]).shape == (0, inputs.size)
    assert jax.eval_shape(lambda x: inputs.flat("x", x), x).shape == (7, inputs.size)


@pytest.mark.parametrize(
    ("inputs", "shape"),
    [
        (GREY, (7, 6, 4)),
        (GREY, (7, 1, 4, 6)),
        (GREY, (7, 2, 12)),
        (GREY, (7, 24, 1)),
        (GREY, (7, 23)),
        (GREY, (24,)),
        (GREY, ()),
        (GREY, (0, 5)),
        (COLOUR, (7, 3, 4, 6)),
        (COLOUR, (7, 12, 6)),
        (COLOUR, (7, 4, 18)),
        (COLOUR, (7, 4, 6)),
        (OBSERVED, (7, 5, 1)),
        (OBSERVED, (7, 1, 5)),
        (OBSERVED, (5,)),
    ],
)
def test_other_shapes_are_refused_and_the_right_ones_named(
    inputs: Inputs, shape: tuple[int, ...]
) -> None:
    named = r"\[m, 4, 6\]" if inputs is GREY else r"\[m, "
    for x in (np.ones(shape), jnp.ones(shape)):
        with pytest.raises(UserError, match=rf"x has the shape .*; expected .*{named}"):
            inputs.flat("x", x)


def test_the_commonest_mistakes_have_their_remedy() -> None:
    with pytest.raises(UserError, match=r"channels come last, x\.transpose\(0, 2, 3, 1\)"):
        COLOUR.flat("x", np.ones((7, 3, 4, 6)))
    for one in (np.ones(24), np.ones((4, 6)), np.ones((4, 6, 1))):
        with pytest.raises(UserError, match=r"for a single one give x\[None\]"):
            GREY.flat("x", one)


def test_only_finite_real_numbers_enter() -> None:
    for bad in (np.nan, np.inf, 1e39):
        for x in (np.full((2, 5), bad), jnp.full((2, 5), bad)):
            with pytest.raises(UserError, match="NaN, infinity or a number too large"):
                OBSERVED.flat("x", x)
    for wrong in (np.ones((2, 5), complex), jnp.ones((2, 5), jnp.complex64), [["a"] * 5]):
        with pytest.raises(UserError, match="must be real numbers"):
            OBSERVED.flat("x", wrong)


def test_scaling() -> None:
    rows = np.ones((2, 3), np.float32) * np.array([0, 1, 2], np.float32)
    each = Inputs((3,), (1.0, 2.0, 3.0), (0.5, 0.5, 0.0))
    np.testing.assert_allclose(each.standardised(jnp.asarray(rows))[0], [0.5, 2.5, 6.0])
    np.testing.assert_allclose(OBSERVED.standardised(jnp.asarray(rows)), rows)
    large = np.full((1, 3), 2e38, np.float32)  # without a warning of NumPy's
    np.testing.assert_array_equal(each.standardised(large)[0, 1:], [np.inf, np.inf])


def digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return load_digits().data


def of_digits() -> Inputs:
    images = digits()
    mean, std = (tuple(x.tolist()) for x in (images.mean(axis=0), images.std(axis=0)))
    return Inputs((8, 8, 1), (1 / 6,), (-0.8,), mean, std)


@pytest.mark.parametrize("per_pixel", [True, False])
@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (1 / 16, "16 times smaller .*: multiply them by 16[?]"),
        (16, "16 times larger .*: divide them by 16[?]"),
        (255 / 16, "16 times larger"),
        (1 / 255, "255 times smaller"),
        (255, "255 times larger .*: divide them by 255[?]"),
        (1 / 700, "on another scale"),
        (0, "on another scale"),
        (1e30, "on another scale"),
    ],
)
def test_another_scale_is_noticed(factor: float, said: str, per_pixel: bool) -> None:
    inputs = of_digits()
    if not per_pixel:  # as the scale alone tells it
        inputs = Inputs((8, 8, 1), (1 / 6,), (-0.8,), (4.9,), (6.0,))
    for m in (1, 5, 100):
        rows = jnp.asarray(digits()[:m] * factor, jnp.float32)
        found = inputs.strangeness("x", rows)
        assert re.search(said, found) and "\n" not in found


def test_standardised_shifted_and_inverted_images_are_noticed_and_called_no_multiple() -> None:
    images, inputs = digits()[:50], of_digits()
    for scale in (1, 255):
        rows = jnp.asarray((images - images.mean()) / images.std() * scale)
        assert "some numbers are below 0" in inputs.strangeness("x", rows)
    for rows in (images + 20, images + 500, 32 - images):
        found = inputs.strangeness("x", jnp.asarray(rows))
        assert "on another scale" in found and "times" not in found


def test_ordinary_images_are_not() -> None:
    inputs, images = of_digits(), jnp.asarray(digits(), jnp.float32)
    rng = np.random.default_rng(0)
    for m in (1, 2, 5, 20, 200):
        for _ in range(20):
            rows = images[rng.choice(len(images), m)]
            assert inputs.strangeness("x", rows) == ""
            assert inputs.strangeness("x", 16 * (rows > 8)) == ""  # binary ones
    assert inputs.strangeness("x", images[:0]) == ""


def test_what_nobody_knows_is_no_reason() -> None:
    assert OBSERVED.strangeness("x", jnp.full((3, 5), 1e6)) == ""
    traced = jax.jit(lambda x: x + len(of_digits().strangeness("x", x)))
    assert traced(jnp.zeros((2, 64))).sum() == 0

"""Features of examples: one example does not change another's, and images need a shape."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.metamodel.layers import features
from mole_jax.metamodel.layers.features import ConvFeatures, DenseFeatures

SHAPES = [(8, 8, 1), (28, 28, 1), (9, 12, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", features.KINDS)
def test_every_example_has_its_own_features(kind: str, shape: tuple[int, int, int]) -> None:
    module: nn.Module = ConvFeatures(shape, 24) if kind == "conv" else DenseFeatures(24)
    x = jax.random.normal(jax.random.key(0), (5, int(np.prod(shape))))
    params = module.init(jax.random.key(1), x)
    found = module.apply(params, x)
    assert isinstance(found, jax.Array) and found.shape == (5, 24)
    changed = module.apply(params, x.at[2].add(1.0))
    assert isinstance(changed, jax.Array)
    moved = np.abs(np.asarray(changed - found)).max(axis=1) > 1e-6
    assert moved.tolist() == [False, False, True, False, False]
    one_by_one = jnp.concatenate([jnp.asarray(module.apply(params, row[None])) for row in x])
    np.testing.assert_allclose(one_by_one, found, rtol=1e-5, atol=1e-6)


def test_convolutions_see_what_is_where() -> None:
    """A pixel in the middle of a large image changes what a dense layer over pixels could, too."""
    module = ConvFeatures((28, 28, 1), 16)
    params = module.init(jax.random.key(0), jnp.zeros((1, 784)))
    kernels = [x.shape for x in jax.tree.leaves(params) if x.ndim == 4]
    assert [shape[:2] for shape in kernels] == [(3, 3)] * 3  # 28, 14, 7, 4


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("pool", (8, 8, 1), "metamodel.features='pool' is unknown"),
        ("conv", (4,), "needs images"),
    ],
)
def test_impossible_features_are_refused(kind: str, shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        features.check(kind, shape)

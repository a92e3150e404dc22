"""Codecs are exact inverses: every parameter has a token, and the padding is zero."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax import representation
from mole_jax.core.errors import UserError
from mole_jax.representation.codec import Codec
from mole_jax.tasks.networks import Network, sizes


@pytest.fixture(params=["neuron", "chunk", "flat"])
def codec(request: pytest.FixtureRequest, network: Network) -> Codec:
    return representation.codec(request.param, network, chunk_size=5)


def test_round_trip_is_exact(codec: Codec, flat: np.ndarray) -> None:
    for x in (flat[0], flat[:, None]):  # [D], [3, 1, D]
        tokens = codec.encode(x)
        assert tokens.shape == (*x.shape[:-1], codec.n_tokens, codec.n_channels)
        again = codec.decode(tokens)
        assert again.dtype == x.dtype
        np.testing.assert_array_equal(again, x)


def test_round_trip_is_exact_under_jit_and_vmap(codec: Codec, flat: np.ndarray) -> None:
    there_and_back = jax.jit(jax.vmap(lambda x: codec.decode(codec.encode(x))))
    np.testing.assert_array_equal(there_and_back(flat), flat)


def test_every_parameter_has_a_channel(codec: Codec, network: Network) -> None:
    assert codec.size == network.spec.size
    assert set(codec.table[codec.mask]) == set(range(codec.size))
    assert codec.kind.shape == codec.position.shape == (codec.n_tokens,)


def test_padding_is_zero_and_does_not_matter(codec: Codec, flat: np.ndarray) -> None:
    tokens = np.asarray(codec.encode(flat))
    assert not tokens[:, ~codec.mask].any()
    np.testing.assert_array_equal(tokens[:, codec.mask], flat[:, codec.table[codec.mask]])
    soiled = np.where(codec.mask[None], tokens, 1e9).astype(np.float32)
    np.testing.assert_array_equal(codec.decode(soiled), flat)


def test_copies_are_averaged(codec: Codec, flat: np.ndarray) -> None:
    """Decoding gives the parameters whose tokens are nearest to those given."""
    noise = np.random.default_rng(0).normal(size=codec.table.shape).astype(np.float32)
    decoded = np.asarray(codec.decode(noise))
    for index in range(codec.size):
        np.testing.assert_allclose(decoded[index], noise[codec.table == index].mean(), rtol=1e-5)


@pytest.mark.parametrize("way", ["encode", "decode"])
def test_derivatives_are_transposes(codec: Codec, flat: np.ndarray, way: str) -> None:
    """They are written by hand: <encode x, y> as a function of x has the gradient of the map."""
    rng = np.random.default_rng(0)
    x, y = flat, rng.normal(size=(3, *codec.table.shape)).astype(np.float32)
    function = getattr(codec, way)
    given, other = (x, y) if way == "encode" else (y, x)
    gradient = jax.grad(lambda given: jnp.sum(function(given) * other))(jnp.asarray(given))
    # The maps are linear, so the sum is the gradient's product with what was given.
    step = rng.normal(size=given.shape).astype(np.float32)
    expected = jnp.sum(function(step) * other)
    np.testing.assert_allclose(jnp.sum(gradient * step), expected, rtol=1e-3)
    # And differentiated twice, as inner steps do it.
    twice = jax.grad(
        lambda g: jnp.sum(jax.grad(lambda h: jnp.sum(function(h) ** 3) / 3)(g) * step)
    )(jnp.asarray(given))
    assert np.isfinite(twice).all()
    assert float(jnp.abs(twice).max()) > 0


def test_a_table_that_leaves_out_a_parameter_is_refused(codec: Codec) -> None:
    broken = codec.table.copy()
    broken[broken == 3] = -1
    with pytest.raises(ValueError, match="leaves out a parameter"):
        Codec(
            "x", broken, codec.kind, codec.position, codec.kinds, codec.spec, codec.output
        ).decode(jnp.zeros(broken.shape))


def test_outputs_are_those_that_alone_depend_on_a_parameter(
    network: Network, flat: np.ndarray
) -> None:
    x = jnp.linspace(0.1, 1, network.n_inputs)
    logits = jax.jit(jax.jacrev(lambda p: network.apply(network.spec.unflatten(p), x)))
    jacobian = np.asarray(logits(np.abs(flat[0])))  # [K, D]; positive, hence no dead ReLU
    own = network.output_of
    # An action's spread belongs to its output, which does not show it.
    spread = network.spec["log_std"].slice if "log_std" in network.axes else slice(0)
    # Of several outputs in a frame one is read.
    there = np.asarray(sizes.there(network, jnp.asarray(np.abs(flat[0]))))
    for index in np.setdiff1d(np.flatnonzero((own >= 0) & there), np.arange(len(own))[spread]):
        assert np.flatnonzero(jacobian[:, index]).tolist() == [own[index]]
    # All others reach every output, but for those that a normalisation cancels.
    reach = (jacobian[:, own < 0] != 0).all(axis=0)
    assert reach.mean() > (0.6 if network.name == "vit" or "norm_0/scale" in network.axes else 0.99)


def test_channels_belong_to_the_outputs_of_their_parameters(codec: Codec, network: Network) -> None:
    expected = np.where(codec.mask, network.output_of[codec.table], -1)
    np.testing.assert_array_equal(codec.layout.output, expected)


def test_unknown_representations_are_refused(network: Network) -> None:
    with pytest.raises(UserError, match="name='graph' is unknown"):
        representation.codec("graph", network, chunk_size=5)
    with pytest.raises(UserError, match="chunk_size=0 must be 1 or more"):
        representation.codec("chunk", network, chunk_size=0)

"""Every registered representation turns networks into tokens and back."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax import representation
from mole_jax.core.errors import UserError
from mole_jax.representation.autoencoder import AutoEncoder
from mole_jax.representation.cut import Cut
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.representation.tabulated import Tabulated
from mole_jax.representation.tokens import (
    GRADIENT_UNIT,
    SMALLEST_SIZE,
    ProbeGradient,
    Representation,
)
from mole_jax.tasks import networks
from tests import tiny

NETWORK = networks.build({"name": "mlp", "hidden": (6, 4)}, (5,), 3)
D = NETWORK.spec.size
RNG = np.random.default_rng(0)
FLAT = RNG.normal(size=(2, D)).astype(np.float32)


@pytest.fixture(params=representation.NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=[False, True], ids=["own order", "one basis"])
def built(name: str, request: pytest.FixtureRequest) -> Representation:
    return built_once(name, request.param)


@functools.cache
def built_once(name: str, shared: bool) -> Representation:
    config = {
        "representation": {"name": name, "chunk_size": 8, "components": 26, "steps": 10},
        "population": {"shared_start": shared},
    }
    rng = np.random.default_rng(1)
    of_each = rng.uniform(0.1, 1, (3, len(NETWORK.spec.fields))).astype(np.float32)
    sizes = [field.size for field in NETWORK.spec.fields]
    normaliser = Normaliser(*(jnp.asarray(np.repeat(x, sizes)) for x in of_each))
    kind, arrays = representation.latent(config), {}
    if kind is not None:
        runs = rng.normal(size=(6, 5, D)).astype(np.float32)
        arrays, _ = kind.fit(config["representation"], NETWORK, runs, None)
    like = representation.shapes(config, NETWORK)
    fitted = Fitted(normaliser, arrays)
    assert jax.tree.map(jnp.shape, like) == jax.tree.map(jnp.shape, fitted)
    # Built of shapes, as where no zoo is read.
    return representation.build(config, NETWORK, like).with_fitted(fitted)


def test_tokens_are_of_the_layout_and_come_back(built: Representation) -> None:
    built.check()
    layout, tokens = built.layout, np.asarray(jax.jit(lambda r, x: r.tokens(x))(built, FLAT))
    assert tokens.shape == (2, *layout.shape)
    assert layout.mask.shape == layout.output.shape == layout.shape
    assert len(layout.kind) == len(layout.position) == layout.n_tokens
    assert len(layout.kinds) == layout.kind.max() + 1
    assert (np.diff(layout.kind) >= 0).all()  # mixing takes the tokens of a kind as one slice
    assert not tokens[:, ~layout.mask].any()
    assert built.change.shape == layout.shape
    assert (np.asarray(built.change)[layout.mask] > 0).all()
    assert not np.asarray(built.change)[~layout.mask].any()
    again = built.parameters(tokens)
    if isinstance(built, AutoEncoder):  # two networks stand side by side there, and neither inverts
        assert again.shape == FLAT.shape
        return
    np.testing.assert_allclose(built.tokens(again), tokens, rtol=1e-4, atol=1e-5)
    if isinstance(built, (Tabulated, Cut)):  # a latent is lossy
        np.testing.assert_allclose(again, FLAT, rtol=1e-5, atol=1e-6)


def test_networks_are_made_of_tokens_as_they_run(built: Representation) -> None:
    tokens = built.tokens(FLAT)
    found = jax.jit(lambda r, x: r.network(r.split(x)))(built, tokens)
    expected = NETWORK.spec.unflatten(built.parameters(tokens))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), found, expected
    )


def test_pieces_are_of_the_rows_that_they_say(built: Representation) -> None:
    tokens = built.tokens(FLAT)
    pieces = built.split(tokens)
    np.testing.assert_array_equal(built.join(pieces), tokens)
    of_rows = jnp.broadcast_to(jnp.arange(tokens.shape[1])[None, :, None], tokens.shape)
    for piece, rows in zip(built.split(of_rows), built.rows, strict=True):
        assert set(np.unique(piece)) == set(range(rows.start, rows.stop))


def test_what_the_zoo_holds_is_the_same_network(built: Representation) -> None:
    parameters = built.denormalise(FLAT)
    np.testing.assert_allclose(built.tokens(parameters), built.encode(FLAT), rtol=1e-4, atol=1e-5)


def test_gradients_are_pulled_back_as_parameters_are_made(built: Representation) -> None:
    """By the transposed map, but for copies of a parameter, which all get what it would get."""
    gradient = 0.02 * RNG.normal(size=FLAT.shape).astype(np.float32)
    tokens, mask = built.tokens(FLAT), built.layout.mask
    pieces = jax.jit(lambda r, g: r.pull_back(g, r.split(tokens)))(
        built, NETWORK.spec.unflatten(gradient)
    )
    found = ProbeGradient(*map(built.join, pieces))
    _, transposed = jax.vjp(built.parameters, tokens)
    down = -np.asarray(transposed(jnp.asarray(gradient))[0])
    if isinstance(built, Tabulated):
        n_copies = np.bincount(built.codec.table[mask], minlength=D).astype(np.float32)
        down = down * np.asarray(built.codec.encode(n_copies))
    np.testing.assert_allclose(np.sinh(found.magnitude) * GRADIENT_UNIT, down, rtol=1e-3, atol=1e-6)
    direction = np.asarray(found.direction)
    np.testing.assert_array_equal(np.sign(direction[:, mask]), np.sign(down[:, mask]))
    assert not direction[:, ~mask].any()
    if not isinstance(built, Tabulated):
        size = np.sqrt((down**2).sum(2, keepdims=True) / mask.sum(1)[None, :, None])
        expected = down / np.sqrt(size**2 + SMALLEST_SIZE**2)
        np.testing.assert_allclose(direction, expected, rtol=1e-3, atol=1e-6)


def test_a_representation_compiles_once_whatever_it_is_fitted_to(built: Representation) -> None:
    traced = []

    @jax.jit
    def tokens(given: Representation, flat: jax.Array) -> jax.Array:
        traced.append(1)
        return given.tokens(flat)

    other = jax.tree.map(lambda x: 2 * jnp.asarray(x), built.fitted)  # type: ignore[attr-defined]
    assert not np.allclose(tokens(built, FLAT), tokens(built.with_fitted(other), FLAT))
    assert len(traced) == 1


def test_an_unknown_representation_is_answered_with_the_nearest_and_with_all() -> None:
    settings = {"name": "chunks", "chunk_size": 8}
    config = {"representation": settings, "population": {"shared_start": False}}
    with pytest.raises(UserError, match=r"did you mean 'chunk'\?") as caught:
        representation.build(config, NETWORK, representation.shapes(config, NETWORK))
    for name in representation.NAMES:
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"representation__name": "pca"}, "name='pca' does not keep zeros: set it to 'neuron'"),
        ({"representation__normaliser": "global"}, "not for several sizes: set it to 'tensor'"),
        ({"population__shared_start": True}, "keeps a mean of every parameter: set it to False"),
    ],
)
def test_networks_of_several_sizes_need_zeros_that_stay(
    changes: dict[str, Any], message: str
) -> None:
    config = tiny.tiny_config(network__name="mlps", network__hidden=(32, 32), **changes)
    network = networks.build(config.network, (8, 8, 1), 3)
    with pytest.raises(UserError, match=message):
        representation.build(config, network, representation.shapes(config, network))


def test_a_frame_with_attention_is_not_brought_into_one_basis() -> None:
    config = tiny.tiny_config(
        network__name="several", network__hidden=(32, 32), representation__align=True
    )
    network = networks.build(config.network, (8, 8, 1), 3)
    assert network.rotations
    with pytest.raises(UserError, match="align is not for attention among them"):
        representation.build(config, network, representation.shapes(config, network))

"""Networks of several families in one frame: each is what it would be alone."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.representation import permutation, rotation
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network, fewer_outputs, sizes

SHAPE, K = (4, 4, 1), 3
SECTION: dict[str, Any] = {
    "name": "several",
    "hidden": (5, 4),
    "widths": (2, 4),
    "depths": (1, 2),
    "unseen": ("3", "vit"),
    "channels": (3, 4),
    "strides": (1, 2),
    "patch": 2,
    "width": 6,
    "layers": 1,
    "heads": 2,
    "mlp": 5,
}
NAMES = ("4", "2-3", "cnn", "vit")


@functools.cache
def framed() -> Network:
    return networks.build(SECTION, SHAPE, K)


def own_of(name: str, n_outputs: int = K) -> Network:
    frame = framed().frame
    assert frame is not None
    return networks.build(frame.plain(name), SHAPE, n_outputs)


def initial(name: str, seed: int = 0) -> jax.Array:
    network = framed()
    assert network.frame is not None
    fresh = network.spec.flatten(network.init(jax.random.key(seed)))
    return sizes.sized(network, fresh, jnp.array(network.frame.sizes(name)))


@pytest.mark.parametrize("name", NAMES)
def test_a_network_of_a_frame_is_its_own(name: str) -> None:
    """Its function is, its gradient is, and of all that it lacks the gradient is zero."""
    network, own, flat = framed(), own_of(name), initial(name)
    x = jax.random.normal(jax.random.key(1), (8, network.n_inputs))

    def total(of: Network, flat: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(of.apply(of.spec.unflatten(flat), x)))

    narrow = fewer_outputs.narrowed(network, flat, own)
    np.testing.assert_array_equal(fewer_outputs.widened(network, narrow, own), flat)
    a, b = (of.apply(of.spec.unflatten(f), x) for of, f in ((network, flat), (own, narrow)))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert np.abs(a).max() > 0
    found = jax.grad(functools.partial(total, network))(flat)
    wanted = jax.grad(functools.partial(total, own))(narrow)
    np.testing.assert_allclose(
        found, fewer_outputs.widened(network, wanted, own), rtol=1e-4, atol=1e-5
    )
    there = np.asarray(sizes.there(network, flat))
    assert not np.asarray(found)[~there].any()
    assert there.sum() == own.spec.size
    fewer = own_of(name, 2)
    weights = jnp.arange(1.0, fewer.spec.size + 1)
    wide = fewer_outputs.widened(network, weights, fewer)
    np.testing.assert_array_equal(fewer_outputs.narrowed(network, wide, fewer), weights)


@pytest.mark.parametrize("name", NAMES)
def test_symmetries_of_a_family_are_those_of_the_frame(name: str) -> None:
    network, flat = framed(), initial(name)
    x = jax.random.normal(jax.random.key(1), (8, network.n_inputs))
    moved = permutation.permute(
        network, flat, permutation.random_orders(network, jax.random.key(3))
    )
    moved = rotation.rotate(network, moved, rotation.random_turns(network, jax.random.key(4)))
    plain, found = (network.apply(network.spec.unflatten(f), x) for f in (flat, moved))
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-5)
    assert int(sizes.there(network, moved).sum()) == int(sizes.there(network, flat).sum())


def test_families_are_trained_equally_often_and_unseen_ones_never() -> None:
    frame = framed().frame
    assert frame is not None
    drawn = [*itertools.islice(frame.trained(np.random.default_rng(0)), 24)]
    assert drawn.count("cnn") == 12 and "vit" not in drawn and "3" not in drawn
    assert {*drawn} - {"cnn"} == {"2", "4", "2-2", "2-4", "4-2", "4-4"}
    assert frame.unseen == ("3", "vit") and frame.largest == "4-4"
    assert frame.outside("vit") == "training had no vit"
    assert "widths 2..4" in frame.outside("5") and not frame.outside("3")
    assert not frame.outside("cnn")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": ("cnn",)}, "must name two or more of mlps, cnn, vit"),
        ({"families": ("cnn", "cnn")}, "must name two or more of"),
        ({"families": ("cnn", "rnn")}, "must name two or more of"),
        ({"families": ("mlps", "cnn")}, "'vit' is none of network.families"),
        ({"families": ("cnn", "vit"), "unseen": ("cnn", "vit")}, "leaves nothing to train on"),
        ({"families": ("cnn", "vit"), "unseen": ("3",)}, "names sizes of MLPs, and network.fam"),
        ({"unseen": ("mlps",)}, "for MLPs name the sizes that are held out"),
        ({"unseen": ("rnn",)}, "'rnn' names no hidden layers"),
        ({"patch": 3}, "network.patch"),
        ({"strides": (1,)}, "network.channels"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        networks.build({**SECTION, **changes}, SHAPE, K)


@pytest.mark.parametrize("name", ["rnn", "", "mlps", "9", "x-3"])
def test_names_of_no_network(name: str) -> None:
    frame = framed().frame
    assert frame is not None
    with pytest.raises(UserError, match=r"is no network|has no room for|names no hid"):
        frame.sizes(name)

"""MLPs of several sizes in one frame: each is the smaller MLP, before training and after it."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.population import member, optimizer
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import Recipe
from mole_jax.representation import permutation
from mole_jax.tasks import networks
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.images import ImageTasks
from mole_jax.tasks.networks import Network, fewer_outputs, mlps, sizes
from tests import tiny

SHAPE, K = (3, 3, 1), 4
SIZES = [(7, 6, 5), (4,), (7,), (3, 6), (4, 2, 5)]


@functools.cache
def framed(activation: str = "relu") -> Network:
    section = {"name": "mlps", "hidden": (7, 6, 5), "widths": (3,), "depths": (1,)}
    return networks.build({**section, "activation": activation}, SHAPE, K)


def plain(hidden: tuple[int, ...], activation: str = "relu", n_outputs: int = K) -> Network:
    return networks.build(
        {"name": "mlp", "hidden": hidden, "activation": activation}, SHAPE, n_outputs
    )


def initial(network: Network, hidden: tuple[int, ...], seed: int = 0) -> jax.Array:
    fresh = network.spec.flatten(network.init(jax.random.key(seed)))
    return sizes.sized(network, fresh, jnp.array([*hidden, *[0] * (3 - len(hidden))]))


@pytest.mark.parametrize(
    ("hidden", "activation"),
    [
        *((hidden, "relu") for hidden in SIZES),
        *(((3, 6), activation) for activation in ("gelu", "tanh", "silu", "selu")),
    ],
)
def test_a_network_of_a_frame_is_the_smaller_mlp(hidden: tuple[int, ...], activation: str) -> None:
    """Its function is, its gradient is, and of all that it lacks the gradient is zero."""
    network, own = framed(activation), plain(hidden, activation)
    flat = initial(network, hidden)
    x = jax.random.normal(jax.random.key(1), (8, network.n_inputs))

    def total(of: Network, flat: jax.Array) -> jax.Array:
        return jnp.sum(jnp.sin(of.apply(of.spec.unflatten(flat), x)))

    narrow = fewer_outputs.narrowed(network, flat, own)
    np.testing.assert_array_equal(fewer_outputs.widened(network, narrow, own), flat)
    a, b = (of.apply(of.spec.unflatten(f), x) for of, f in ((network, flat), (own, narrow)))
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    found = jax.grad(functools.partial(total, network))(flat)
    wanted = jax.grad(functools.partial(total, own))(narrow)
    np.testing.assert_allclose(
        found, fewer_outputs.widened(network, wanted, own), rtol=1e-4, atol=1e-5
    )
    there = np.asarray(sizes.there(network, flat))
    assert not np.asarray(found)[~there].any()
    np.testing.assert_array_equal(
        np.flatnonzero(there), np.sort(network.frame.places(network, own))
    )


def test_its_start_has_the_spread_of_the_smaller_mlps_own() -> None:
    network, own = framed(), plain((3, 2))
    drawn = jax.vmap(
        lambda seed: fewer_outputs.narrowed(network, initial(network, (3, 2), seed), own)
    )
    found = own.spec.unflatten(drawn(jnp.arange(4000)))
    wanted = jax.vmap(own.init)(jax.random.split(jax.random.key(0), 4000))
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(np.std(a), np.std(b), rtol=0.03)
        np.testing.assert_allclose(np.abs(a).max(), np.abs(b).max(), rtol=0.03)


def test_absent_units_may_stand_anywhere() -> None:
    network = framed()
    flat = initial(network, (4, 2, 5))
    orders = permutation.random_orders(network, jax.random.key(3))
    moved = permutation.permute(network, flat, orders)
    mask = sizes.there(network, flat).astype(jnp.float32)
    np.testing.assert_array_equal(
        sizes.there(network, moved), permutation.permute(network, mask, orders) > 0
    )


@pytest.mark.parametrize("name", ["adam", "sgd"])
@pytest.mark.parametrize("hidden", [(4,), (3, 6)])
def test_training_keeps_what_is_absent_and_trains_the_smaller_mlp(
    name: str, hidden: tuple[int, ...]
) -> None:
    network, own = framed(), plain(hidden)
    recipe = Recipe((0, 3, 20), 8, "constant", (name,), True, measured=())
    hyper = Hyperparameters(
        learning_rate=jnp.float32(0.02),
        weight_decay=jnp.float32(0.1),
        init_scale=jnp.float32(1),
        optimizer=jnp.int32(0),
    )
    x = jax.random.normal(jax.random.key(1), (30, network.n_inputs))
    dataset = Examples(x, jnp.arange(30) % K, jnp.ones(30, bool))
    data: Any = _NoTasks()

    def train(of: Network, flat: jax.Array) -> jax.Array:
        found = member.train(
            of,
            recipe,
            optimizer.of_names((name,)),
            data,
            jnp.int32(0),
            jax.random.key(2),
            of.spec.unflatten(flat),
            hyper,
            dataset,
        )
        return found.parameters

    flat = initial(network, hidden)
    with tiny.quick_compilation():
        found = train(network, flat)
        wanted = train(own, fewer_outputs.narrowed(network, flat, own))
    there = np.asarray(sizes.there(network, flat))
    assert not np.asarray(found)[:, ~there].any()
    np.testing.assert_allclose(
        fewer_outputs.narrowed(network, found, own), wanted, rtol=1e-4, atol=1e-5
    )
    assert np.abs(found[-1] - found[0]).max() > 0.01


class _NoTasks(ImageTasks):
    """Tasks of all classes: nothing else is asked of them where a dataset is given."""

    def __init__(self) -> None: ...

    def classes_of(self, task: jax.Array) -> None:
        return None


def test_fewer_outputs_and_fewer_units_together() -> None:
    network, own = framed(), plain((4, 2), n_outputs=3)
    flat = jnp.arange(1.0, own.spec.size + 1)
    wide = fewer_outputs.widened(network, flat, own)
    np.testing.assert_array_equal(fewer_outputs.narrowed(network, wide, own), flat)
    params = network.spec.unflatten(wide)
    assert params["output_1"]["kernel"].shape == (6, K)
    assert np.count_nonzero(params["output_1"]["kernel"]) == 2 * 3
    assert not np.any(params["output_0"]["kernel"]) and not np.any(params["hidden_2"]["kernel"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"widths": (8,)}, r"network.hidden=\(7, 6, 5\) has no room for an MLP of 8 hidden units"),
        ({"depths": (4,)}, "no room for an MLP of 3-3-3-3 hidden units; raise it"),
        ({"unseen": ("7-7",)}, "no room for an MLP of 7-7 hidden units"),
        ({"unseen": ("3",)}, "'3' is trained on, by network.widths"),
        ({"unseen": ("4", "4")}, "names some sizes twice"),
        (
            {"unseen": ("4x4",)},
            "'4x4' names no hidden layers: write the widths of one MLP with '-'",
        ),
        (
            {"unseen": (4,)},
            r"network.unseen: 4 is not a string: write it in quotes, such as \('4',\)",
        ),
        ({"unseen": ("0",)}, "'0' names no hidden layers"),
        ({"widths": ()}, "must name one number of 1 or more at least, each"),
        ({"depths": (0,)}, "must name one number of 1 or more at least, each"),
        ({"widths": (3, 3)}, "must not name a number twice"),
        ({"hidden": (9,) * 17, "widths": (1, 2), "depths": (17,)}, "make 131,072 sizes; at most"),
        ({"hidden": ()}, "must name at least one width"),
        ({"activation": "sine"}, "network.activation='sine' is unknown"),
    ],
)
def test_sizes_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    section = {"name": "mlps", "hidden": (7, 6, 5), "widths": (3,), "depths": (1,), **changes}
    with pytest.raises(UserError, match=message):
        networks.build(section, SHAPE, K)


def test_widths_are_read_from_text() -> None:
    assert mlps.parsed("24-12") == (24, 12)

"""Networks that were predicted are trained further, as those of a zoo were."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mole_jax.core.errors import UserError
from mole_jax.sampling import tuning
from mole_jax.sampling.load import Model, Networks
from mole_jax.sampling.tuning import TuningRecipe
from mole_jax.tasks.classification import cross_entropy
from tests import tiny
from tests.sampling.conftest import CONFIG

Labelled = tuple[np.ndarray, np.ndarray]
KEY = jax.random.key(3)


def test_it_learns_and_says_the_loss(nets: Networks, support: Labelled) -> None:
    x, y = support
    assert nets.recipe == TuningRecipe.of(CONFIG) and nets.recipe.batch_size == 16
    tuned = nets.fine_tune(x, y, 150, key=KEY, learning_rate=0.01)
    assert (tuned.predicted_metric < 0.5 * nets.predicted_metric).all()
    losses = jax.vmap(lambda z: jnp.mean(cross_entropy(z, jnp.asarray(y))))(tuned.apply(x))
    np.testing.assert_allclose(tuned.predicted_metric, losses, rtol=1e-4)
    assert (tuned.mean(x).argmax(-1) == y).mean() > 0.9


def test_a_step_is_optax_adam(nets: Networks, support: Labelled) -> None:
    x, y = support
    tuned = nets.fine_tune(x, y, 2, key=KEY)
    network, recipe = nets.network, nets.recipe
    inputs = np.asarray(nets.inputs.standardised(x), np.float32)
    params = jax.tree.map(lambda a: a[1], nets.params)
    adam = optax.adam(recipe.learning_rate)
    state = adam.init(params)
    for i in range(2):
        rows = jax.random.randint(jax.random.fold_in(KEY, i), (recipe.batch_size,), 0, len(y))

        def loss(p, rows=rows):
            return jnp.mean(cross_entropy(network.apply(p, inputs[rows]), jnp.asarray(y)[rows]))

        updates, state = adam.update(jax.grad(loss)(params), state)
        params = optax.apply_updates(params, updates)
    for a, b in zip(jax.tree.leaves(tuned.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(a[1], b, rtol=1e-3, atol=1e-5)


def test_many_networks_are_as_each_alone_and_pieces_change_nothing(
    nets: Networks, support: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = support
    whole = nets.fine_tune(x, y, 6, key=KEY)
    one = dataclasses.replace(nets, params=jax.tree.map(lambda a: a[:1], nets.params))
    alone = one.fine_tune(x, y, 6, key=KEY)
    monkeypatch.setattr(tuning, "SHOWN", 4)
    pieces = nets.fine_tune(x, y, 6, key=KEY)
    for a, b, c in zip(*(jax.tree.leaves(n.params) for n in (whole, alone, pieces)), strict=True):
        np.testing.assert_allclose(a[:1], b, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(a, c, rtol=1e-4, atol=1e-6)
    assert tiny.equal_trees(nets.fine_tune(x, y, 0, key=KEY).params, nets.params)


def test_what_does_not_fit_is_refused(nets: Networks, model: Model, support: Labelled) -> None:
    x, y = support
    for wrong, message in (
        ({"x": x[:, 1:]}, r"fine_tune: x has the shape \[21, 63\]"),
        ({"y": y[:5]}, r"21 images and labels \[5\] do not fit"),
        ({"y": y + 1}, r"integers in 0\.\.2"),
        ({"y": y + 0.5}, r"integers in 0\.\.2"),
        ({"steps": -1}, "steps"),
        ({"learning_rate": -1}, "learning_rate"),
    ):
        with pytest.raises(UserError, match=message):
            nets.fine_tune(**({"x": x, "y": y, "steps": 2, "key": KEY} | wrong))

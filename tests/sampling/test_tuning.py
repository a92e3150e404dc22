"""Networks that were predicted are trained further, as those of a zoo were."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.sampling import tuning
from mole_jax.sampling.inputs import Inputs
from mole_jax.sampling.load import Networks
from mole_jax.sampling.networks import built
from mole_jax.sampling.tuning import TuningRecipe
from mole_jax.tasks.classification import cross_entropy
from tests import tiny
from tests.sampling.conftest import CONFIG

Labelled = tuple[np.ndarray, np.ndarray]
KEY = jax.random.key(3)


def losses(nets: Networks, x: np.ndarray, y: np.ndarray) -> jax.Array:
    return jax.vmap(lambda z: jnp.mean(cross_entropy(z, jnp.asarray(y))))(nets.apply(x))


def test_it_learns(nets: Networks, support: Labelled) -> None:
    x, y = support
    assert nets.recipe == TuningRecipe.of(CONFIG) and nets.recipe.batch_size == 16
    tuned = nets.fine_tune(x, y, 150, key=KEY, learning_rate=0.01)
    assert (losses(tuned, x, y) < 0.5 * losses(nets, x, y)).all()
    assert (tuned.mean(x).argmax(-1) == y).mean() > 0.9
    assert tuned.predicted_metric is None


@pytest.mark.parametrize("coupled", [False, True])
def test_a_cnn_learns_by_momentum_a_few_images_at_a_time(coupled: bool, support: Labelled) -> None:
    x, y = support
    text = json.dumps(
        {"name": "cnn", "channels": [4], "strides": [1], "bias": True, "norm_groups": 0, "cells": 2}
        | {"input_shape": [8, 8, 1], "outputs": 3}
    )
    network = built(text)
    assert network.microbatch
    params = jax.vmap(network.init)(jax.random.split(KEY, 2))
    recipe = TuningRecipe("sgd", 0.01, 1e-3, 32, coupled)
    nets = Networks(params, None, text, Inputs((8, 8, 1), (0.1,), (-0.5,)), recipe)
    tuned = nets.fine_tune(x, y, 100, key=KEY)
    assert (losses(tuned, x, y) < 0.8 * losses(nets, x, y)).all()


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
    for shaped in (lambda a: a[0], lambda a: a[None]):  # one network, and more axes
        other = dataclasses.replace(nets, params=jax.tree.map(shaped, nets.params))
        found = other.fine_tune(x, y, 6, key=KEY)
        for a, b in zip(jax.tree.leaves(found.params), jax.tree.leaves(whole.params), strict=True):
            np.testing.assert_allclose(a, shaped(b), rtol=1e-3, atol=1e-5)


def test_what_does_not_fit_is_refused(nets: Networks, support: Labelled) -> None:
    x, y = support
    for wrong, message in (
        ({"x": x[:, 1:]}, r"fine_tune: x has the shape \[21, 63\]"),
        ({"y": y[:5]}, r"21 images and labels \[5\] do not fit"),
        ({"y": y + 1}, r"integers in 0\.\.2"),
        ({"x": x[:0], "y": y[:0]}, "x is empty"),
        ({"learning_rate": 1e30}, "would hold NaN or infinity"),
        ({"y": y + 0.5}, r"integers in 0\.\.2"),
        ({"steps": -1}, "steps"),
        ({"learning_rate": -1}, "learning_rate"),
    ):
        with pytest.raises(UserError, match=message):
            nets.fine_tune(**({"x": x, "y": y, "steps": 3, "key": KEY} | wrong))
    with pytest.warns(MoleWarning, match="fine_tune: x: numbers are about 16 times smaller"):
        nets.fine_tune(x / 16, y.astype(object), 1, key=KEY)
    with pytest.raises(UserError, match="traced"):
        jax.jit(lambda nets: nets.fine_tune(x, y, 1, key=KEY))(nets)

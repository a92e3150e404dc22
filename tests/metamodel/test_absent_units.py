"""Of a network of several sizes the start says which units there are; others have no influence."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.learners import answers, denoising
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.representation import permutation
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks.networks import sizes
from mole_jax.training.learner import Episodes
from mole_jax.training.pairs import Pairs
from tests import tiny

BATCH, T = 4, jnp.array([0, 10, 30, 49]) / 49
SETTINGS = {
    "network__name": "mlps",
    "network__hidden": (6, 5),
    "network__widths": (2, 5),
    "network__unseen": ("4", "3-5"),
}


@pytest.fixture(scope="module", params=["diffusion", "regression"])
def setting(request: pytest.FixtureRequest) -> tiny.Setting:
    found = tiny.made_up(request.param, training__regression_steps=1, **SETTINGS)
    zero = found.normaliser._replace(mean=jnp.zeros_like(found.normaliser.mean))
    learner = found.learner.ready(Fitted(zero, {}), found.learner.plan)
    return dataclasses.replace(found, learner=learner, normaliser=zero)


def starts(setting: tiny.Setting, tasks: np.ndarray) -> jax.Array:
    fresh = jax.random.normal(jax.random.key(7), (len(tasks), setting.family.network.spec.size))
    family = setting.family
    return family.device_data.begun(family.network, fresh, jnp.asarray(tasks))


def prompt_of(setting: tiny.Setting, start: jax.Array) -> Prompt:
    prompt = tiny.prompts(setting.family, setting.model, BATCH)
    return prompt._replace(start=setting.model.representation.tokens(start))


def estimate(setting: tiny.Setting, noisy: jax.Array, prompt: Prompt) -> np.ndarray:
    @jax.jit
    def of(noisy: jax.Array, prompt: Prompt) -> jax.Array:
        return setting.model.clean_estimate(setting.params, noisy, T, prompt)

    return np.asarray(of(noisy, prompt))


def test_what_is_absent_is_zero_and_without_influence(setting: tiny.Setting) -> None:
    tasks = setting.family.indices("S4")[[0, 1, 2, 3]]
    assert {setting.family.subsets[i].network for i in tasks} == {"4", "3-5"}
    start, model = starts(setting, tasks), setting.model
    prompt = prompt_of(setting, start)
    noisy = jax.random.normal(jax.random.key(5), (BATCH, *model.shape))
    found = estimate(setting, noisy, prompt)
    there = np.asarray(model.representation.encode(sizes.there(model.network, start) * 1.0)) > 0
    assert not found[~there].any() and np.abs(found[there]).min() > 0
    other = jnp.where(there, noisy, noisy + 3.0)
    np.testing.assert_array_equal(estimate(setting, other, prompt), found)
    # Of what is dropped from a prompt the sizes stay.
    dropped = prompt._replace(use={**prompt.use, "start": jnp.zeros(BATCH, bool)})
    assert not estimate(setting, noisy, dropped)[~there].any()


def test_it_does_not_matter_where_the_units_stand(setting: tiny.Setting) -> None:
    """As without absent ones: of one hidden layer, whose tokens know of no order."""
    model, network = setting.model, setting.family.network
    tasks = setting.family.indices("S4")
    tasks = tasks[[setting.family.subsets[i].network == "4" for i in tasks]]
    start = starts(setting, np.resize(tasks, BATCH))
    noisy = jax.random.normal(jax.random.key(5), (BATCH, network.spec.size))
    orders = permutation.random_orders(network, jax.random.key(3))
    move = functools.partial(permutation.permute, network, orders=orders)
    encode = model.representation.encode

    def of(flat: jax.Array, start: jax.Array) -> np.ndarray:
        found = estimate(setting, encode(flat), prompt_of(setting, start))
        return np.asarray(model.representation.parameters(found))

    plain, moved = of(noisy, start), of(jax.vmap(move)(noisy), jax.vmap(move)(start))
    np.testing.assert_allclose(moved, jax.vmap(move)(jnp.asarray(plain)), rtol=2e-3, atol=2e-3)
    assert np.abs(plain - np.asarray(start)).std() > 0.05


def test_predictions_have_the_sizes_of_their_starts(setting: tiny.Setting) -> None:
    network, tasks = setting.family.network, setting.family.indices("S4")[[0, 1, 2, 3]]
    start = starts(setting, tasks)
    support = tiny.prompts(setting.family, setting.model, BATCH).support
    episodes = Episodes(jnp.asarray(tasks), support, start, jnp.ones(BATCH))
    request = answers.all_of(jnp.full(BATCH, 0.3), best=False)
    found: Any = setting.learner.adapt(setting.params, episodes, request, jax.random.key(1))
    np.testing.assert_array_equal(sizes.there(network, found), sizes.there(network, start))
    assert (np.asarray(found) == 0).sum() == (~np.asarray(sizes.there(network, start))).sum()


def test_the_loss_is_of_what_is_there(setting: tiny.Setting) -> None:
    model, tasks = setting.model, setting.family.indices("train")[:BATCH]
    start = starts(setting, tasks)
    target = jnp.where(start != 0, start + 0.1, 0.0) / setting.normaliser.scale[None]
    prompt = tiny.prompts(setting.family, model, BATCH)
    prompt = prompt._replace(start=start / setting.normaliser.scale[None])
    images = jax.random.normal(jax.random.key(2), (BATCH, 5, model.network.n_inputs))
    pairs = denoising.encoded(model, Pairs(target, prompt, images))
    noise = denoising.draw_noise(model, BATCH, jax.random.key(0), 1.0)
    there = np.asarray(model.representation.encode((start != 0) * 1.0)) > 0

    @jax.jit
    def of(noise: denoising.Noise) -> dict[str, jax.Array]:
        return denoising.loss(model, setting.params, pairs, noise, 1.0)[1]

    found = of(noise)
    moved = of(noise._replace(noise=jnp.where(there, noise.noise, noise.noise + 2.0)))
    for name, value in found.items():
        assert np.isfinite(value) and value > 0
        np.testing.assert_array_equal(value, moved[name], err_msg=name)

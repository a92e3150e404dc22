"""What a task lacks changes nothing of what the meta-model writes for it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.learners import denoising
from mole_jax.metamodel.networks.probing import Probes
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.training import pairs as pairs_lib
from mole_jax.training.pairs import PairConfig
from tests import tiny

BATCH = 6


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up(**tiny.SEVERAL_CLASSES, metamodel__support_probes=1)


@pytest.fixture(scope="module")
def prompt(setting: tiny.Setting) -> Prompt:
    """Prompts of tasks with 2, 3 and 4 classes, a few without their support sets."""
    found = tiny.prompts(setting.family, setting.model, BATCH)
    sizes = setting.family.classes_of_tasks[:BATCH]
    assert found.support.n_classes is not None and {2, 3} <= set(sizes.tolist())
    np.testing.assert_array_equal(found.support.n_classes, sizes)
    shown = jnp.arange(BATCH) % 3 > 0
    return found._replace(use={**found.use, "support": shown})


def estimate(setting: tiny.Setting, params: Any, noisy: jax.Array, prompt: Prompt) -> np.ndarray:
    times = jnp.linspace(0.2, 0.9, BATCH)
    return np.asarray(jax.jit(setting.model.clean_estimate)(params, noisy, times, prompt))


def test_neither_its_weights_nor_its_examples_are_looked_at(
    setting: tiny.Setting, prompt: Prompt
) -> None:
    model = setting.model
    noisy = jax.random.normal(jax.random.key(0), (BATCH, *model.shape))
    found = estimate(setting, setting.params, noisy, prompt)
    there = np.broadcast_to(model.mask(prompt), found.shape)
    assert not found[~there].any() and (found[there] != 0).all()
    strange = jnp.where(there, 0.0, 5.0)
    support = prompt.support
    hidden = jnp.where(support.mask[..., None], support.inputs, 9.0)
    other = prompt._replace(start=prompt.start + strange, support=support._replace(inputs=hidden))
    np.testing.assert_array_equal(found, estimate(setting, setting.params, noisy + strange, other))


def test_tokens_of_absent_classes_are_not_attended_to(
    setting: tiny.Setting, prompt: Prompt
) -> None:
    """What is learned of the third and fourth label changes nothing for tasks of two classes."""
    noisy = jax.random.normal(jax.random.key(0), (BATCH, *setting.model.shape))
    found = estimate(setting, setting.params, noisy, prompt)
    params = jax.tree.map(lambda x: x, setting.params)
    params["support"]["label"] = params["support"]["label"].at[2:].add(3.0)
    params["no_support"] = params["no_support"].at[2:4].add(3.0)
    changed = estimate(setting, params, noisy, prompt)
    pairs = np.asarray(prompt.support.n_classes) == 2
    np.testing.assert_allclose(changed[pairs], found[pairs], rtol=1e-5, atol=1e-6)
    assert (np.abs(changed[~pairs] - found[~pairs]).max(axis=(1, 2)) > 1e-3).all()


def test_probe_gradients_depend_on_classes_that_are_there(
    setting: tiny.Setting, prompt: Prompt
) -> None:
    model, sizes = setting.model, prompt.support.n_classes
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(BATCH, 8, 64)), jnp.float32)
    labels = jnp.broadcast_to(jnp.repeat(jnp.arange(4), 2), (BATCH, 8))
    weights = (labels < sizes[:, None]).astype(jnp.float32)
    of = model.denoising(prompt.start, jnp.full((BATCH,), 0.5), prompt)
    output = jnp.asarray(rng.normal(size=(BATCH, *model.shape)), jnp.float32)
    gradient = jax.jit(model.probe_gradient)
    found = gradient(output, of, Probes(inputs, labels, weights, sizes))
    there = np.broadcast_to(model.mask(prompt), output.shape)
    for part in found:
        assert not np.asarray(part)[~there].any()
    other = jnp.where(weights[..., None] > 0, inputs, 7.0)
    moved = gradient(jnp.where(there, output, 4.0), of, Probes(other, labels, weights, sizes))
    for a, b in zip(found, moved, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_loss_is_of_what_is_there(setting: tiny.Setting) -> None:
    model, rules = setting.model, PairConfig.of(setting.config)
    draw = jax.jit(
        lambda key: pairs_lib.draw(
            rules, model.network, setting.zoo, setting.family.device_data, setting.normaliser,
            key, BATCH,
        )
    )  # fmt: skip
    pairs = draw(jax.random.key(0))
    sizes = np.asarray(pairs.prompt.support.n_classes)
    assert (sizes < 4).any()
    labels = np.asarray(pairs.prompt.support.labels)
    mask = np.asarray(pairs.prompt.support.mask)
    assert all(row[m].max() == k - 1 for row, m, k in zip(labels, mask, sizes, strict=True))

    @jax.jit
    def loss(pairs: Any) -> Any:
        pairs = denoising.encoded(model, pairs)
        noise = denoising.draw_noise(model, BATCH, jax.random.key(1), 0.5)
        return denoising.loss(model, setting.params, pairs, noise, 5.0)[1]

    absent = model.network.output_of[None] >= sizes[:, None]
    start = jnp.where(absent, 3.0, pairs.prompt.start)
    other = pairs._replace(
        target=jnp.where(absent, -2.0, pairs.target), prompt=pairs.prompt._replace(start=start)
    )
    found, moved = loss(pairs), loss(other)
    assert set(found) == {"weights", "function", "loss"}
    for name in found:
        np.testing.assert_array_equal(found[name], moved[name], err_msg=name)

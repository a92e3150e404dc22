"""Probes push a network towards lower loss on them, and in the order of its hidden units."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.learners import registry
from mole_jax.metamodel.networks.probing import Denoising, Probes
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.tokens import ProbeGradient
from mole_jax.tasks.classification import cross_entropy
from tests import tiny

BATCH = 4


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up()


@pytest.fixture(scope="module")
def denoising(setting: tiny.Setting) -> Denoising:
    model = setting.model
    prompt = tiny.prompts(setting.family, model, BATCH)
    return model.denoising(prompt.start, jnp.full((BATCH,), 30 / 49), prompt)


@pytest.fixture(scope="module")
def probes(setting: tiny.Setting) -> Probes:
    rng = np.random.default_rng(0)
    inputs = jnp.asarray(rng.normal(size=(BATCH, 6, 64)), jnp.float32)
    return Probes(inputs, jnp.asarray(rng.integers(0, 3, (BATCH, 6)), jnp.int32))


def probe_gradient(
    setting: tiny.Setting, output: jax.Array, denoising: Denoising, probes: Probes
) -> ProbeGradient:
    return jax.jit(setting.model.probe_gradient)(output, denoising, probes)


def loss(
    setting: tiny.Setting, output: jax.Array, denoising: Denoising, probes: Probes
) -> np.ndarray:
    """Loss on the probes of the networks that an output stands for: [B]."""
    model = setting.model
    tokens = model.process.clean_estimate(
        output, denoising.noisy, denoising.start, denoising.t, denoising.scale
    )
    network = model.network
    params = network.spec.unflatten(model.representation.parameters(tokens))
    logits = jax.vmap(network.apply)(params, probes.inputs)
    return np.asarray(cross_entropy(logits, probes.targets).mean(axis=1))


@pytest.mark.parametrize("name", ProbeGradient._fields)
def test_a_small_step_lowers_the_loss(
    setting: tiny.Setting, denoising: Denoising, probes: Probes, name: str
) -> None:
    output = jnp.zeros(denoising.noisy.shape)
    step = getattr(probe_gradient(setting, output, denoising, probes), name)
    before, after = (loss(setting, output + size * step, denoising, probes) for size in (0.0, 0.01))
    assert np.all(after < before)
    assert not np.asarray(step)[:, ~setting.model.representation.layout.mask].any()


def test_it_permutes_as_the_network_does(
    setting: tiny.Setting, denoising: Denoising, probes: Probes
) -> None:
    output = jax.random.normal(jax.random.key(0), denoising.noisy.shape)
    order = np.append(np.random.default_rng(1).permutation(6), 6)  # the output biases stay
    per_token = {
        name: getattr(denoising, name)[:, order] for name in ("noisy", "start", "anchor", "scale")
    }
    plain = probe_gradient(setting, output, denoising, probes)
    permuted = probe_gradient(setting, output[:, order], denoising._replace(**per_token), probes)
    for name in ProbeGradient._fields:
        np.testing.assert_allclose(
            getattr(permuted, name), getattr(plain, name)[:, order], rtol=1e-4, atol=1e-5
        )


def test_it_stays_bounded_where_the_loss_has_no_slope(
    setting: tiny.Setting, denoising: Denoising, probes: Probes
) -> None:
    """Two networks that answer with certainty: the gradient underflows, and so must the steps."""
    sure = denoising._replace(anchor=denoising.anchor * 1e3, noisy=denoising.noisy * 1e3)
    labels = _answers(setting, sure, probes)
    for part in probe_gradient(
        setting, jnp.zeros(sure.noisy.shape), sure, probes._replace(targets=labels)
    ):
        assert np.isfinite(part).all()
        assert float(jnp.abs(part).max()) < 1.0


def _answers(setting: tiny.Setting, denoising: Denoising, probes: Probes) -> jax.Array:
    model, zeros = setting.model, jnp.zeros(denoising.noisy.shape)
    tokens = model.process.clean_estimate(
        zeros, denoising.noisy, denoising.anchor, denoising.t, denoising.scale
    )
    params = model.network.spec.unflatten(model.representation.parameters(tokens))
    return jnp.argmax(jax.vmap(model.network.apply)(params, probes.inputs), axis=-1)


def test_inner_steps_need_probes(setting: tiny.Setting) -> None:
    config = tiny.tiny_config(metamodel__probes=0, metamodel__inner_steps=2)
    with pytest.raises(UserError, match=r"metamodel\.probes=0"):
        registry.build(config, setting.model.network, "diffusion", Fitted(setting.normaliser, {}))

"""The training loss: zero where the estimate is right, whatever the order of hidden units."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.learners import denoising
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.process import noising
from mole_jax.representation import permutation
from mole_jax.training import pairs
from mole_jax.training.pairs import PairConfig, Pairs
from tests import tiny

BATCH = 8


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up(diffusion__prediction="x0")


@pytest.fixture(scope="module")
def batch(setting: tiny.Setting) -> Pairs:
    model, data = setting.model, setting.family.device_data
    draw = jax.jit(
        lambda key: pairs.draw(
            PairConfig.of(setting.config),
            model.network,
            setting.zoo,
            data,
            setting.normaliser,
            key,
            BATCH,
        )
    )
    return denoising.encoded(model, draw(jax.random.key(0)))


def answering(model: MetaModel, estimate: Callable[..., jax.Array]) -> MetaModel:
    """The model with another function for its clean estimate."""
    copy = dataclasses.replace(model)
    object.__setattr__(copy, "clean_estimate", estimate)
    return copy


def loss(
    setting: tiny.Setting, model: MetaModel, batch: Pairs, seed: int = 0, weight: float = 5.0
) -> dict[str, float]:
    def evaluate(key: jax.Array) -> dict[str, jax.Array]:
        noise = denoising.draw_noise(model, BATCH, key, 0.5)
        return denoising.loss(model, setting.params, batch, noise, weight)[1]

    found = jax.jit(evaluate)(jax.random.key(seed))
    return {name: float(value) for name, value in found.items()}


def test_a_perfect_estimate_costs_nothing(setting: tiny.Setting, batch: Pairs) -> None:
    clean = setting.model.representation.encode(batch.target)
    parts = loss(setting, answering(setting.model, lambda *_: clean), batch)
    assert set(parts) == {"loss", "weights", "function"}
    for name, value in parts.items():
        assert abs(value) < 1e-6, name


def test_the_weights_term_is_a_mean_over_parameters(setting: tiny.Setting, batch: Pairs) -> None:
    codec = setting.model.representation.codec
    off = (codec.encode(batch.target) + 0.1) * codec.mask[None]
    parts = loss(setting, answering(setting.model, lambda *_: off), batch, weight=0.0)
    assert parts["weights"] == pytest.approx(0.01, rel=1e-3)
    assert parts["loss"] == parts["weights"]


def test_the_function_term_sees_functions_only(setting: tiny.Setting, batch: Pairs) -> None:
    """The target with its hidden units in another order is as good as the target itself."""
    model = setting.model
    order = [np.random.default_rng(0).permutation(model.network.sizes["hidden_0"])]
    permuted = jax.vmap(lambda flat: permutation.permute(model.network, flat, order))(batch.target)
    estimate = model.representation.encode(permuted)
    divergence = jax.jit(lambda estimate: denoising.function_divergence(model, estimate, batch))
    assert float(jnp.abs(estimate - model.representation.encode(batch.target)).max()) > 0.1
    np.testing.assert_allclose(divergence(estimate), 0, atol=1e-5)
    others = divergence(jnp.roll(estimate, 1, axis=0))
    assert others.shape == (BATCH,)
    assert float(others.min()) > 1e-4


def test_the_total_is_the_weighted_sum(setting: tiny.Setting, batch: Pairs) -> None:
    parts = loss(setting, setting.model, batch)
    assert setting.model.process.prediction == "x0"
    assert parts["loss"] == pytest.approx(parts["weights"] + 5 * parts["function"], rel=1e-4)
    assert parts["loss"] != loss(setting, setting.model, batch, seed=1)["loss"]


def test_regression_knows_no_noise_and_no_time(setting: tiny.Setting, batch: Pairs) -> None:
    model = dataclasses.replace(setting.model, noiseless=True)
    parts = [loss(setting, model, batch, seed) for seed in (0, 1)]
    assert parts[0] == parts[1]


def test_the_weights_term_is_in_units_of_the_output(setting: tiny.Setting, batch: Pairs) -> None:
    """So that tensors that move little, and times of little noise, count as much as others."""
    codec, process = setting.model.representation.codec, noising.build("linear", 50, "edm")
    model = dataclasses.replace(setting.model, process=process)

    def off(params: Any, noisy: jax.Array, t: jax.Array, prompt: Any) -> Any:
        weight = model.loss_weight(t, prompt)
        return (
            codec.encode(batch.target) + 0.1 / jnp.sqrt(jnp.maximum(weight, 1e-9))
        ) * codec.mask[None]

    parts = loss(setting, answering(model, off), batch, weight=0.0)
    assert parts["loss"] == pytest.approx(0.01, rel=1e-2)
    assert parts["weights"] < parts["loss"]

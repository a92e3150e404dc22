"""What users call inside and outside of `jax.jit`, with arrays of either library, is one function.

`self.variant` stands for each way in turn: compiled, operation by operation, on arrays that are
on a device, and on NumPy's.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from mole_jax import representation
from mole_jax.learners import denoising, guidance
from mole_jax.learners.denoising import Noise
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks import networks
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.networks import Network
from mole_jax.training.pairs import Pairs
from tests import tiny

both_ways = chex.variants(with_jit=True, without_jit=True)
every_way = chex.variants(with_jit=True, with_device=True, without_device=True)
NETWORKS = {
    "mlp": ({"name": "mlp", "hidden": (6, 4), "activation": "gelu"}, (7,)),
    "cnn": (
        {"name": "cnn", "channels": (4,), "strides": (2,), "bias": True, "norm_groups": 2},
        (4, 4, 2),
    ),
    "gaussian_policy": (
        {"name": "gaussian_policy", "hidden": (5,), "activation": "tanh"},
        (4,),
    ),
}
BATCH = 3


@functools.cache
def build(name: str) -> Network:
    config, shape = NETWORKS[name]
    return networks.build(config, shape, 3)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@functools.cache
def setting() -> tiny.Setting:
    return tiny.made_up()


@functools.cache
def prompt() -> Prompt:
    return tiny.prompts(setting().family, setting().model, BATCH)


def answering(answer: Any) -> MetaModel:
    """A meta-model that always gives the same estimate."""
    model = dataclasses.replace(setting().model)
    object.__setattr__(model, "clean_estimate", lambda *_: jnp.asarray(answer))
    return model


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


class TestWithAndWithoutJit(chex.TestCase):
    @both_ways
    @parameterized.named_parameters(*((name, name) for name in NETWORKS))
    def test_a_network_answers_each_example_by_itself(self, name: str) -> None:
        network = build(name)
        flat, x = normal(network.spec.size), normal(BATCH, network.n_inputs, seed=1)

        def apply(flat: jax.Array, x: jax.Array) -> jax.Array:
            return network.apply(network.spec.unflatten(flat), x)

        one = jax.jit(apply)
        expected = np.concatenate([one(flat, x[i : i + 1]) for i in range(BATCH)])
        chex.assert_trees_all_close(self.variant(apply)(flat, x), expected, rtol=1e-5, atol=1e-5)

    @every_way
    @parameterized.named_parameters(*((name, name) for name in representation.CODECS))
    def test_a_codec_gathers_and_averages(self, name: str) -> None:
        codec = representation.codec(name, build("mlp"), chunk_size=5)
        flat = normal(2, codec.size)
        tokens = np.where(codec.mask, flat[:, codec.table], 0)
        chex.assert_trees_all_equal(self.variant(codec.encode)(flat), tokens)
        chex.assert_trees_all_equal(self.variant(codec.decode)(tokens), flat)

    @every_way
    def test_a_normaliser_is_an_affine_map(self) -> None:
        mean, scale, flat = normal(5), np.exp(normal(5, seed=1)), normal(2, 5, seed=2)
        given = Normaliser(mean, scale, scale)
        there, back = self.variant(Normaliser.normalise), self.variant(Normaliser.denormalise)
        expected = (flat - mean[None]) / scale[None]
        chex.assert_trees_all_close(there(given, flat), expected, rtol=1e-6)
        chex.assert_trees_all_close(back(given, expected), flat, rtol=1e-5, atol=1e-6)

    @both_ways
    def test_the_loss_of_a_classifier_is_a_mean_over_what_is_no_padding(self) -> None:
        logits, labels = normal(2, 6, 3), np.array([0, 1, 2, 0, 1, 2], np.int32)
        mask = np.array([1, 1, 0, 1, 0, 1], bool)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        loss = -logs[:, np.arange(6), labels][:, mask].mean(-1)
        accuracy = (logits.argmax(-1) == labels[None])[:, mask].mean(-1)
        found = self.variant(loss_and_accuracy)(logits, labels, mask)
        chex.assert_trees_all_close(found, (loss, accuracy.astype(np.float32)), rtol=1e-5)

    @both_ways
    def test_the_loss_of_the_meta_model_is_the_mean_squared_error_of_its_estimate(self) -> None:
        model, size = setting().model, setting().family.network.spec.size
        pairs = Pairs(normal(BATCH, size), prompt(), normal(BATCH, 4, model.network.n_inputs))
        noise = Noise(np.array([0, 0.2, 1], np.float32), normal(BATCH, *model.shape))
        clean = np.asarray(model.representation.encode(pairs.target))

        def loss(off: jax.Array, pairs: Pairs, noise: Noise) -> Any:
            estimate = (clean + off) * model.representation.layout.mask[None]
            given = answering(estimate)
            return denoising.loss(given, {}, pairs, noise, 1.0)[1]

        parts = self.variant(loss)(np.float32(0.1), pairs, noise)
        np.testing.assert_allclose(parts["weights"], 0.01, rtol=1e-3)
        assert parts["function"] > 1e-6
        exact = self.variant(loss)(np.float32(0), pairs, noise)
        chex.assert_trees_all_close(exact, dict.fromkeys(exact, 0.0), atol=1e-6)

    @both_ways
    @parameterized.named_parameters(("ddim", "ddim"), ("heun", "heun"))
    def test_a_sampler_ends_where_the_model_says(self, name: str) -> None:
        answer = np.asarray(prompt().start) * 2 + 1
        model = answering(answer)

        def sample(prompt: Prompt, seed: jax.Array) -> jax.Array:
            key, plan = jax.random.key(seed), Plan(name, steps=3)
            return guidance.sample(model, plan, {}, prompt, key)

        found = self.variant(sample)(prompt(), np.uint32(0))
        chex.assert_trees_all_close(found, answer, rtol=1e-4, atol=1e-4)

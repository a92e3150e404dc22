"""The last layer of class means: distances, gradients, padding, classes that are missing."""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.devices import flops
from mole_jax.learners import answers, query_loss
from mole_jax.learners.ancestors import prototypes
from mole_jax.learners.ancestors.descent import DescentConfig
from mole_jax.learners.ancestors.prototypes import PrototypesConfig
from mole_jax.tasks import networks
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Episodes

KEY = jax.random.key(1)
STEPS = DescentConfig(inner_steps=2, inner_rate=0.03, try_steps=(1, 3), try_rates=(1.0,))
KINDS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "mlp": ({"hidden": (5, 4)}, (3, 2, 1)),
    "cnn": ({"channels": (4,), "strides": (2,)}, (4, 4, 1)),
    "vit": ({"width": 8, "mlp": 8, "layers": 1, "patch": 2}, (4, 4, 1)),
}


def network_of(name: str) -> Network:
    changes, shape = KINDS[name]
    return networks.build({"name": name, **changes}, shape, 3)


def support_of(network: Network, n: int = 12, seed: int = 0) -> Examples:
    rng = np.random.default_rng(seed)
    inputs = jnp.asarray(rng.normal(size=(n, network.n_inputs)), "float32")
    return Examples(inputs, jnp.arange(n) % 3, jnp.ones(n, bool))


def start_of(network: Network) -> jax.Array:
    flat = network.spec.flatten(network.init(KEY))
    return flat + 0.1 * jax.random.normal(KEY, flat.shape)  # biases, too


def features(network: Network, flat: jax.Array, inputs: jax.Array) -> jax.Array:
    return prototypes.features(network, prototypes.last_layer(network, "this"), flat, inputs)


def logits(network: Network, flat: jax.Array, inputs: jax.Array) -> jax.Array:
    return network.apply(network.spec.unflatten(flat), inputs)


@pytest.mark.parametrize("name", KINDS)
def test_logits_are_distances_to_the_means_of_classes(name: str) -> None:
    network = network_of(name)
    flat, support = start_of(network), support_of(network)
    others = support_of(network, seed=1).inputs
    inside = jax.jit(lambda x: features(network, flat, x))
    means = jnp.stack([inside(support.inputs)[support.labels == k].mean(0) for k in range(3)])
    distances = jnp.sum(jnp.square(inside(others)[:, None] - means[None]), axis=-1)
    expected = -distances + jnp.sum(jnp.square(inside(others)), axis=1, keepdims=True)
    written = jax.jit(lambda x: prototypes.written(network, x, support))(flat)
    chex.assert_trees_all_close(
        jax.jit(lambda x: logits(network, x, others))(written), expected, atol=1e-4, rtol=1e-4
    )
    hidden = network.output_of < 0
    chex.assert_trees_all_equal(written[hidden], flat[hidden])
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


@pytest.mark.parametrize("name", KINDS)
def test_an_embedding_costs_a_few_passes_however_many_features_there_are(name: str) -> None:
    """A derivative along each weight of the last layer took as many passes as it has weights."""
    network = network_of(name)
    flat, inputs = start_of(network), support_of(network).inputs
    one = flops.count(lambda x: logits(network, x, inputs), flat)
    assert flops.count(lambda x: features(network, x, inputs), flat) < 4 * one


def test_the_embedding_does_not_depend_on_the_last_layer() -> None:
    network = network_of("mlp")
    flat, inputs = start_of(network), support_of(network).inputs
    other = jnp.where(network.output_of < 0, flat, 7.0)
    one, two = (features(network, x, inputs) for x in (flat, other))
    chex.assert_trees_all_close(one, two, atol=1e-6)
    grads = jax.grad(lambda x: prototypes.written(network, x, support_of(network)).sum())(flat)
    assert np.abs(grads[network.output_of < 0]).max() > 0


@pytest.mark.parametrize("name", prototypes.LABELS)
def test_padding_changes_nothing_and_missing_classes_are_finite(name: str) -> None:
    network = network_of("mlp")
    config = STEPS if name == prototypes.STEPPING else PrototypesConfig()
    learner = prototypes.build(config, network, name)
    support = support_of(network)
    few = support._replace(mask=jnp.arange(12) % 3 < 2)  # none of the third class
    moved = few._replace(inputs=jnp.where(few.mask[:, None], few.inputs, 9.0))
    given = [jax.tree.map(lambda x: x[None], x) for x in (support, few, moved)]
    request = answers.all_of(jnp.zeros(1))
    of = [
        answers.adapt(
            learner,
            {"start": start_of(network)},
            Episodes(jnp.zeros(1, int), x, jnp.zeros((1, network.spec.size)), jnp.zeros(1)),
            request,
            KEY,
        )
        for x in given
    ]
    chex.assert_tree_all_finite(of)
    answers_of_few = logits(network, of[1][0], support.inputs).argmax(-1)
    assert set(np.asarray(answers_of_few).tolist()) <= {0, 1}, "nobody has seen the third class"
    chex.assert_trees_all_close(of[1], of[2], atol=1e-6)
    assert np.abs(of[0] - of[1]).max() > 1e-3


def test_gradients_go_through_the_means_and_the_steps() -> None:
    network = network_of("mlp")
    support, query = support_of(network), support_of(network, seed=1)
    given = Episodes(
        jnp.zeros(1, int),
        *(jax.tree.map(lambda x: x[None], x) for x in (support, start_of(network))),
        jnp.zeros(1),
        jax.tree.map(lambda x: x[None], query),
    )

    def by_hand(flat: jax.Array, steps: int) -> jax.Array:
        flat = prototypes.written(network, flat, support)
        for _ in range(steps):
            slope = jax.grad(lambda x: query_loss.of_one(network, x, support)[0])(flat)
            flat = flat - STEPS.inner_rate * slope
        return query_loss.of_one(network, flat, query)[0]

    theta = {"start": start_of(network)}
    for name, config, steps in (
        (prototypes.ALONE, PrototypesConfig(), 0),
        (prototypes.STEPPING, STEPS, 2),
    ):
        learner = prototypes.build(config, network, name)
        grads, metrics = jax.jit(learner.gradient)(theta, given, KEY)
        value, expected = jax.value_and_grad(lambda x, n=steps: by_hand(x, n))(theta["start"])
        chex.assert_trees_all_close(grads["start"], expected, atol=1e-4)
        assert float(metrics["loss"]) == pytest.approx(float(value), rel=1e-4)


def test_only_proto_maml_has_something_to_choose() -> None:
    network = network_of("mlp")
    assert prototypes.build(PrototypesConfig(), network, prototypes.ALONE).choices() == ()
    found = prototypes.build(STEPS, network, prototypes.STEPPING).choices()
    assert [x.setting for x in found] == [{"steps": n, "rate": 1.0} for n in (1, 3)]

"""Predicted networks are functions, a pytree, and can be stored."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.sampling.inputs import Inputs
from mole_jax.sampling.load import Model, Networks
from mole_jax.sampling.networks import built
from mole_jax.tasks import family as families
from mole_jax.tasks import networks
from mole_jax.tasks.classification import loss_and_accuracy
from tests import tiny
from tests.sampling.conftest import CONFIG, predict

Labelled = tuple[np.ndarray, np.ndarray]


def test_networks_come_as_the_parameters_and_as_functions(
    model: Model, nets: Networks, support: Labelled
) -> None:
    x, y = support
    network, family = model.learner.network, families.build(CONFIG)
    assert nets.network is network and (network.n_inputs, network.n_outputs) == (64, 3)
    assert nets.description == model.description
    assert networks.from_json(nets.description).spec == network.spec
    assert nets.params["hidden_0"]["kernel"].shape == (2, 64, 6)
    assert nets.params["output"]["bias"].shape == (2, 3)
    logits = nets.apply(x)
    assert logits.shape == (2, 21, 3)
    inputs = jnp.asarray(x * family.scale + family.shift, jnp.float32)
    for i in range(2):
        one = jax.tree.map(lambda p, i=i: p[i], nets.params)
        np.testing.assert_allclose(logits[i], network.apply(one, inputs), rtol=1e-3, atol=1e-3)
    loss, _ = loss_and_accuracy(logits, jnp.asarray(y), jnp.ones(21, bool))
    np.testing.assert_allclose(nets.predicted_metric, loss, rtol=1e-4)
    for same in (x.reshape(-1, 8, 8), x.reshape(-1, 8, 8, 1), x.tolist(), jnp.asarray(x)):
        np.testing.assert_array_equal(nets.apply(same), logits)


def test_together_networks_have_a_mean_a_spread_and_a_confidence(
    nets: Networks, support: Labelled
) -> None:
    x, _ = support
    shares = np.asarray(jax.nn.softmax(nets.apply(x)))
    np.testing.assert_allclose(nets.probabilities(x), shares, rtol=1e-6)
    np.testing.assert_allclose(nets.mean(x), shares.mean(0), rtol=1e-5)
    np.testing.assert_allclose(nets.spread(x), shares.std(0), rtol=1e-4, atol=1e-6)
    assert nets.spread(x).max() > 0
    np.testing.assert_allclose(nets.confidence(x), shares.mean(0).max(-1), rtol=1e-5)
    np.testing.assert_allclose(jax.jit(Networks.confidence)(nets, x), nets.confidence(x), rtol=1e-5)
    one = dataclasses.replace(nets, params=jax.tree.map(lambda a: a[:1], nets.params))
    assert not one.spread(x).any()
    single = dataclasses.replace(nets, params=jax.tree.map(lambda a: a[0], nets.params))
    np.testing.assert_allclose(single.mean(x), shares[0], rtol=1e-5)
    assert single.spread(x).shape == (21, 3) and single.confidence(x).shape == (21,)
    alone = jax.vmap(lambda nets: nets.mean(x))(nets)
    np.testing.assert_allclose(alone, shares, rtol=1e-5)
    pairs = dataclasses.replace(
        nets, params=jax.tree.map(lambda a: jnp.stack([a, a[::-1]]), nets.params)
    )
    np.testing.assert_allclose(pairs.mean(x), np.stack([shares.mean(0)] * 2), rtol=1e-5)


def test_no_examples_give_no_outputs(nets: Networks, support: Labelled) -> None:
    x, _ = support
    for none in (x[:0], jnp.asarray(x[:0]), x[:0].reshape(0, 8, 8), []):
        assert nets.apply(none).shape == (2, 0, 3)
    # A CNN cannot reshape no images by itself.
    described = {"name": "cnn", "channels": [2], "strides": [1], "bias": True, "norm_groups": 0}
    text = json.dumps(described | {"input_shape": [4, 4, 3], "outputs": 2})
    spec = built(text).spec
    params = spec.unflatten(np.zeros((3, spec.size), np.float32))
    convolving = Networks(params, None, text, Inputs((4, 4, 3), (1.0,), (0.0,)))
    assert convolving.apply(np.zeros((0, 4, 4, 3))).shape == (3, 0, 2)
    assert convolving.apply(np.zeros((5, 4, 4, 3))).shape == (3, 5, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0], r"shape \[64\]; expected \[m, 64\] .*for a single one give x\[None\]"),
        (lambda x: x[0].reshape(8, 8), r"for a single one give x\[None\]"),
        (lambda x: x.reshape(-1, 1, 8, 8), "channels come last"),
        (lambda x: x.reshape(-1, 4, 16), "expected"),
        (lambda x: x * np.nan, "NaN"),
        (lambda x: jnp.asarray(x) * jnp.inf, "NaN, infinity"),
        (lambda x: x.astype(str), "must be real numbers"),
        (lambda x: x + 1j, "must be real numbers"),
        (lambda _: None, "must be real numbers"),
    ],
)
def test_inputs_that_do_not_fit(
    nets: Networks, support: Labelled, change: Any, message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        nets.apply(change(support[0]))
    assert "\n" not in str(refused.value)


def test_torch_tensors_are_taken(nets: Networks, support: Labelled) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is a development requirement")
    x = torch.tensor(support[0])  # whole numbers, which bfloat16 holds
    for given in (x, x.bfloat16(), x.clone().requires_grad_(), x.int()):
        np.testing.assert_array_equal(nets.apply(given), nets.apply(support[0]))
    for wrong in (x.to_sparse(), x.to("meta")):
        with pytest.raises(UserError, match="x cannot be read as an array") as refused:
            nets.apply(wrong)
        assert "\n" not in str(refused.value)


def test_another_scale_is_said_where_it_was_given(nets: Networks, support: Labelled) -> None:
    with pytest.warns(mole_jax.MoleWarning, match="16 times smaller.*multiply") as caught:
        nets.apply(support[0] / 16)
    assert caught[0].filename == __file__


def test_it_can_be_transformed(nets: Networks, support: Labelled) -> None:
    x = jnp.asarray(support[0], jnp.float32)
    wanted = nets.apply(x)
    np.testing.assert_allclose(jax.jit(nets.apply)(x), wanted, rtol=1e-4, atol=1e-5)
    each = jax.vmap(nets.apply)(x[:, None])
    np.testing.assert_allclose(each[:, :, 0].swapaxes(0, 1), wanted, rtol=1e-4, atol=1e-5)
    assert np.isfinite(jax.grad(lambda x: nets.apply(x).sum())(x)).all()
    # Networks are a pytree: an argument like any other.
    of_nets = jax.jit(lambda nets: nets.apply(x))
    np.testing.assert_allclose(of_nets(nets), wanted, rtol=1e-4, atol=1e-5)
    grown = jax.tree.map(lambda p: 2 * p, nets)
    assert not np.allclose(of_nets(grown), wanted)
    assert of_nets._cache_size() == 1
    alone = jax.vmap(lambda nets: nets.apply(x))(nets)
    np.testing.assert_allclose(alone, wanted, rtol=1e-4, atol=1e-5)
    assert jax.jit(lambda nets: repr(nets) and 0)(nets) == 0


def test_nobody_looks_at_numbers_while_tracing(nets: Networks, support: Labelled) -> None:
    for x in (jnp.asarray(support[0] / 16), jnp.asarray(support[0]) * jnp.nan):
        jax.jit(nets.apply)(x)
        jax.jit(lambda x=x: nets.apply(x))()
        jax.vmap(nets.apply)(x[:, None])
        jax.grad(lambda x: nets.apply(x).sum())(x)
        jax.eval_shape(nets.apply, x)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_compute_the_same(nets: Networks, support: Labelled, copied: Any) -> None:
    x, _ = support
    other = copied(nets)
    np.testing.assert_array_equal(other.apply(x), nets.apply(x))
    assert tiny.equal_trees(other, nets)  # the same tree, too, so that jit compiles once
    assert other.network is nets.network


def test_what_is_shown_is_short(nets: Networks) -> None:
    for change in (lambda a: a[:0], lambda a: None, jnp.shape, lambda a: a[0], np.asarray):
        assert repr(jax.tree.map(change, nets)).startswith("<Networks: ")
    assert repr(jax.eval_shape(lambda n: n, nets)).startswith("<Networks: 2 of mlp")
    assert repr(nets).startswith("<Networks: 2 of mlp [8, 8, 1] -> 3, D = 411, predicted_metric ")
    assert len(repr(nets).splitlines()) <= 5 and len(repr(nets)) < 500


def test_networks_of_several_keys_are_applied_too(
    model: Model, support: tuple[np.ndarray, np.ndarray]
) -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    every = jax.vmap(lambda key: predict(model, support, n=2, key=key))(keys)
    x, _ = support
    found = every.apply(x)
    assert found.shape == (3, 2, len(x), 3)
    one = jax.tree.map(lambda leaf: leaf[1], every)
    np.testing.assert_allclose(found[1], one.apply(x), rtol=1e-4, atol=1e-5)

"""Predicting: everything asked for matters, and what cannot be is refused in one line."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import warnings
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.sampling import model as models
from mole_jax.sampling import writing
from mole_jax.sampling.load import Model, Networks
from tests import tiny
from tests.sampling.conftest import predict, untrained

Labelled = tuple[np.ndarray, np.ndarray]
KEY = jax.random.key(0)

pytestmark = untrained


def test_the_key_decides_and_everything_asked_for_matters(
    model: Model, nets: Networks, support: Labelled
) -> None:
    assert tiny.equal_trees(predict(model, support).params, nets.params)
    kernels = nets.params["output"]["kernel"]
    assert float(jnp.abs(kernels[0] - kernels[1]).max()) > 1e-3
    x, y = support
    for changed in (
        predict(model, support, key=jax.random.key(1)),
        predict(model, support, target_loss=1.0),
        predict(model, (x[::-1] + 1, y)),
        predict(model, (x, (y + 1) % 3)),
        predict(model, support, rounds=2),
        predict(model, support, start_loss=0.01),
    ):
        assert not np.allclose(changed.params["output"]["kernel"], kernels)


def test_a_support_set_of_any_size_in_any_order(
    model: Model, nets: Networks, support: Labelled
) -> None:
    x, y = support
    order = np.random.default_rng(0).permutation(len(y))
    other = predict(model, (x[order].tolist(), y[order].tolist()))
    for p, q in zip(jax.tree.leaves(nets.params), jax.tree.leaves(other.params), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-2, atol=1e-3)
    with pytest.warns(mole_jax.MoleWarning, match="it has class 0 only"):
        one = predict(model, (x[:1], y[:1]))
    assert all(np.isfinite(p).all() for p in jax.tree.leaves(one.params))


def test_support_sets_of_about_one_size_share_a_program(
    model: Model, support: Labelled, caplog: pytest.LogCaptureFixture
) -> None:
    x, y = support
    for sizes in ((21, 17, 20, 19), (189, 169), (2, 16)):
        compiled = []
        for m in sizes:
            rows = np.resize(np.arange(len(y)), m)
            with jax.log_compiles(), caplog.at_level("WARNING"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                caplog.clear()
                predict(model, (x[rows], y[rows]), n=3)
            done = [line for line in caplog.messages if line.startswith("Compiling ")]
            compiled.append(len(done))
        assert compiled[0] and not any(compiled[1:]), (sizes, compiled)


def test_a_start_may_be_given(model: Model, support: Labelled) -> None:
    network = model.learner.network
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(2, network.spec.size)).astype(np.float32)
    both = network.spec.unflatten(flat)
    a = predict(model, support, start=both)
    first = predict(model, support, start=jax.tree.map(lambda p: p[0], both))
    for p, q in zip(jax.tree.leaves(a.params), jax.tree.leaves(first.params), strict=True):
        np.testing.assert_allclose(p[0], q[0], rtol=1e-4, atol=1e-4)
    assert not np.allclose(a.params["output"]["kernel"][1], first.params["output"]["kernel"][1])


def test_numbers_of_numpy_jax_and_torch_are_numbers(
    model: Model, nets: Networks, support: Labelled
) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is a development requirement")
    x, y = support
    for x_given, y_given, number in (
        (x.astype(np.float32).reshape(-1, 8, 8), y.astype(np.uint8), np),
        (jnp.asarray(x), jnp.asarray(y), jnp),
        (torch.tensor(x).requires_grad_(), torch.tensor(y), torch),
    ):
        asked = {"target_loss": number.asarray(0.1), "n": number.asarray(2)}
        found = predict(model, (x_given, y_given), **asked, rounds=number.asarray(1))
        assert tiny.equal_trees(found.params, nets.params)
    assert tiny.equal_trees(predict(model, support, key=jax.random.PRNGKey(0)), nets)


def test_each_start_may_have_its_loss(model: Model, support: Labelled) -> None:
    each = predict(model, support, start_loss=[0.5, 2.0])
    low, high = (predict(model, support, start_loss=x) for x in (0.5, 2.0))
    kernels = [nets.params["output"]["kernel"] for nets in (each, low, high)]
    np.testing.assert_array_equal(kernels[0][0], kernels[1][0])
    np.testing.assert_array_equal(kernels[0][1], kernels[2][1])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(({"target_loss": x}, f"target_loss={x!r}") for x in (-0.1, "0.1", float("nan"), True)),
        ({"target_loss": float("inf")}, "target_loss=inf must be a number of nats, finite"),
        ({"target_loss": 1e39}, "target_loss=1e.39 must be a number of nats, finite in float32"),
        ({"target_loss": 10**400}, "target_loss=an integer of 1329 bits"),
        ({"target_loss": None}, "one of target_loss and target_return"),
        ({"target_loss": np.array([0.05, 0.1])}, r"must be .*, not an array of shape \[2\]"),
        ({"target_return": 3.0}, "one of target_loss and target_return"),
        ({"target_loss": None, "target_return": 3.0}, "target_return is for policies"),
        *(({"n": x}, f"n={x!r} must be") for x in (0, -1, "2", 2.0, None, True)),
        ({"n": [2]}, "n must be a whole number"),
        ({"n": 10**12}, "n=1000000000000 networks are too many"),
        *(({"rounds": x}, f"rounds={x!r} must be") for x in (0, 1.5, None, "1", True)),
        ({"key": 0}, r"key=0 must be a key, such as jax\.random\.key\(0\)"),
        ({"key": jax.random.split(KEY, 3)}, r"key must be one key, not an array \[3\]"),
        *(({"start_loss": x}, "start_loss=") for x in (float("nan"), float("inf"), -5, 1e39, "1")),
        ({"start_loss": [3]}, r"start_loss must be one number, or 2 of them"),
        ({"start_loss": [3, -1]}, "start_loss=.*-1.* must be 0 or more"),
        ({"start_loss": ["a", "b"]}, "start_loss=.*'a'.* must be a number"),
        ({"start": 3.0}, "start must be parameters by name"),
        ({"start": {"hidden_0": {"kernel": np.ones((64, 6))}}}, "start lacks hidden_0/bias"),
    ],
)
def test_requests_that_cannot_be_met(
    model: Model, support: Labelled, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as refused:
        predict(model, support, **changes)
    assert "\n" not in str(refused.value)


def test_no_network_with_nan_leaves(model: Model, support: Labelled) -> None:
    x, y = support
    spec = model.learner.network.spec
    broken = dataclasses.replace(model, params=jax.tree.map(lambda p: p * np.nan, model.params))
    large = spec.unflatten(np.full(spec.size, 1e30, np.float32))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mole_jax.MoleWarning)  # of another scale
        for use, given, changes, message in (
            (broken, x, {}, "networks would hold NaN or infinity: bring the target, .*guidance=1"),
            (model, x, {"start": large}, "start: its loss on the support set is not finite"),
            (model, x * 1e37, {}, "not finite|standardised|would hold NaN"),
            (model, x * 1e38, {}, "too large"),
        ):
            with pytest.raises(UserError, match=message) as refused:
                predict(use, (given, y), **changes)
            assert "\n" not in str(refused.value)


def test_it_belongs_outside_of_transformations(
    model: Model, nets: Networks, support: Labelled
) -> None:
    x, y = support

    def of(**changes: Any) -> Any:
        given = {"x": x, "y": y} | changes
        return predict(model, (given.pop("x"), given.pop("y")), **given).predicted_metric

    for call in (
        lambda: jax.jit(lambda x: of(x=x))(x),
        lambda: jax.jit(lambda y: of(y=y))(y),
        lambda: jax.vmap(lambda x: of(x=x))(np.stack([x, x])),
        lambda: jax.grad(lambda loss: of(target_loss=loss).sum())(0.05),
        lambda: jax.jit(lambda start: of(start=start))(nets.params),
        lambda: jax.jit(lambda start: of(start=start))(nets),
        lambda: jax.jit(lambda n: of(n=n))(2),
    ):
        with pytest.raises(UserError, match="call it outside of jit, vmap and grad") as refused:
            call()
        assert "\n" not in str(refused.value)
    # A key alone may be traced, also by a copy of the model that has built nothing so far.
    for use in (model, pickle.loads(pickle.dumps(model))):
        assert jax.tree.leaves(use.params)[0].sharding == jax.tree.leaves(model.params)[0].sharding
        found = jax.jit(lambda key, use=use: predict(use, support, key=key).params)(KEY)
        on_device = jnp.asarray(support[0].reshape(-1, 8, 8), jnp.uint8), jnp.asarray(support[1])
        same = jax.jit(lambda key, use=use, given=on_device: predict(use, given, key=key).params)
        chex.assert_trees_all_close(same(KEY), found, atol=1e-5)
        for p, q in zip(jax.tree.leaves(found), jax.tree.leaves(nets.params), strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-3, atol=1e-4)


def test_what_is_strange_is_said(model: Model, support: Labelled) -> None:
    """Where it was called, and in the order in which it is found."""
    x, y = support
    with pytest.warns(mole_jax.MoleWarning) as caught:
        predict(model, (x / 16, np.minimum(y, 1)))
    said = [str(warning.message) for warning in caught]
    assert len(said) == 2 and not any("\n" in line for line in said)
    assert "16 times smaller than in training" in said[0]
    assert "no example of class 2" in said[1]
    assert "conftest" in caught[0].filename


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_predict_the_same(
    model: Model, nets: Networks, support: Labelled, copied: Any
) -> None:
    other = copied(model)
    # What was compiled serves it, too.
    assert jax.tree.structure(other.learner) == jax.tree.structure(model.learner)
    # A copy lies on one device, the model on eight: another program, which may round otherwise.
    predicted = jax.tree.map(np.asarray, predict(other, support).params)
    chex.assert_trees_all_close(predicted, jax.tree.map(np.asarray, nets.params), atol=1e-5)
    # Another process builds it anew.
    described = (models._text(other.config), models._text(other.description), other.objective)
    built = models._learner.__wrapped__(*described)
    np.testing.assert_array_equal(
        built.model.representation.codec.table, model.learner.model.representation.codec.table
    )


def test_a_pickled_model_from_before_keys_were_renamed_builds_the_same_learner(
    model: Model,
) -> None:
    config = copy.deepcopy(model.config)
    config["metamodel"]["descents"] = config["metamodel"].pop("inner_steps")
    older = pickle.loads(pickle.dumps(dataclasses.replace(model, config=config)))
    assert jax.tree.structure(older.learner) == jax.tree.structure(model.learner)


def test_what_is_shown_is_short(model: Model) -> None:
    assert "mlp [8, 8, 1] -> 3, D = 411" in repr(model) and "2 steps of ddim" in repr(model)
    assert len(repr(model).splitlines()) <= 5 and len(repr(model)) < 500


def test_keys_and_images_on_another_device_are_welcome(
    model: Model, nets: Networks, support: Labelled
) -> None:
    last = jax.devices()[-1]
    found = predict(model, support, key=jax.device_put(KEY, last))
    chex.assert_trees_all_close(found.params, nets.params, atol=1e-5)
    x = support[0]
    there = jax.device_put(jnp.asarray(x), last)
    np.testing.assert_allclose(found.apply(there), nets.apply(x), rtol=1e-4, atol=1e-4)


def test_many_networks_are_written_in_parts(
    model: Model, nets: Networks, support: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "AT_ONCE", 2)
    many = predict(model, support, n=5, rounds=2)
    found = np.asarray(many.params["output"]["kernel"])
    assert len(found) == 5 and many.predicted_metric.shape == (5,)
    assert len(np.unique(found.reshape(5, -1).round(4), axis=0)) == 5
    two = predict(model, support, n=2, rounds=2)
    assert tiny.equal_trees(two.params, jax.tree.map(lambda x: x[:2], many.params))
    start = jax.tree.map(lambda x: np.repeat(x[:1], 5, axis=0), many.params)
    again = predict(model, support, n=5, start=start, start_loss=[0.1, 0.2, 0.3, 0.4, 0.5])
    assert np.isfinite(again.predicted_metric).all() and again.predicted_metric.shape == (5,)

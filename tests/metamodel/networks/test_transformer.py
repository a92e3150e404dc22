"""Choices of how the transformer is computed do not change what it computes."""

from __future__ import annotations

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.metamodel.networks.probing import ProbeGradients
from mole_jax.representation.tokens import ProbeGradient
from mole_jax.tasks.examples import Examples
from tests import tiny

BATCH = 2


@pytest.fixture(scope="module")
def plain() -> tiny.Setting:
    return tiny.made_up(metamodel__layers=2)


def estimate_and_gradient(setting: tiny.Setting, params: Any) -> tuple[jax.Array, Any]:
    """The clean estimate of some noisy tokens, and the gradient of its mean square."""
    model = setting.model
    prompt = tiny.prompts(setting.family, model, BATCH)
    noise = (
        jax.random.normal(jax.random.key(3), prompt.start.shape)
        * model.representation.layout.mask[None]
    )

    def of(params: Any) -> tuple[jax.Array, jax.Array]:
        t = jnp.array([10, 40]) / 49
        estimate = model.clean_estimate(params, noise, t, prompt)
        return jnp.mean(estimate**2), estimate

    (_, estimate), gradient = jax.jit(jax.value_and_grad(of, has_aux=True))(params)
    return estimate, gradient


@pytest.mark.parametrize(
    "change", [{"metamodel__remat": True}, {"metamodel__unroll": 1}], ids=["remat", "unroll"]
)
def test_how_layers_are_run_changes_nothing(plain: tiny.Setting, change: dict) -> None:
    other = tiny.made_up(metamodel__layers=2, **change)
    found = estimate_and_gradient(other, plain.params)
    for a, b in zip(
        jax.tree.leaves(found),
        jax.tree.leaves(estimate_and_gradient(plain, plain.params)),
        strict=True,
    ):
        # Not entry by entry: a probe near a kink of ReLU makes more of a rounding error.
        assert jnp.linalg.norm(a - b) <= 1e-3 * jnp.linalg.norm(b) + 1e-6


def test_bfloat16_is_of_the_products_only(plain: tiny.Setting) -> None:
    """Parameters, estimate and gradients stay float32; values differ by bfloat16's rounding."""
    other = tiny.made_up(metamodel__layers=2, metamodel__dtype="bfloat16")
    chex.assert_trees_all_equal_shapes_and_dtypes(other.params, plain.params)
    estimate, gradient = estimate_and_gradient(other, plain.params)
    exact, _ = estimate_and_gradient(plain, plain.params)
    assert {x.dtype for x in jax.tree.leaves((estimate, gradient))} == {np.dtype("float32")}
    assert not np.array_equal(estimate, exact)
    error = float(jnp.linalg.norm(estimate - exact) / jnp.linalg.norm(exact))
    assert error < 0.15  # random parameters magnify it


def test_mixing_changes_nothing_at_first_and_joins_the_channels_of_a_token_then(
    plain: tiny.Setting,
) -> None:
    other = tiny.made_up(metamodel__layers=2, metamodel__mixing=3)
    mixing = {name: x for name, x in other.params.items() if "mixing" in name}
    channels = other.model.representation.layout.shape[1]
    kinds = 2  # hidden units, and the output's biases
    assert {name: x.shape for name, x in mixing.items()} == {
        f"{what}_mixing_{way}": shape
        for what in ("start", "step")
        for way, shape in (("in", (kinds, channels, 3)), ("out", (kinds, 3, channels)))
    }
    outs = ("start_mixing_out", "step_mixing_out")
    shared = {name: x for name, x in other.params.items() if name not in mixing}
    chex.assert_trees_all_equal_shapes(shared, plain.params)
    silent = {name: jnp.zeros_like(mixing[name]) for name in outs}
    begun, _ = estimate_and_gradient(other, {**plain.params, **mixing, **silent})
    as_before, _ = estimate_and_gradient(plain, plain.params)
    np.testing.assert_allclose(begun, as_before, rtol=1e-4, atol=1e-5)
    for name in outs:
        moved = {**plain.params, **mixing, **silent, name: 0.1 * mixing[name]}
        assert not np.allclose(estimate_and_gradient(other, moved)[0], as_before, atol=1e-3)


def test_weights_of_support_examples_count_where_their_gradient_is_followed() -> None:
    changes = {"metamodel__support_probes": 2, "metamodel__support_weights": True}
    setting = tiny.made_up(metamodel__probes=0, metamodel__inner_steps=2, **changes)
    weight = setting.params["support"]["weight"]
    silent = jax.tree.map(jnp.zeros_like, weight)
    alike = {**setting.params, "support": {**setting.params["support"], "weight": silent}}
    plain = tiny.made_up(metamodel__probes=0, metamodel__inner_steps=2, metamodel__support_probes=2)
    own = {k: x for k, x in setting.params["support"].items() if not k.startswith("weight")}
    as_plain, _ = estimate_and_gradient(plain, {**setting.params, "support": own})
    np.testing.assert_allclose(
        estimate_and_gradient(setting, alike)[0], as_plain, rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(estimate_and_gradient(setting, setting.params)[0], as_plain, atol=1e-3)


def test_warps_of_support_images_reach_the_inner_steps() -> None:
    changes = {"metamodel__inner_steps": 3, "metamodel__support_probes": 2}
    plain = tiny.made_up(metamodel__probes=0, **changes)
    warped = tiny.made_up(metamodel__probes=0, metamodel__support_warps=1.0, **changes)
    chex.assert_trees_all_equal_shapes_and_dtypes(warped.params, plain.params)
    as_they_are, _ = estimate_and_gradient(plain, plain.params)
    assert not np.allclose(estimate_and_gradient(warped, plain.params)[0], as_they_are, atol=1e-3)


@pytest.mark.parametrize("warps", [0.0, 1.0])
def test_the_order_of_support_examples_does_not_matter(warps: float) -> None:
    """Whoever predicts gives examples in any order, and not equally many of each class."""
    setting = tiny.made_up(
        metamodel__probes=0,
        metamodel__inner_steps=2,
        metamodel__support_probes=3,
        metamodel__support_warps=warps,
    )
    prompt = tiny.prompts(setting.family, setting.model, BATCH)
    n = prompt.support.labels.shape[1]
    few = prompt.support.mask & (jnp.arange(n)[None] % 4 < jnp.arange(1, BATCH + 1)[:, None])
    prompt = prompt._replace(support=prompt.support._replace(mask=few))
    order = np.random.default_rng(0).permutation(n)
    shuffled = jax.tree.map(lambda x: x[:, order], prompt.support)
    estimate = jax.jit(
        lambda prompt: setting.model.clean_estimate(
            setting.params, jnp.zeros_like(prompt.start), jnp.array([0.2, 0.8]), prompt
        )
    )
    found = estimate(prompt)
    np.testing.assert_allclose(
        estimate(prompt._replace(support=shuffled)), found, rtol=1e-3, atol=1e-4
    )
    fewer = few & (jnp.arange(n)[None] % 4 < 1)
    other = prompt._replace(support=prompt.support._replace(mask=fewer))
    assert not np.allclose(estimate(other), found, atol=1e-2)  # they do count


@pytest.mark.parametrize("most", [2, 9])
def test_steps_look_at_the_first_examples_of_each_class_alone(most: int) -> None:
    setting = tiny.made_up(
        metamodel__probes=0, metamodel__support_probes=most, data__support_per_class=9
    )
    rng = np.random.default_rng(0)
    n_classes, n = setting.family.n_classes, 40
    support = Examples(
        jnp.asarray(rng.normal(size=(BATCH, n, setting.family.network.example_size)), "float32"),
        jnp.asarray(rng.integers(0, n_classes, (BATCH, n)), jnp.int32),
        jnp.asarray(rng.random((BATCH, n)) < 0.6),
    )
    probes = jax.jit(setting.model.show)(setting.params, support).probes
    assert probes.targets.shape == (BATCH, min(n, most * n_classes))
    for i in range(BATCH):
        inputs, labels, mask, _ = (x if x is None else np.asarray(x[i]) for x in support)
        first = [np.flatnonzero(mask & (labels == k))[:most] for k in range(n_classes)]
        expected = {(k, inputs[row].tobytes()) for k in range(n_classes) for row in first[k]}
        there = np.flatnonzero(probes.weights[i])
        found = [(int(probes.targets[i][j]), np.asarray(probes.inputs[i][j]).tobytes())
                 for j in there]  # fmt: skip
        assert len(found) == len(expected) and set(found) == expected
        assert (probes.weights[i][there] == 1).all()


def test_who_does_not_write_follows_gradients_alone() -> None:
    s = tiny.made_up(metamodel__writes=False, metamodel__probes=2, metamodel__inner_steps=2)
    prompt = tiny.prompts(s.family, s.model, BATCH)
    t = jnp.ones(BATCH)
    noisy = jnp.zeros_like(prompt.start)
    names = {jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(s.params)}
    assert not [name for name in names if "tokens_out" in name or "pair" in name]

    class Level(ProbeGradients):
        def in_pieces(self, output: Any, of: Any, probes: Any) -> ProbeGradient:
            nothing = jax.tree.map(jnp.zeros_like, output)
            return ProbeGradient(nothing, nothing)

        def __call__(self, output: jax.Array, of: Any, probes: Any) -> ProbeGradient:
            return ProbeGradient(jnp.zeros_like(output), jnp.zeros_like(output))

    level = dataclasses.replace(s.model, probe_gradient=Level(s.model.process, s.model.network))
    of = s.model.denoising(noisy, t, prompt)
    found, still = (
        model.module.apply({"params": s.params}, of, prompt, model.probe_gradient)
        for model in (s.model, level)
    )
    assert not np.asarray(still).any()
    assert np.abs(found).max() > 1e-3
    with pytest.raises(UserError, match="leaves the weights to gradients on probes"):
        tiny.made_up(metamodel__writes=False, metamodel__probes=0, metamodel__inner_steps=0)

"""Permuting the hidden units of what goes in permutes the units of what comes out."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.learners import guidance
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation import permutation
from tests import tiny

BATCH = 4


def token_order(n_units: int) -> np.ndarray:
    """A permutation of unit tokens that leaves the last, of the output biases, where it is."""
    return np.append(np.random.default_rng(3).permutation(n_units), n_units)


@pytest.fixture(
    scope="module",
    params=[
        ("adaln", 0, 0),
        ("adaln", 2, 0),
        ("adaln", 2, 3),
        ("context", 0, 0),
        ("context", 2, 0),
    ],
    ids=lambda p: f"{p[0]}-{'probes' if p[1] else 'plain'}{'-mixing' if p[2] else ''}",
)
def setting(request: pytest.FixtureRequest) -> tiny.Setting:
    conditioning, n, mixing = request.param
    return tiny.made_up(
        metamodel__conditioning=conditioning,
        metamodel__probes=n,
        metamodel__inner_steps=n,
        metamodel__mixing=mixing,
    )


def noisy_tokens(setting: tiny.Setting) -> jax.Array:
    codec = setting.model.representation.codec
    noise = jax.random.normal(jax.random.key(5), (BATCH, codec.n_tokens, codec.n_channels))
    return noise * codec.mask[None]


def test_the_clean_estimate(setting: tiny.Setting) -> None:
    model, noisy = setting.model, noisy_tokens(setting)
    prompt = tiny.prompts(setting.family, model, BATCH)
    t = jnp.array([0, 10, 30, 49]) / 49
    order = token_order(model.network.sizes["hidden_0"])
    estimate = jax.jit(lambda noisy, prompt: model.clean_estimate(setting.params, noisy, t, prompt))
    plain = estimate(noisy, prompt)
    permuted = estimate(noisy[:, order], prompt._replace(start=prompt.start[:, order]))
    assert float(jnp.std(plain - prompt.start)) > 0.05  # the model does something
    # Sums over units in another order round otherwise; inner steps along random probes add to it.
    np.testing.assert_allclose(permuted, plain[:, order], rtol=1e-3, atol=1e-3)
    # Permuting one of the two is another question, with another answer.
    other = estimate(noisy[:, order], prompt)
    assert float(jnp.abs(other - plain[:, order]).max()) > 0.01


def test_the_sampler(setting: tiny.Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """The noise that the sampler draws is permuted like the start, by the same order."""
    model = setting.model
    prompt = tiny.prompts(setting.family, model, BATCH)
    order = token_order(model.network.sizes["hidden_0"])
    plan = Plan(name="ancestral", steps=3, guidance=1.5)
    drawn = jax.random.normal

    def run(prompt: Prompt) -> jax.Array:
        return jax.jit(
            lambda prompt: guidance.sample(model, plan, setting.params, prompt, jax.random.key(0))
        )(prompt)

    plain = run(prompt)
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: drawn(key, shape)[:, order])
    permuted = run(prompt._replace(start=prompt.start[:, order]))
    np.testing.assert_allclose(permuted, plain[:, order], rtol=2e-4, atol=2e-4)


def test_units_move_in_parameter_space_as_in_token_space(setting: tiny.Setting) -> None:
    model = setting.model
    flat = jax.random.normal(jax.random.key(1), (model.network.spec.size,))
    order = token_order(model.network.sizes["hidden_0"])
    permuted = permutation.permute(model.network, flat, [order[:-1]])
    encode = model.representation.encode
    np.testing.assert_array_equal(encode(permuted), encode(flat)[order])


def test_what_is_absent_is_not_read(setting: tiny.Setting) -> None:
    """Other values behind a condition that is marked absent give the same estimate."""
    model = setting.model
    estimate = jax.jit(
        lambda prompt: model.clean_estimate(
            setting.params,
            noisy_tokens(setting),
            jnp.full(BATCH, 25 / 49),
            prompt,
        )
    )
    prompt = tiny.prompts(setting.family, model, BATCH)
    other = tiny.prompts(setting.family, model, BATCH, seed=9)
    nothing = {name: jnp.zeros((BATCH,), bool) for name in prompt.use}
    # The start's metric is a fact about the start and goes with it.
    np.testing.assert_array_equal(
        estimate(prompt._replace(use=nothing)), estimate(other._replace(use=nothing))
    )
    for condition in prompt.use:
        changed = estimate(prompt._replace(**{condition: getattr(other, condition)}))
        assert float(jnp.abs(changed - estimate(prompt)).max()) > 1e-3, condition

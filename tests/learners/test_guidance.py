"""Sampling from a meta-model: guidance, padding, and what regression leaves out."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.learners import guidance, registry
from mole_jax.metamodel.meta_model import MetaModel
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.metamodel.process.sampler import Plan
from tests import tiny

BATCH = 3


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up()


def test_guidance_needs_a_condition_that_training_left_out() -> None:
    config = tiny.tiny_config(sampling__guidance_start=1.5)
    assert registry.plan(config).guides == {"start": (1.5, 1.5)}
    config = tiny.tiny_config(sampling__guidance_start=1.5, training__drop__start=0.0)
    with pytest.raises(UserError, match=r"training.drop.start=0 the model never lacked it"):
        registry.plan(config)


@pytest.fixture(scope="module")
def prompt(setting: tiny.Setting) -> Prompt:
    return tiny.prompts(setting.family, setting.model, BATCH)


def sample(
    setting: tiny.Setting, plan: Plan, prompt: Prompt, seed: int = 0, model: MetaModel | None = None
) -> jax.Array:
    key = jax.random.key(seed)
    return jax.jit(
        lambda params, prompt: guidance.sample(model or setting.model, plan, params, prompt, key)
    )(setting.params, prompt)


def test_a_model_that_knows_the_answer_is_followed_whatever_the_guidance(
    setting: tiny.Setting, prompt: Prompt
) -> None:
    answer = prompt.start * 2 + 1
    model = dataclasses.replace(setting.model)
    object.__setattr__(model, "clean_estimate", lambda *_: answer)
    found = sample(setting, Plan(steps=4, guidance=3.0), prompt, model=model)
    np.testing.assert_allclose(found, answer, rtol=1e-4, atol=1e-4)


def test_guidance_of_one_is_none_and_more_is_something(
    setting: tiny.Setting, prompt: Prompt
) -> None:
    plain = sample(setting, Plan(steps=2), prompt)
    almost = sample(setting, Plan(steps=2, guidance=1.0 + 1e-6), prompt)
    more = sample(setting, Plan(steps=2, guidance=2.0), prompt)
    np.testing.assert_allclose(almost, plain, rtol=1e-3, atol=1e-3)
    assert float(jnp.abs(more - plain).max()) > 1e-3


@pytest.mark.parametrize("key", ["guidance_support", "guidance_target", "guidance_start"])
def test_each_condition_is_guided_by_itself(
    setting: tiny.Setting, prompt: Prompt, key: str
) -> None:
    plain = sample(setting, Plan(steps=2), prompt)
    almost = sample(setting, Plan(steps=2, **{key: 1.0 + 1e-6}), prompt)
    more = sample(setting, Plan(steps=2, **{key: 2.0}), prompt)
    np.testing.assert_allclose(almost, plain, rtol=1e-3, atol=1e-3)
    assert float(jnp.abs(more - plain).max()) > 1e-3
    # Of a prompt that lacks the condition nothing leads away.
    (condition,) = Plan(**{key: 2.0}).guides
    lacks = prompt._replace(use={**prompt.use, condition: jnp.zeros(BATCH, bool)})
    np.testing.assert_allclose(
        sample(setting, Plan(steps=2, **{key: 2.0}), lacks),
        sample(setting, Plan(steps=2), lacks),
        rtol=1e-3,
        atol=1e-3,
    )


def test_guidance_of_one_condition_is_that_of_all_where_there_is_no_other(
    setting: tiny.Setting, prompt: Prompt
) -> None:
    nothing = jnp.zeros(BATCH, bool)
    alone = prompt._replace(use={**prompt.use, "target_metric": nothing})
    found = sample(setting, Plan(steps=2, guidance_support=2.0), alone)
    np.testing.assert_allclose(
        found, sample(setting, Plan(steps=2, guidance=2.0), alone), rtol=1e-4, atol=1e-4
    )


def test_padding_stays_zero_and_keys_decide(setting: tiny.Setting, prompt: Prompt) -> None:
    plan = Plan("ancestral", steps=2)
    found = sample(setting, plan, prompt)
    assert found.shape == prompt.start.shape
    mask = np.broadcast_to(setting.model.representation.layout.mask, found.shape)
    assert not mask.all()
    assert np.all(np.asarray(found)[~mask] == 0)
    np.testing.assert_array_equal(sample(setting, plan, prompt), found)
    assert not np.array_equal(sample(setting, plan, prompt, seed=1), found)


def test_regression_needs_no_noise(setting: tiny.Setting, prompt: Prompt) -> None:
    model = dataclasses.replace(setting.model, noiseless=True)
    found = [sample(setting, Plan(steps=4), prompt, seed, model) for seed in (0, 1)]
    np.testing.assert_array_equal(*found)


def test_flow_matching_trains_and_samples(tmp_path: Path) -> None:
    """A schedule and a read-out of the config are all that it takes."""
    flow = tiny.made_up(
        diffusion__schedule="flow",
        diffusion__prediction="flow",
        representation__name="chunk",
        representation__chunk_size=16,
        metamodel__probes=0,
        metamodel__inner_steps=0,
        training__permute_units=True,
        training__function_weight=0.0,
        training__learning_rate=5e-3,
        training__steps=60,
        training__checkpoint_every=60,
        training__steps_per_dispatch=20,
    )
    state = flow.fit(tmp_path)
    losses = [json.loads(x)["loss"] for x in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 3 and losses[-1] < 0.8 * losses[0]
    prompt = tiny.prompts(flow.family, flow.model, BATCH)
    found = sample(dataclasses.replace(flow, params=state.params), Plan(steps=4), prompt)
    assert np.isfinite(flow.model.representation.parameters(found)).all()

"""The prompt "as good as you can": neither a number nor nothing, and learned where it is wanted."""

from __future__ import annotations

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax import representation
from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.learners import guidance, registry
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.training.train_config import TrainConfig
from tests import tiny
from tests.learners.test_registry import GPT

BATCH = 6
# Probes take long to compile.
LEARNED = {"training__best_prompts": 0.4, "metamodel__probes": 0, "metamodel__inner_steps": 0}
WITHOUT = LEARNED | {"training__best_prompts": 0.0}


def leaves(params: Any) -> dict[str, tuple[int, ...]]:
    found = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path): x.shape for path, x in found}


def test_one_vector_is_learned_and_without_such_prompts_none() -> None:
    with_best, without = tiny.made_up(**LEARNED), tiny.made_up(**WITHOUT)
    new = set(leaves(with_best.params)) - set(leaves(without.params))
    assert new == {"['target_metric']['best']"}
    assert set(leaves(without.params)) < set(leaves(with_best.params))
    assert with_best.params["target_metric"]["best"].shape == (with_best.config.metamodel.width,)
    rival = tiny.made_up("end_to_end", training__end_to_end_steps=5, **LEARNED)
    assert leaves(rival.params).keys() == leaves(without.params).keys()


def test_best_a_number_and_nothing_are_three_prompts_also_in_one_batch() -> None:
    setting = tiny.made_up(**LEARNED)
    model, params = setting.model, setting.params
    prompt = tiny.prompts(setting.family, model, BATCH)
    noisy, t = jax.random.normal(jax.random.key(1), (BATCH, *model.shape)), jnp.full(BATCH, 0.7)
    estimate = jax.jit(lambda prompt: model.clean_estimate(params, noisy, t, prompt))
    present, yes, no = prompt.use, jnp.ones(BATCH, bool), jnp.zeros(BATCH, bool)
    absent = {**present, "target_metric": no}
    numbered = estimate(prompt._replace(best=no))
    best = estimate(prompt._replace(best=yes))
    dropped = estimate(prompt._replace(best=no, use=absent))
    for one, other in ((numbered, best), (numbered, dropped), (best, dropped)):
        assert np.abs(one - other).max(axis=(1, 2)).min() > 1e-4
    # The number is not looked at, and a condition that is dropped is gone whatever was asked for.
    other_number = prompt._replace(best=yes, target_metric=7 + prompt.target_metric)
    chex.assert_trees_all_equal(estimate(other_number), best)
    chex.assert_trees_all_equal(estimate(prompt._replace(best=yes, use=absent)), dropped)
    # Prompts of a batch are independent.
    kinds = np.arange(BATCH) % 3
    mixed = prompt._replace(
        best=jnp.asarray(kinds == 1), use={**present, "target_metric": jnp.asarray(kinds != 2)}
    )
    expected = np.choose(kinds[:, None, None], [numbered, best, dropped])
    chex.assert_trees_all_close(estimate(mixed), expected, atol=1e-5)


def test_guidance_leads_away_from_nothing_and_towards_the_best() -> None:
    setting = tiny.made_up(**LEARNED)
    model = dataclasses.replace(setting.model, noiseless=True)
    prompt = tiny.prompts(setting.family, model, 2)._replace(best=jnp.ones(2, bool))
    nothing = {**prompt.use, "support": jnp.zeros(2, bool), "target_metric": jnp.zeros(2, bool)}

    @jax.jit
    def sampled(prompt: Any) -> list[jax.Array]:
        plans = (Plan(guidance=scale) for scale in (1.0, 3.0))
        return [guidance.sample(model, p, setting.params, prompt, jax.random.key(0)) for p in plans]

    (given, guided), (free, _) = sampled(prompt), sampled(prompt._replace(use=nothing))
    chex.assert_trees_all_close(guided, free + 3 * (given - free), atol=1e-3)


def test_the_best_may_be_guided_and_numbers_are_left_alone() -> None:
    setting = tiny.made_up(**LEARNED)
    model = dataclasses.replace(setting.model, noiseless=True)
    prompt = tiny.prompts(setting.family, model, 4)._replace(best=jnp.arange(4) < 2)
    lacks = {**prompt.use, "target_metric": jnp.zeros(4, bool)}

    @jax.jit
    def sampled(prompt: Any) -> list[jax.Array]:
        plans = (Plan(), Plan(guidance_best=2.0), Plan(guidance_target=2.0))
        return [guidance.sample(model, p, setting.params, prompt, jax.random.key(0)) for p in plans]

    (plain, best, numbers), (without, *_) = sampled(prompt), sampled(prompt._replace(use=lacks))
    wanted = without + 2 * (plain - without)
    chex.assert_trees_all_close(best[:2], wanted[:2], atol=1e-3)
    chex.assert_trees_all_close(best[2:], plain[2:], atol=1e-3)
    chex.assert_trees_all_close(numbers[2:], wanted[2:], atol=1e-3)
    chex.assert_trees_all_close(numbers[:2], plain[:2], atol=1e-3)
    assert np.abs(wanted - plain).max() > 0.01
    # Who knows numbers only is not asked twice for nothing.
    old = prompt._replace(best=None)
    assert not Plan(guidance_best=1.0).guides
    chex.assert_trees_all_close(
        guidance.sample(model, Plan(guidance_best=2.0), setting.params, old, jax.random.key(0)),
        guidance.sample(model, Plan(), setting.params, old, jax.random.key(0)),
        atol=1e-5,
    )


def test_a_gradient_reaches_the_vector_through_pairs() -> None:
    setting = tiny.made_up(**LEARNED, training__batch_size=16)
    root, learner = jax.random.key(0), setting.learner

    @jax.jit
    def gradient(constants: Any, zoo: Any) -> Any:
        return learner.gradient(
            setting.params, setting.source.draw(constants, zoo, root, 0), jax.random.key(1)
        )[0]

    found = gradient(setting.source.constants, setting.zoo)["target_metric"]
    assert np.abs(found["best"]).max() > 0
    assert np.abs(found["hidden"]["kernel"]).max() > 0  # numbers are learned, too


def test_the_model_of_the_reference_has_no_such_prompt() -> None:
    config = tiny.tiny_config(**GPT, training__best_prompts=0.4)
    with pytest.raises(UserError, match=r"training\.best_prompts=0\.4: .*set it to 0"):
        registry.check(config, tiny.made_up(**WITHOUT).family.network, tiny.mesh_of(1))


def test_an_older_config_learns_none() -> None:
    config = tiny.tiny_config(**LEARNED).to_dict()
    assert TrainConfig.of(config).best_prompts == 0.4
    del config["training"]["best_prompts"]
    assert TrainConfig.of(config).best_prompts == compat.DEFAULTS["training.best_prompts"] == 0
    network = tiny.made_up(**WITHOUT).family.network
    learner = registry.build(config, network, "diffusion", representation.shapes(config, network))
    assert not learner.uses.best

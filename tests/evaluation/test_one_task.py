"""A zoo of one task, as G.pt has them: episodes are its held-out runs, prompts of any metric."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.evaluation.baselines import retrieval
from mole_jax.evaluation.harness import zoo_finals
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.evaluation.harness.measure import Results, jobs
from mole_jax.evaluation.measures import fixed_prompt, novelty, prompt_following, trajectories
from mole_jax.evaluation.measures.fixed_prompt import FixedPrompt
from mole_jax.representation import permutation
from mole_jax.tasks import networks
from mole_jax.training import data as data_lib
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.making.generation import generate
from tests import tiny
from tests.evaluation.conftest import SETTINGS, pretend_to_train

CONFIG = SETTINGS | {
    "data__train_subsets": 1,
    "data__held_out_subsets": 0,
    "population__members": 7,
    "population__held_out_members": 2,
    "population__optimizers": ("sgd",),
    "population__coupled_decay": True,
    "population__snapshot_spacing": "random",
    "network__init": "torch",
    "zoo__members_per_group": 3,
    "representation__name": "flat",
    "representation__normaliser": "global",
    "metamodel__name": "gpt",
    "training__best_prompts": 0.0,
    "metamodel__gpt": {"chunk_size": 200},
    "training__regression_steps": 0,
    "training__metric": "test_error",
    "evaluation__candidates": (50.0, 30.0),
    "evaluation__table_prompts": (60.0, 20.0),
    "evaluation__prompt_range": (5.0, 0.9),
}


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> EvalContext:
    config, workdir = tiny.tiny_config(**CONFIG), tmp_path_factory.mktemp("one_task")
    generate(config, workdir)
    pretend_to_train(config, workdir)
    return load_context(config, workdir)


def test_cases_are_runs_with_the_error_of_their_first_snapshots(context: EvalContext) -> None:
    assert set(context.splits) == {"S0"} and context.one_task
    runs = context.zoo.select(split="S0")
    assert context.splits["S0"].shape == (2, 1) and context.choice.shape == (4, 1)
    error = 100 * (1 - context.zoo.metric("test_accuracy"))
    np.testing.assert_allclose(context.splits["S0"].start_metric[:, 0], error[runs, 0], rtol=1e-5)
    np.testing.assert_array_equal(
        context.splits["S0"].starts[:, 0], context.zoo.parameters(runs, [0])[:, 0]
    )
    assert context.zoo.runs["member"].tolist() == list(range(7))  # of groups of three


def test_training_draws_the_same_errors(context: EvalContext) -> None:
    metric = prompt_metric.of(context.config, context.zoo.schema)
    found = data_lib.read(context.zoo, context.family, "device", "global", metric)
    error = 100 * (1 - context.zoo.metric("test_accuracy", found.runs))
    np.testing.assert_allclose(found.arrays.metric, error, rtol=1e-5)
    assert "lowest test error (%) of a run" in data_lib.describe(found)


def test_prompts_are_errors_and_so_is_what_they_achieve(context: EvalContext) -> None:
    results = Results(context)
    followed = prompt_following.follow(context, "S0", results).only("grid")
    episodes = context.splits["S0"]
    np.testing.assert_allclose(followed.prompts[:, 0], 5.0)
    np.testing.assert_allclose(
        followed.prompts[:, -1], 0.9 * episodes.start_metric[:, 0], rtol=1e-5
    )
    np.testing.assert_allclose(followed.test_metric, 100 * (1 - followed.test_score), rtol=1e-5)
    job, *_ = jobs(context, [fixed_prompt.MEASURE])  # the main learner's
    nothing = np.zeros(0)
    results.found[job] = FixedPrompt(nothing, nothing, nothing, np.array(30.0))
    asked = trajectories.project(context, "S0", results).prompts
    assert asked[-1] == 30 and (np.diff(asked) < 0).all()


def test_copies_are_of_the_best_runs(context: EvalContext) -> None:
    order = retrieval.build(context).rank(context.splits["S0"].flat())
    assert order.shape == (2, 3)
    loss = context.zoo.metric("validation_loss", context.training.runs)[:, -1]
    np.testing.assert_array_equal(np.sort(loss)[:3], loss[order[0]])
    flat = np.zeros((2, 1, context.family.network.spec.size), np.float32)
    found = novelty.mistakes(context, "S0", flat)
    assert len(found.generated) == len(found.held_out) == 2


def test_variety_of_runs_is_theirs_and_of_one_network_none(context: EvalContext) -> None:
    runs = context.zoo.select(split="S0")
    final = context.zoo.parameters(runs, [-1])  # [2, 1, D]
    found = novelty.variety(context, "S0", final)
    np.testing.assert_array_equal(found.generated, found.held_out)
    assert len(found.held_out) == 2 and (found.held_out > 0).all()
    found = novelty.variety(context, "S0", final[:1].repeat(2, axis=0))
    np.testing.assert_array_equal(found.generated, 0)


@pytest.mark.parametrize("hidden", [(4,), (4, 3)])  # matched exactly, and in turn
def test_nearest_others_do_not_mind_the_order_of_units(hidden: tuple[int, ...]) -> None:
    network = networks.build({"name": "mlp", "hidden": hidden, "activation": "relu"}, (6,), 3)
    key = jax.random.key(0)
    keys = jax.random.split(key, 3)
    flat = np.stack([np.asarray(network.spec.flatten(network.init(k))) for k in keys])
    orders = permutation.random_orders(network, jax.random.key(1))
    twin = np.asarray(permutation.permute(network, flat[0], orders))
    found = novelty.nearest_others(network, np.stack([*flat, twin]))
    np.testing.assert_allclose(found[[0, 3]], 0, atol=1e-5)
    assert (found[1:3] > 0.1).all()


def test_one_run_is_too_few(context: EvalContext) -> None:
    alone = context.zoo.runs["split"].copy()
    alone[1:] = "S0"
    zoo = type(context.zoo)(**{**vars(context.zoo), "runs": {**context.zoo.runs, "split": alone}})
    with pytest.raises(UserError, match="or two runs, if the zoo has one task"):
        zoo_finals.of_zoo(zoo, context.prompt_metric, context.training.scale)

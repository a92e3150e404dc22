"""What is asked for: the best where it was learned, and beside it the number that was chosen."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from mole_jax.evaluation import selection
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import fixed_prompt, generated, numbered
from mole_jax.evaluation.measures.quality import BEST
from mole_jax.report import story
from tests.evaluation.conftest import SETTINGS, Evaluated


def choosing(context: EvalContext) -> EvalContext:
    """The same models, asked for a number."""
    config = {**context.config.to_dict()}
    config["evaluation"] = {**config["evaluation"], "prompt": "chosen"}
    return dataclasses.replace(context, config=config)


def test_the_best_is_asked_for_where_it_was_learned(evaluated: Evaluated) -> None:
    context, results = evaluated.context, evaluated.results()
    assert context.asks_best and fixed_prompt.of(context, results) is None
    number = fixed_prompt.number(context, results)
    assert number in SETTINGS["evaluation__candidates"]
    episodes, found = context.splits["S1"], results.of(generated.MEASURE, "S1")
    key = context.key("generated S1")
    flat = predict(context, context.learner, episodes, None, key)
    np.testing.assert_array_equal(flat, found.parameters)

    # The number, from the same starts and noise, is recorded beside it.
    other = predict(context, context.learner, episodes, number, key)
    assert not np.allclose(other, flat)
    loss, score = scoring.on_own_tasks(context.family, "test", other, episodes.tasks)
    record = evaluated.json()["splits"]["S1"]
    assert record["fixed_prompt"] == BEST
    recorded = record["numbered_prompt"]
    assert recorded["asked"] == number == evaluated.json()["choices"]["fixed_prompt_diffusion"]
    assert recorded["mean"] == pytest.approx(score.mean())
    assert recorded["loss_mean"] == pytest.approx(loss.mean(), rel=1e-5)
    gain = record["generated"]["mean"] - recorded["mean"]
    assert recorded["best_gain_mean"] == pytest.approx(gain, abs=1e-6)


def test_a_number_may_be_asked_for_all_the_same(evaluated: Evaluated) -> None:
    context, results = choosing(evaluated.context), evaluated.results()
    assert not context.asks_best
    assert fixed_prompt.of(context, results) == fixed_prompt.number(context, results)
    assert numbered.MEASURE not in selection.applicable(context, [numbered.MEASURE])


def test_the_report_says_what_was_asked_for(evaluated: Evaluated) -> None:
    record = evaluated.json()["splits"]["S1"]
    page = story._idea(record, {})
    assert f"ask for no number, but for networks “{BEST}”" in page
    assert "want (or none: as good as it can)" in page
    asked = record["numbered_prompt"]["asked"]
    assert f"validation loss of {asked:g}, the number chosen on training runs" in page
    plain = story._idea({**record, "fixed_prompt": 0.05, "numbered_prompt": {}}, {})
    assert "ask for a validation loss of 0.05, one value for all networks" in plain

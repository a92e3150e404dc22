"""Which prompts ask for something useful, and how closely they are followed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mole_jax.evaluation.measures import prompt_following
from mole_jax.zoo.prompt_metric import PromptMetric

TASKS = np.array([0, 1])  # of five classes and of two


def context(metric: str) -> Any:
    family = SimpleNamespace(
        chance_loss=lambda tasks: np.log([5.0, 2.0])[tasks],
        chance_score=lambda tasks: np.array([0.2, 0.5])[tasks],
        score_unit=1.0,
    )
    return SimpleNamespace(family=family, prompt_metric=PromptMetric(metric))


@pytest.mark.parametrize(
    ("metric", "prompts", "useful"),
    [
        ("validation_loss", [[0.1, 1.5, 2.0], [0.1, 0.7, 2.0]], [[1, 1, 0], [1, 0, 0]]),
        ("test_error", [[1.0, 70.0, 81.0], [1.0, 49.0, 51.0]], [[1, 1, 0], [1, 1, 0]]),
        ("validation_accuracy", [[0.1, 0.3], [0.3, 0.9]], [[0, 1], [0, 1]]),
    ],
)
def test_a_useful_prompt_asks_for_better_than_guessing(
    metric: str, prompts: list[list[float]], useful: list[list[int]]
) -> None:
    found = prompt_following._useful(context(metric), TASKS, np.array(prompts))
    assert found.astype(int).tolist() == useful


def test_only_prompts_that_count_are_measured() -> None:
    asked = np.array([[0.1, 0.5, 0.9, 2.0], [0.1, 0.5, 1.6, 2.0]])
    achieved = np.where(asked < 1.61, asked, 1.6)
    found = prompt_following._alignment(asked, achieved, asked < 1.61)
    assert found is not None
    assert (found["r2_mean"], found["mae_mean"]) == (1.0, 0.0)
    assert found["spearman_mean"] == pytest.approx(1.0)
    every = prompt_following._alignment(asked, achieved)
    assert every is not None and every["r2_mean"] < 0.97


def test_too_few_prompts_have_no_alignment() -> None:
    asked = np.array([[0.1, 0.5], [0.1, 0.5]])
    for counted in (False, np.array([[True, True], [True, False]])):
        assert prompt_following._alignment(asked, asked, counted) is None
    found = prompt_following._alignment(asked, asked)
    assert found is not None and found["r2_mean"] == 1.0

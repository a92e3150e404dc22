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
        (
            "validation_loss",
            [[0.1, 0.6, 1.5, 2.0], [0.1, 0.6, 0.7, 2.0]],
            [True, True, False, False],
        ),
        ("test_error", [[1.0, 49.0, 70.0], [1.0, 49.0, 60.0]], [True, True, False]),
        ("validation_accuracy", [[0.1, 0.3, 0.9], [0.6, 0.7, 0.9]], [False, True, True]),
    ],
)
def test_a_useful_prompt_asks_every_task_for_better_than_guessing(
    metric: str, prompts: list[list[float]], useful: list[bool]
) -> None:
    found = prompt_following._useful(context(metric), TASKS, np.array(prompts))
    assert found.tolist() == useful


def test_too_few_prompts_have_no_alignment() -> None:
    asked = np.array([[0.1, 0.5], [0.1, 0.5]])
    assert prompt_following._alignment(asked[:, :0], asked[:, :0]) is None
    assert prompt_following._alignment(asked[:, :1], asked[:, :1]) is None
    found = prompt_following._alignment(asked, asked)
    assert found is not None and found["r2_mean"] == 1.0

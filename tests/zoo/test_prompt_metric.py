"""What prompts speak of is a metric of the zoo, or follows from one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import family as families
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.prompt_metric import PromptMetric
from tests import tiny
from tests.zoo.conftest import example_schema


@pytest.mark.parametrize(
    ("name", "pool", "kind", "larger"),
    [
        ("validation_loss", "validation", "loss", False),
        ("test_error", "test", "error", False),
        ("train_accuracy", "train", "accuracy", True),
        ("test_return", "test", "return", True),
        ("avg_test_err", "test", "error", False),  # as G.pt's data sets call them
        ("train_ret", "train", "return", True),
        ("something", "validation", "loss", False),
    ],
)
def test_a_name_is_a_pool_and_a_kind(name: str, pool: str, kind: str, larger: bool) -> None:
    metric = PromptMetric(name)
    assert (metric.pool, metric.kind, metric.larger_is_better) == (pool, kind, larger)


def test_errors_are_in_percent_whether_stored_or_measured() -> None:
    stored = {"test_accuracy": np.array([0.25, 1.0]), "test_loss": np.array([2.0, 0.1])}
    metric = PromptMetric("test_error")
    np.testing.assert_allclose(metric.of_stored(stored), [75, 0])
    measured = metric.of_measured(stored["test_loss"], stored["test_accuracy"], 1.0)
    np.testing.assert_array_equal(measured, metric.of_stored(stored))
    assert PromptMetric("test_loss").of_measured(2.0, 0.5, 500.0) == 2.0
    assert PromptMetric("test_return").of_measured(0.5, 0.5, 500.0) == 250.0
    with pytest.raises(UserError, match="'train_error' is none of the zoo's"):
        PromptMetric("train_error").of_stored(stored)


def test_a_config_that_says_nothing_takes_what_the_zoo_says() -> None:
    schema = example_schema(prompt_metric="train_loss")
    assert prompt_metric.of(tiny.tiny_config(), schema).name == "train_loss"
    assert prompt_metric.of(tiny.tiny_config()).name == "validation_loss"
    asked = tiny.tiny_config(training__metric="test_error")
    assert prompt_metric.of(asked, schema).name == "test_error"


@pytest.mark.parametrize(
    ("asked", "more", "message"),
    [
        ("test_return", {}, "training.metric='test_return' is unknown; use train_loss"),
        ("error", {}, "training.metric='error' is unknown"),
    ],
)
def test_metrics_that_tasks_have_not_got_are_refused(
    asked: str, more: dict[str, Any], message: str
) -> None:
    config = tiny.tiny_config(training__metric=asked, **more)
    with pytest.raises(UserError, match=message.replace(".", r"\.")):
        prompt_metric.check(config, families.build(config))

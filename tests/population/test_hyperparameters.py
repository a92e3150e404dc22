"""Hyperparameters are drawn within their ranges, and ranges that cannot be are refused."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.population import hyperparameters
from mole_jax.population.hyperparameters import Hyperparameters

CONFIG = {
    "learning_rate": (1e-4, 1e-1),
    "weight_decay": (0.01, 0.5),
    "init_scale": (0.5, 2.0),
    "optimizers": ("sgd", "adam"),
}


@functools.cache
def draw(**changes: Any) -> Hyperparameters:
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = jax.jit(jax.vmap(lambda key: hyperparameters.draw({**CONFIG, **changes}, key)))(keys)
    return jax.tree.map(np.asarray, drawn)


def test_draws_lie_in_their_ranges_and_fill_them() -> None:
    drawn = draw()
    for name in ("learning_rate", "weight_decay", "init_scale"):
        low, high = np.float32(CONFIG[name])
        values = getattr(drawn, name)
        assert values.dtype == np.float32
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high
    # Log-uniform: half of the values lie below the geometric mean; uniform: below the middle.
    assert np.mean(drawn.learning_rate < 10**-2.5) == pytest.approx(0.5, abs=0.05)
    assert np.mean(drawn.init_scale < 1) == pytest.approx(0.5, abs=0.05)
    assert np.mean(drawn.weight_decay < 0.255) == pytest.approx(0.5, abs=0.05)
    assert np.mean(drawn.optimizer) == pytest.approx(0.5, abs=0.05)


def test_hyperparameters_are_independent() -> None:
    drawn = draw()
    correlations = np.corrcoef([np.log(drawn.learning_rate), drawn.weight_decay, drawn.init_scale])
    assert np.abs(correlations[np.triu_indices(3, 1)]).max() < 0.1


def test_a_range_of_one_value_gives_that_value() -> None:
    drawn = draw(
        learning_rate=(3e-3, 3e-3),
        weight_decay=(0.0, 0.0),
        init_scale=(0.7, 0.7),
        optimizers=("sgd",),
    )
    assert np.all(drawn.learning_rate == np.float32(3e-3))
    assert np.all(drawn.weight_decay == 0)
    assert np.all(drawn.init_scale == np.float32(0.7))
    assert np.all(drawn.optimizer == hyperparameters.OPTIMIZERS.index("sgd"))


def test_no_draw_leaves_a_narrow_range() -> None:
    low, high = np.float32(3e-3), np.nextafter(np.float32(3e-3), np.float32(1))
    values = draw(learning_rate=(float(low), float(high))).learning_rate
    assert low <= values.min() <= values.max() <= high


def test_possible_ranges_are_accepted() -> None:
    hyperparameters.check(CONFIG)
    hyperparameters.check({**CONFIG, "weight_decay": (0.0, 0.0), "learning_rate": (1e-3, 1e-3)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learning_rate": (0.0, 0.1)}, r"learning_rate=\(0.0, 0.1\) .* 0 < low <= high"),
        ({"learning_rate": (0.2, 0.1)}, "learning_rate"),
        ({"learning_rate": (0.1, float("inf"))}, "learning_rate"),
        ({"learning_rate": (float("nan"), 0.1)}, "learning_rate"),
        ({"learning_rate": (0.1,)}, "learning_rate"),
        ({"weight_decay": (-0.1, 0.1)}, "weight_decay=.* 0 <= low <= high"),
        ({"init_scale": (0.0, 1.0)}, "init_scale"),
        ({"optimizers": ("adam", "lion")}, "optimizers=.*lion.* must be among"),
        ({"optimizers": ()}, "optimizers"),
    ],
)
def test_impossible_ranges_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        hyperparameters.check({**CONFIG, **changes})

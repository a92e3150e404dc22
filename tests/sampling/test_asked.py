"""What a model is asked for is checked, and what it misses is said."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

from mole_jax.core.errors import UserError
from mole_jax.sampling.asked import Asked
from mole_jax.sampling.model import Model
from mole_jax.zoo.prompt_metric import PromptMetric

LOSS, ERROR = (Asked(PromptMetric(f"test_{kind}"), None) for kind in ("loss", "error"))


def test_networks_far_from_the_target_are_noticed() -> None:
    """Of three classes guessing has 1.1 nats; the first line is what the demo's networks reach."""
    for target, found in ((0.05, 0.2), (0.3, 0.6), (1.0, 1.35), (1.5, 1.0), (1.5, 1.8)):
        assert LOSS.miss(target, jnp.full(8, found), 3) == ""
    for target, found in ((0.05, 1.8), (0.05, 5.0), (1.5, 0.1), (0.3, 1.1)):
        said = LOSS.miss(target, jnp.full(8, found), 3)
        assert f"{target:.3g} nats was asked for" in said
        assert f"the median of 8 networks is {found:.3g}" in said
    assert ERROR.miss(5.0, jnp.full(2, 20.0), 3) == ""
    assert "5 test error (%) was asked for" in ERROR.miss(5.0, jnp.full(2, 60.0), 3)


def test_values_are_those_that_the_metric_can_have(model: Model) -> None:
    with pytest.raises(UserError, match=r"target_loss=101 must lie in 0\.\.100"):
        ERROR.target(model.learner, model.objective, 101, None)
    with pytest.raises(UserError, match=r"start_loss must be one number, or 3 of them"):
        LOSS.of_starts([0.1, 0.2], 3, 1.0)
    assert LOSS.of_starts(None, 3, 1.5).tolist() == [1.5] * 3
    assert LOSS.of_starts([1, 2, 3], 3, 1.5).tolist() == [1, 2, 3]

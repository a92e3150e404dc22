"""What a model is asked for: a value of its prompt metric, or the best that it can give."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from mole_jax.core import given
from mole_jax.core.errors import UserError
from mole_jax.tasks.environments import Environment
from mole_jax.training.learner import Learner
from mole_jax.zoo.prompt_metric import PromptMetric


@dataclasses.dataclass(frozen=True)
class Asked:
    """The metric that targets are given in, and the bounds of its values."""

    metric: PromptMetric
    environment: Environment | None  # of policies

    def target(self, learner: Learner, objective: str, loss: Any, reward: Any) -> float | None:
        """Return the value asked for, or None for the best that the model can give.

        Args:
            learner: the learner that is asked.
            objective: its name, for messages.
            loss: `target_loss` as callers give it, or None.
            reward: `target_return` as callers give it, or None.

        Raises:
            UserError: for targets that this model cannot be asked for.
        """
        uses = learner.uses
        if loss is None and reward is None:
            if uses.target_metric and not uses.best:
                raise UserError(
                    "give one of target_loss and target_return: this model was trained with "
                    "training.best_prompts=0 and must be asked for a number"
                )
            return None
        if not uses.target_metric:
            raise UserError(
                f"the {objective} model takes no target: leave target_loss and target_return out"
            )
        if loss is not None and reward is not None:
            raise UserError("give one of target_loss and target_return, not both")
        if reward is None:
            return self._value("target_loss", loss)
        if self.environment is None:
            raise UserError("target_return is for policies: give target_loss")
        horizon = self.environment.horizon
        reward = given.real("target_return", reward, 0, horizon)
        return reward if self.metric.kind == "return" else 1 - reward / horizon

    def of_starts(self, loss: Any, n: int, usual: float) -> np.ndarray:
        """Return the metric of n starts [n]: one number or [n] as given, else `usual`.

        Raises:
            UserError: for another shape, and for values that the metric cannot have.
        """
        if loss is None:
            return np.full(n, usual, np.float32)
        each = given.array("start_loss", loss)
        if each.shape not in ((), (n,)):
            raise UserError(
                f"start_loss must be one number, or {n} of them, not of shape {list(each.shape)}"
            )
        found = [self._value("start_loss", one) for one in ([loss] if each.ndim == 0 else each)]
        return np.full(n, found, np.float32)

    def miss(self, target: float | None, metric: jax.Array, n_classes: int) -> str:
        """Describe how far networks [n] are from the target; "" where they are near."""
        if target is None or given.is_traced(metric):
            return ""
        found = float(np.median(metric))
        # A third of the way to guessing; networks asked for a high loss scatter more.
        guess = {"error": 100 * (1 - 1 / n_classes), "accuracy": 1 - 1 / n_classes}
        limit = guess.get(self.metric.kind, math.log(n_classes) + 0.75 * target) / 3
        if abs(found - target) <= limit:
            return ""
        which = "it is" if len(metric) == 1 else f"the median of {len(metric)} networks is"
        return (
            f"predict: {target:.3g} {self._unit} was asked for, but on the support set {which} "
            f"{found:.3g}: check that pixels and labels are as in training, and that the model was "
            "trained on such tasks and targets"
        )

    def _value(self, name: str, value: Any) -> float:
        """Check a value of the metric, such as a loss."""
        largest = {"error": 100.0, "accuracy": 1.0}.get(self.metric.kind, given.LARGEST)
        if self.metric.kind == "return" and self.environment is not None:
            largest = self.environment.horizon
        return given.real(name, value, 0, largest, f"a number of {self._unit}")

    @property
    def _unit(self) -> str:
        return "nats" if self.metric.kind == "loss" else self.metric.words

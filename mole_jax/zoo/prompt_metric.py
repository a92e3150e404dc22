"""The prompt metric: `config.training.metric`, or the zoo's own.

A name is a pool and a kind, such as `validation_loss`, `test_error` or `test_return`. Zoos of
classifiers store accuracies; errors, in percent, follow from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.population import member
from mole_jax.tasks.family import TaskFamily
from mole_jax.zoo.storage.reader import Zoo
from mole_jax.zoo.storage.schema import PROMPT_METRIC, ZooSchema

POOLS = ("train", "validation", "test")
KINDS = ("loss", "error", "accuracy", "return")
# As G.pt's data sets abbreviate them.
_SHORT = {"err": "error", "acc": "accuracy", "ret": "return"}


@dataclasses.dataclass(frozen=True)
class PromptMetric:
    """A metric of a network on a pool, and how it follows from what is stored and measured."""

    name: str

    @property
    def pool(self) -> str:
        """Where it is measured: the validation pool, unless the name says otherwise."""
        return next((pool for pool in POOLS if pool in self.name.split("_")), "validation")

    @property
    def kind(self) -> str:
        """One of KINDS: a loss in nats, unless the name says otherwise."""
        last = self.name.rpartition("_")[2]
        last = _SHORT.get(last, last)
        return last if last in KINDS else "loss"

    @property
    def larger_is_better(self) -> bool:
        return self.kind in ("accuracy", "return")

    @property
    def words(self) -> str:
        """For a person: "test error (%)"."""
        return self.name.replace("_", " ") + (" (%)" if self.kind == "error" else "")

    def stored_as(self, stored: tuple[str, ...]) -> str:
        """Return the stored metric that it follows from.

        Raises:
            UserError: where there is none.
        """
        if self.name in stored:
            return self.name
        accuracy = f"{self.name.removesuffix('_error')}_accuracy"
        if self.name.endswith("_error") and accuracy in stored:
            return accuracy
        raise UserError(
            f"training.metric={self.name!r} is none of the zoo's: it has {', '.join(stored)}; with "
            "training.metric='' it is the one that the zoo was made or imported with"
        )

    def of_stored(self, stored: Mapping[str, Any]) -> Any:
        """Return its values, from stored metrics of any shape, by name."""
        name = self.stored_as(tuple(stored))
        return stored[name] if name == self.name else 100 * (1 - stored[name])

    def of_runs(self, zoo: Zoo, run_indices: Any = None) -> Any:
        """Return its values [run, snapshot] of the given runs; all without them."""
        name = self.stored_as(zoo.schema.metrics)
        return self.of_stored({name: zoo.metric(name, run_indices)})

    def of_measured(self, loss: Any, score: Any, score_unit: float) -> Any:
        """Return its values, from a loss and a score on its pool (see `DeviceData.measure`).

        Args:
            loss: of any shape.
            score: of the same shape, as a share of 1.
            score_unit: of the task family, whose scores are in it.
        """
        if self.kind == "error":
            return 100 * (1 - score)
        return loss if self.kind == "loss" else score * score_unit


def of(config: Mapping[str, Any], schema: ZooSchema | None = None) -> PromptMetric:
    """Return the metric of a config: "" means the zoo's own, without a zoo PROMPT_METRIC.

    Raises:
        UserError: when the zoo does not have it.
    """
    own = schema.prompt_metric if schema is not None else PROMPT_METRIC
    found = PromptMetric(config["training"].get("metric", "") or own)
    if schema is not None:
        found.stored_as(schema.metrics)
    return found


def check(config: Mapping[str, Any], family: TaskFamily) -> None:
    """Raise UserError for a `training.metric` that tasks of the family lack."""
    asked = config["training"].get("metric", "")
    known = member.metrics(family.score)
    if family.score == "accuracy":
        known += tuple(f"{pool}_error" for pool in POOLS)
    if asked and asked not in known:
        raise UserError(
            f"training.metric={asked!r} is unknown; use {', '.join(known)}, or '' for what the zoo "
            "says"
        )
    if asked.startswith("train_") and not family.labelled and config["population"]["shared_start"]:
        raise UserError(
            f"training.metric={asked!r} measures policies while they are trained, and "
            "the new starts of population.shared_start lack it: use a validation or test metric"
        )

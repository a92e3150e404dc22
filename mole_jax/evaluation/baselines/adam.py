"""Adam on the zoo's training pool, from the same starts: what generation is measured against."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import numpy as np

from mole_jax.evaluation.baselines import training
from mole_jax.evaluation.baselines.training import Curves
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Episodes, Label, Request, Uses

# Kinds of start that `fine_tuning` compares, besides one for each learner: its trainings share
# Adam's compiled function.
FINE_TUNING_STARTS = 3


class AdamRate(NamedTuple):
    """Learning rates, and their validation losses on training subsets."""

    rates: np.ndarray  # [rates]
    validation_loss: np.ndarray  # [rates]
    chosen: np.ndarray  # []


class AdamCurves(NamedTuple):
    """Adam from the starts of a split."""

    steps: np.ndarray  # [S]
    test_loss: np.ndarray  # [T, N, S]
    validation_loss: np.ndarray  # [T, N, S]
    test_score: np.ndarray  # [T, N] at the end
    seconds_per_network: np.ndarray  # []


@dataclasses.dataclass(frozen=True, eq=False)
class Adam:
    """Trains every episode's network on the task's training pool; theta is the learning rate."""

    context: EvalContext

    name: ClassVar[str] = "adam"
    label: ClassVar[Label] = Label(
        "Adam", "Ordinary training on the whole training pool, from the same starts."
    )
    uses: ClassVar[Uses] = Uses(support=False, target_metric=False, samples=False, pool=True)

    @property
    def network(self) -> Network:
        return self.context.family.network

    def adapt(
        self, theta: AdamRate, episodes: Episodes, request: Request, key: jax.Array
    ) -> np.ndarray:
        """Return the networks [B, D] that training ends with; those of a task share minibatches."""
        flat = np.asarray(episodes.start)
        tasks, group, counts = np.unique(episodes.task, return_inverse=True, return_counts=True)
        place = np.empty(len(flat), int)  # each episode's position among those of its task
        place[np.argsort(group, kind="stable")] = np.concatenate([np.arange(n) for n in counts])
        starts = np.zeros((len(tasks), counts.max(), flat.shape[1]), np.float32)
        starts[group, place] = flat
        rates = np.full(starts.shape[:2], theta.chosen, np.float32)
        return run(self.context, tasks, starts, rates, key).networks[group, place]


def choose(context: EvalContext, split: str, results: Results) -> AdamRate:
    """Choose the rate with the lowest mean final validation loss on training subsets."""
    rates = np.array(context.evaluation["adam_rates"])
    episodes = context.choice
    starts = np.repeat(episodes.starts[:, :1], len(rates), axis=1)
    each = np.broadcast_to(rates, (len(episodes.tasks), len(rates)))
    curves = run(context, episodes.tasks, starts, each, context.key("adam"))
    loss = np.nan_to_num(curves.metrics["validation_loss"][:, :, -1].mean(0), nan=np.inf)
    return AdamRate(rates, loss, rates[np.argmin(loss)])


def from_starts(context: EvalContext, split: str, results: Results) -> AdamCurves:
    """Train with the chosen rate from the starts of a split."""
    episodes = context.splits[split]
    rates = np.full(episodes.shape, results.of(RATE).chosen, np.float32)
    curves = run(context, episodes.tasks, episodes.starts, rates, context.key("adam"))
    return AdamCurves(
        steps=curves.steps,
        test_loss=curves.metrics["test_loss"],
        validation_loss=curves.metrics["validation_loss"],
        test_score=curves.metrics["test_score"][..., -1],
        seconds_per_network=np.array(curves.seconds_per_network),
    )


def run(
    context: EvalContext, tasks: np.ndarray, starts: np.ndarray, rates: np.ndarray, key: jax.Array
) -> Curves:
    """Train from starts [T, M, D] with rates [T, M] on the training pool of tasks [T].

    Networks of a task share minibatches, which depend on the key and the task alone.
    """
    section, members = context.evaluation, rates.shape[1]
    # Padded to one size, all calls share one program. Where networks train one after another,
    # padding would take longer than compiling again.
    if training.at_once(context.family.network, context.config["population"]["batch_size"]) != 1:
        fine_tuned = FINE_TUNING_STARTS + max(len(context.others), 1)
        members = max(section["starts"], len(section["adam_rates"]), fine_tuned, members)
    return training.train(
        context,
        training.recipe(context, section["curve_points"]),
        tasks,
        key,
        tasks,
        starts,
        rates,
        members=members,
        # The usual number of tasks takes two calls or more, so one is timed without compilation.
        groups=min(context.config["zoo"]["subsets_per_group"], -(-section["s0_tasks"] // 2)),
    )


def _record(context: EvalContext, split: str, results: Results) -> Record:
    return {"adam_rate": float(results.of(RATE).chosen)}


RATE = Measure("adam_rate", AdamRate, choose, "choice", record=_record)
MEASURE = Measure("adam", AdamCurves, from_starts, needs=(RATE,))

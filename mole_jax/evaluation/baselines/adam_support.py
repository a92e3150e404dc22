"""Adam on nothing but the support set: the same data that the learner is shown."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import numpy as np

from mole_jax.evaluation.baselines import baseline, training
from mole_jax.evaluation.baselines.baseline import Baseline
from mole_jax.evaluation.baselines.training import Curves
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results, labelled
from mole_jax.population.member import Recipe
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Episodes, Label, Request, Uses

# How many numbers of steps are tried.
_POINTS = 12
_GROUPS = 52


class SupportTraining(NamedTuple):
    """Rates and numbers of steps, and their validation losses on training subsets."""

    rates: np.ndarray  # [rates]
    steps: np.ndarray  # [S]
    validation_loss: np.ndarray  # [rates, S]
    chosen: np.ndarray  # [] rate
    chosen_snapshot: np.ndarray  # [] position in steps
    chosen_steps: np.ndarray  # []


@dataclasses.dataclass(frozen=True, eq=False)
class AdamSupport:
    """Trains every episode's network on its own support set; theta is the rate and the steps."""

    context: EvalContext

    name: ClassVar[str] = "adam_support"
    label: ClassVar[Label] = Label(
        "Adam, support set only",
        "Ordinary training on nothing but the examples that MOLE is shown.",
    )
    uses: ClassVar[Uses] = Uses(target_metric=False, samples=False)

    @property
    def network(self) -> Network:
        return self.context.family.network

    def adapt(
        self, theta: SupportTraining, episodes: Episodes, request: Request, key: jax.Array
    ) -> np.ndarray:
        """Return the networks [B, D] at the chosen number of steps."""
        at = int(theta.chosen_snapshot)
        return self.train(float(theta.chosen), episodes, key, at, measured=()).networks[:, 0]

    def train(
        self,
        rate: float,
        episodes: Episodes,
        key: jax.Array,
        until: int = -1,
        measured: tuple[str, ...] = ("validation",),
    ) -> Curves:
        """Train at one learning rate: curves [B, 1, S] on pools, and the last networks.

        `until` is the position of the last snapshot; later steps would not change the earlier ones.
        """
        each, recipe = len(episodes.task), training.recipe(self.context, _POINTS)
        assert isinstance(recipe, Recipe)  # PPO does not train on labelled examples
        recipe = dataclasses.replace(recipe, measured=measured)
        if recipe.schedule == "constant":
            steps = recipe.snapshot_steps[: until + 1 or None]
            if not measured:  # nothing is measured on the way
                steps = tuple(dict.fromkeys((0, steps[-1])))
            recipe, until = dataclasses.replace(recipe, snapshot_steps=steps), -1
        return training.train(
            self.context,
            recipe,
            np.asarray(episodes.task),
            key,
            np.arange(each),
            np.asarray(episodes.start)[:, None],
            np.full((each, 1), rate, np.float32),
            members=1,
            groups=min(self.context.config["zoo"]["subsets_per_group"], _GROUPS),
            dataset=episodes.support,
            keep=until,
        )


def choose(context: EvalContext, split: str, results: Results) -> SupportTraining:
    """Choose the rate and number of steps with the lowest mean validation loss on training subsets.

    Too many steps overfit a support set. The number chosen here is early stopping, as anyone who
    has other data subsets could do it.
    """
    return tuned(context, context.choice.flat())


def tuned(context: EvalContext, episodes: Episodes) -> SupportTraining:
    """Try all rates and numbers of steps on episodes of training subsets; see `choose`."""
    rates, solver = np.array(context.evaluation["adam_rates"]), AdamSupport(context)
    key = context.key(solver.name)
    every = [solver.train(float(rate), episodes, key) for rate in rates]
    loss = np.array([curves.metrics["validation_loss"].mean((0, 1)) for curves in every])
    table = np.nan_to_num(loss, nan=np.inf)  # [rates, S]
    best_rate, best_step = np.unravel_index(np.argmin(table), table.shape)
    steps = every[0].steps
    chosen = (rates[best_rate], np.array(best_step), steps[best_step])
    return SupportTraining(rates, steps, table, *chosen)


def _record(context: EvalContext, split: str, results: Results) -> Record:
    choice = results.of(CHOSEN)
    return {
        "adam_support_rate": float(choice.chosen),
        "adam_support_steps": int(choice.chosen_steps),
    }


CHOSEN = Measure(
    "adam_support_training", SupportTraining, choose, "choice", applies=labelled, record=_record
)
MEASURE = baseline.of_solver(AdamSupport.name, AdamSupport, CHOSEN, labelled)
BASELINE = Baseline(AdamSupport.label, MEASURE)

"""The section `evaluation` of a config: what is measured of a meta-model, and how often."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.core.program.sections import read
from mole_jax.learners import polish
from mole_jax.tasks import networks

_AT_LEAST = {
    "starts": 1,
    "s0_tasks": 1,
    "prompt_count": 2,
    "adam_steps": 0,
    "curve_points": 2,
    "soup_size": 1,
    "ensemble_size": 2,
    "ensemble_tasks": 1,
    "novelty_count": 1,
    "few_shot_networks": 1,
    "warped_copies": 0,
    "sampler_batch": 1,
    "bootstrap": 1,
}
_POSITIVE_LISTS = (
    "outside_prompts",
    "table_prompts",
    "candidates",
    "adam_rates",
    "noise_sigmas",
    "support_sizes",
)
PROMPTS = ("best", "chosen")


@dataclasses.dataclass(frozen=True)
class TargetsConfig:
    """What S1 should reach, as fractions of 1; 0 sets no target."""

    regret: float = 0.01  # largest regret
    score: float = 0.97  # smallest mean score on the test pool
    r2: float = 0.95  # smallest R² of prompts
    support_gap: float = 0.5  # smallest condition-use gap of the support set
    milliseconds: float = 20.0  # longest time of one predicted network
    share_of_adam: float = 0.0  # smallest share of the score that Adam reaches


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """What is measured of the trained learners, and how often: the section `evaluation`."""

    # What is measured: ("all",), or names of `selection.MEASURES`; what these need is measured,
    # too, and so is the quality of generated networks.
    measures: tuple[str, ...] = ("all",)
    starts: int = 4  # networks of each S1 data subset, from the starts of its first runs
    s0_tasks: int = 52  # training subsets whose held-out runs make up S0; as many for choices
    prompt_count: int = 20  # prompts of each network, evenly spaced from the best to its start's
    # (best, share): prompts go from this metric to this share of the start's; empty: from the
    # median of the zoo's last snapshots to the start's
    prompt_range: tuple[float, ...] = ()
    # Prompts beyond the zoo's range, as fractions of its lowest loss; if larger is better, its best
    # metric divided by these.
    outside_prompts: tuple[float, ...] = (0.8, 0.6, 0.4)
    # Prompts in the table of prompts and answers: losses in nats, or in the unit of
    # training.metric.
    table_prompts: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1, 0.05)
    # What most measures ask for. best: as good as you can, if the model has learned that
    # (training.best_prompts). chosen, or if it has not: one of evaluation.candidates.
    prompt: str = "best"
    # Numbers among which the prompt is chosen on training subsets.
    candidates: tuple[float, ...] = (0.3, 0.2, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01)
    # Learning rates among which Adam's is chosen on training subsets.
    adam_rates: tuple[float, ...] = (1e-3, 3e-3, 1e-2, 3e-2)
    adam_steps: int = 0  # steps of Adam as a baseline; 0: as many as the population's
    curve_points: int = 40  # snapshots of Adam's loss curve
    soup_size: int = 16  # networks averaged into a soup
    # Noise levels, in units of a tensor's spread over the zoo; one is chosen on training subsets.
    noise_sigmas: tuple[float, ...] = (0.02, 0.05, 0.1, 0.2)
    ensemble_size: int = 16  # networks of an ensemble
    ensemble_tasks: int = 16  # data subsets on which ensembles are made
    # Support-set sizes per class: those below data.support_per_class, and that, are evaluated.
    support_sizes: tuple[int, ...] = (1, 2, 4, 7)
    # Examples per class, up to data.support_per_class, at which every learner is compared with
    # classical ones; empty: no comparison.
    shots: tuple[int, ...] = ()
    few_shot_networks: int = 8  # networks averaged in that comparison
    # Numbers of gradient steps more on the support set, among which, and 0, one is chosen on
    # training subsets for a second row of each of MOLE's learners; empty: no such row.
    polish_steps: tuple[int, ...] = ()
    # Above 0, Adam, 1-NN and SVM are also given this many warped copies of each support image.
    warped_copies: int = 0
    novelty_count: int = 100  # networks whose distance to the training runs is measured
    sampler_batch: int = 64  # networks in one call of the sampler
    bootstrap: int = 2000  # resamples for each interval
    targets: TargetsConfig = TargetsConfig()  # what S1 should reach, as fractions of 1

    def check(self) -> None:
        """Raise UserError for impossible values, naming the key."""
        for name, least in _AT_LEAST.items():
            if getattr(self, name) < least:
                raise UserError(f"evaluation.{name}={getattr(self, name)} must be {least} or more")
        for name in _POSITIVE_LISTS:
            values = getattr(self, name)
            if not values or not all(0 < value < math.inf for value in values):
                raise UserError(f"evaluation.{name}={values} must be one or more positive numbers")
        if self.prompt not in PROMPTS:
            raise UserError(f"evaluation.prompt={self.prompt!r} is unknown; there are {PROMPTS}")
        asked = self.prompt_range
        if len(asked) not in (0, 2) or not all(0 <= value < math.inf for value in asked):
            raise UserError(
                f"evaluation.prompt_range={asked} must be empty, or (best, share), neither negative"
            )
        for name, value in dataclasses.asdict(self.targets).items():
            if not 0 <= value < math.inf:
                raise UserError(
                    f"evaluation.targets.{name}={value} must not be negative; 0 asks for nothing"
                )
        if not all(value < 1 for value in self.outside_prompts):
            raise UserError(
                f"evaluation.outside_prompts={self.outside_prompts} must be fractions below 1"
            )
        for name in ("support_sizes", "shots", "polish_steps"):
            values = getattr(self, name)
            if not all(isinstance(size, int) and size > 0 for size in values):
                raise UserError(f"evaluation.{name}={values} must be whole numbers, 1 or more")
        if max(self.polish_steps, default=0) > polish.MOST:
            raise UserError(
                f"evaluation.polish_steps={self.polish_steps} must be {polish.MOST:,} or fewer"
            )


def check(config: Mapping[str, Any]) -> None:
    """Raise UserError for an impossible evaluation, naming the key."""
    section = config["evaluation"]
    read(EvaluationConfig, section, "evaluation").check()
    held_out, members = config["data"]["held_out_subsets"], config["population"]["members"]
    if held_out and section["starts"] > members:
        raise UserError(
            f"evaluation.starts={section['starts']} is more than the population.members={members} "
            "that a data subset has; lower it"
        )
    if not held_out and not config["population"]["held_out_members"]:
        raise UserError(
            "nothing is held out to evaluate on; raise data.held_out_subsets or "
            "population.held_out_members"
        )
    _check_shots(config)


def _check_shots(config: Mapping[str, Any]) -> None:
    """Raise UserError for shots that support sets cannot provide."""
    shots, most = compat.get(config, "evaluation.shots"), config["data"]["support_per_class"]
    if shots and max(shots) > most:
        raise UserError(
            f"evaluation.shots={tuple(shots)}: support sets have data.support_per_class={most} "
            "examples of each class; leave out larger numbers, or raise it"
        )
    if shots and not networks.kind_of(config["network"]).classifies:
        raise UserError(
            f"evaluation.shots={tuple(shots)} need labelled examples, and network.name="
            f"{config['network']['name']!r} has none; leave it empty"
        )


def prompt_range(config: Mapping[str, Any]) -> tuple[float, ...]:
    """Return (best, share of the start's metric) of the grid of prompts, or ()."""
    return tuple(config["evaluation"].get("prompt_range", ()))


def adam_steps(config: Mapping[str, Any]) -> int:
    """Return how long Adam trains as a baseline, in steps."""
    return config["evaluation"]["adam_steps"] or config["population"]["steps"]


def support_sizes(config: Mapping[str, Any]) -> list[int]:
    """Return the examples per class to try, increasing; the last is data.support_per_class."""
    most = config["data"]["support_per_class"]
    return [*sorted({s for s in config["evaluation"]["support_sizes"] if s < most}), most]

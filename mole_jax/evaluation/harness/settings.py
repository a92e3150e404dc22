"""The `evaluation` section of a config: what its keys may be.

measures         what is measured: ("all",), or names of `selection.MEASURES`; what these need is
                 measured, too, and so is the quality of generated networks
starts           networks of each S1 data subset, from the starts of its first runs
s0_tasks         training data subsets whose held-out runs make S0; as many serve for choices
prompt_count     prompts of each network, evenly spaced from the best loss to its start's
prompt_range     (best, share): the grid goes from this metric to this share of the start's; empty:
                 from the median of the zoo's last snapshots to the start's
outside_prompts  prompts beyond the zoo's range, as fractions of its lowest loss; where larger is
                 better, its best metric over these fractions
table_prompts    asked for in the table of prompts and answers: losses in nats, or in the unit of
                 training.metric
candidates       prompts among which the fixed one is chosen on training subsets
adam_rates       learning rates among which Adam's is chosen on training subsets
adam_steps       steps of Adam as a baseline; 0: as many as the population's
curve_points     snapshots of Adam's loss curve
soup_size        networks averaged to a soup
noise_sigmas     noise in units of a tensor's spread over the zoo; chosen on training subsets
ensemble_size    networks of an ensemble
ensemble_tasks   data subsets on which ensembles are made
support_sizes    examples per class; those below data.support_per_class are tried, and it
novelty_count    networks whose distance to the training runs is measured, on either side
sampler_batch    networks in one call of the sampler
bootstrap        resamples for each interval
targets          what S1 should reach, 0 where nothing is asked: regret (at most), score,
                 share_of_adam, r2 of prompts (at least), support_gap (above), all of them
                 fractions; milliseconds (at most)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mole_jax.core.errors import UserError

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
_TARGETS = ("regret", "score", "share_of_adam", "r2", "support_gap", "milliseconds")


def check(config: Mapping[str, Any]) -> None:
    """Raises UserError for evaluation settings that cannot be done, naming the key."""
    settings = config["evaluation"]
    for name, least in _AT_LEAST.items():
        if settings[name] < least:
            raise UserError(f"evaluation.{name}={settings[name]} must be {least} or more")
    for name in _POSITIVE_LISTS:
        values = tuple(settings[name])
        if not values or not all(0 < value < float("inf") for value in values):
            raise UserError(f"evaluation.{name}={values} must be one or more positive numbers")
    asked = prompt_range(config)
    if len(asked) not in (0, 2) or not all(0 <= value < float("inf") for value in asked):
        raise UserError(
            f"evaluation.prompt_range={asked} must be empty, or (best, share), neither negative"
        )
    for name in _TARGETS:
        value = settings["targets"][name]
        if not 0 <= value < float("inf"):
            raise UserError(
                f"evaluation.targets.{name}={value} must not be negative; 0 asks for nothing"
            )
    if not all(value < 1 for value in settings["outside_prompts"]):
        raise UserError(
            f"evaluation.outside_prompts={tuple(settings['outside_prompts'])} must be fractions "
            "below 1"
        )
    if not all(isinstance(size, int) for size in settings["support_sizes"]):
        raise UserError(
            f"evaluation.support_sizes={tuple(settings['support_sizes'])} must be whole numbers"
        )
    held_out, members = config["data"]["held_out_subsets"], config["population"]["members"]
    if held_out and settings["starts"] > members:
        raise UserError(
            f"evaluation.starts={settings['starts']} is more than the population.members={members} "
            "that a data subset has; lower it"
        )
    if not held_out and not config["population"]["held_out_members"]:
        raise UserError(
            "nothing is held out to evaluate on; raise data.held_out_subsets or "
            "population.held_out_members"
        )


def prompt_range(config: Mapping[str, Any]) -> tuple[float, ...]:
    """(best, share of the start's metric) of the grid of prompts, or ()."""
    return tuple(config["evaluation"].get("prompt_range", ()))


def adam_steps(config: Mapping[str, Any]) -> int:
    """How long Adam trains as a baseline, in steps."""
    return config["evaluation"]["adam_steps"] or config["population"]["steps"]


def support_sizes(config: Mapping[str, Any]) -> list[int]:
    """Examples per class that are tried, increasing; the last is data.support_per_class."""
    most = config["data"]["support_per_class"]
    return [*sorted({s for s in config["evaluation"]["support_sizes"] if s < most}), most]

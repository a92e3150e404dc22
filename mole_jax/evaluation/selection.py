"""All measures, and which of them a config selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mole_jax.core import compat
from mole_jax.core.devices import distributed
from mole_jax.core.errors import UserError
from mole_jax.core.program.config import nearest
from mole_jax.evaluation.baselines.roster import BASELINES
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, with_needs
from mole_jax.evaluation.measures import (
    abstention,
    calibration,
    conditions,
    ensembles,
    few_shot,
    fine_tuning,
    informative_starts,
    learner_costs,
    learning_curves,
    novelty,
    numbered,
    one_task,
    prompt_following,
    quality,
    support_sizes,
    timing,
    trajectories,
)

ALL = "all"

# What these need is added below. Baselines come before `quality`, which compares those that run.
_LISTED = (
    *(baseline.measure for baseline in BASELINES),
    quality.MEASURE,
    numbered.MEASURE,
    prompt_following.MEASURE,
    conditions.MEASURE,
    novelty.MEASURE,
    fine_tuning.MEASURE,
    informative_starts.MEASURE,
    ensembles.MEASURE,
    calibration.MEASURE,
    abstention.MEASURE,
    support_sizes.MEASURE,
    few_shot.MEASURE,
    trajectories.MEASURE,
    one_task.MEASURE,
    timing.MEASURE,
    learner_costs.MEASURE,
    learning_curves.MEASURE,
)
MEASURES = {measure.name: measure for measure in with_needs(_LISTED)}


def selected(config: Mapping[str, Any]) -> list[Measure[Any]]:
    """Return the measures of `config.evaluation.measures`, plus `quality` and what they need.

    Each measure comes after those it needs.

    Raises:
        UserError: if no measure has such a name.
    """
    asked = tuple(compat.get(config, "evaluation.measures"))
    for name in asked:
        if name not in (ALL, *MEASURES):
            close = nearest(str(name), MEASURES)
            hint = f"; did you mean {close}?" if close else ""
            raise UserError(
                f"evaluation.measures names {name!r}; there are {ALL}, {', '.join(MEASURES)}{hint}"
            )
    if ALL in asked:
        return list(MEASURES.values())
    needed = with_needs([quality.MEASURE, *(MEASURES[name] for name in asked)])
    return [measure for measure in MEASURES.values() if measure in needed]


def applicable(context: EvalContext, measures: Sequence[Measure[Any]]) -> list[Measure[Any]]:
    """Return the measures that apply to these tasks; log which, if the config selects only some.

    A measure applies only if those it needs apply.
    """
    found: list[Measure[Any]] = []
    for measure in measures:
        if measure.applies(context) and set(measure.needs) <= set(found):
            found.append(measure)
    if len(measures) < len(MEASURES) and distributed.is_first():
        print(f"evaluate: measures {', '.join(m.name for m in found)}", flush=True)
        for measure in measures:
            if measure not in found:
                print(f"evaluate: {measure.name} does not apply to these tasks", flush=True)
    return found

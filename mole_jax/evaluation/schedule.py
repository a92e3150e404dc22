"""The parts of the evaluation: what each is called and which function computes it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mole_jax.evaluation import generated
from mole_jax.evaluation.baselines import adam, adam_support, copies, noise, retrieval
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.measures import (
    calibration,
    conditions,
    ensembles,
    fine_tuning,
    originality,
    prompts,
    support_sizes,
    timing,
    trajectories,
)
from mole_jax.evaluation.parts import Compute, Done, Found


def choices(bench: Bench) -> dict[str, Compute]:
    """All that is chosen, by training subsets' validation pools; none needs another part."""
    each = functools.partial
    found: dict[str, Compute] = {
        **{f"prompt.{name}": each(prompts.choose, bench, name) for name in bench.predictors},
        "adam.choice": each(adam.choose, bench),
        "noise.choice": each(noise.choose, bench),
    }
    if bench.family.labelled:
        found["adam_support.choice"] = each(adam_support.choose, bench)
    return found


def results(bench: Bench) -> dict[str, Compute]:
    """What is measured on each split, then what is looked at on the main split alone.

    Each part may use the choices and the parts before it.
    """
    found: dict[str, Compute] = {}

    def add(name: str, function: Callable[..., Found], *arguments: Any) -> None:
        found[name] = functools.partial(function, bench, *arguments)

    for split in bench.splits:
        for objective in bench.predictors:
            add(f"generated.{objective}.{split}", at_fixed_prompt, objective, split)
        add(f"prompts.{split}", prompts.follow, split)
        add(f"conditions.{split}", conditions.swap, split)
        add(f"adam.{split}", adam.from_starts, split)
        if bench.family.labelled:
            add(f"adam_support.{split}", adam_support.from_starts, split)
        add(f"neighbours.{split}", retrieval.neighbours, split)
        add(f"copies.{split}", copies.copy, split)
        add(f"distances.{split}", originality.distances, split)
        add(f"variety.{split}", originality.variety, split)
        if bench.family.labelled:
            add(f"mistakes.{split}", originality.mistakes, split)
    add("fine_tuning", fine_tuning.continued, bench.main)
    if bench.family.labelled:
        add("ensembles", ensembles.average, bench.main)
        add("calibration", calibration.outside, bench.main)
    add("support_sizes", support_sizes.score, bench.main)
    add("trajectories", trajectories.project, bench.main)
    add("timing", timing.of_sampling)
    return found


def at_fixed_prompt(bench: Bench, objective: str, split: str, done: Done) -> Found:
    """The networks that everything else is about: each case predicted once, at the fixed prompt."""
    cases, predictor = bench.splits[split], bench.predictors[objective]
    target = float(done[f"prompt.{objective}"]["chosen"])
    flat = generated.predict(predictor, cases, target, bench.key(f"generated {split}"))
    return generated.judged(
        predictor, bench.family.device_data, cases, flat, labelled=bench.family.labelled
    )

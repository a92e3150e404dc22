"""Prompts: which one to use for all, and whether networks follow the one they are given."""

from __future__ import annotations

import numpy as np

from mole_jax.evaluation import measure, settings
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.cases import Cases
from mole_jax.evaluation.generated import predict
from mole_jax.evaluation.parts import Done, Found


def choose(bench: Bench, objective: str, done: Done) -> Found:
    """The candidate prompt with the best mean validation score on training subsets.

    Of equally good ones that with the lower validation loss. Each objective has its own.
    """
    candidates = np.array(bench.settings["candidates"])  # [P]
    cases = bench.choice
    asked = np.broadcast_to(candidates, (*cases.shape, len(candidates)))
    flat = predict(bench.predictors[objective], cases, asked, bench.key(f"choose {objective}"))
    loss, score = measure.on_pool(
        bench.family.network,
        bench.family.device_data,
        "validation",
        flat,
        cases.tasks[:, None, None],
    )  # [T, N, P]
    loss, score = loss.mean((0, 1)), score.mean((0, 1))
    best = np.lexsort((np.nan_to_num(loss, nan=np.inf), -score))[0]
    return {
        "candidates": candidates,
        "validation_score": score,
        "validation_loss": loss,
        "chosen": candidates[best],
    }


def grid(bench: Bench, cases: Cases) -> np.ndarray:
    """Prompts from the best metric to the start's, evenly spaced: [T, N, P].

    The best is the median final metric of the training runs, unless `evaluation.prompt_range` says
    which it is, and to which share of the start's prompts go. Source: Peebles et al., Learning to
    Learn with Generative Models of Neural Network Checkpoints (2022), section 4.
    """
    fraction = np.linspace(0, 1, bench.settings["prompt_count"])
    best, share = settings.prompt_range(bench.config) or (bench.training.usual_best, 1.0)
    return best + fraction * (share * cases.start_metric[..., None] - best)


def follow(bench: Bench, split: str, done: Done) -> Found:
    """What is achieved by prompt, for the first start of every task.

    Three sets of prompts: the grid (all between what the zoo ends with and its starts), `outside`
    (better than all that the zoo holds) and a short `table` of round numbers. `SET_POOL_metric` is
    what was achieved in the metric that prompts speak of.
    """
    cases = bench.splits[split].first()
    outside = np.array(bench.settings["outside_prompts"])
    if bench.metric.larger_is_better:
        outside = 1 / outside
    sets = {
        "grid": grid(bench, cases),
        "outside": bench.training.best * outside,
        "table": np.array(bench.settings["table_prompts"]),
    }
    sets = {name: np.broadcast_to(p, (*cases.shape, p.shape[-1])) for name, p in sets.items()}
    asked = np.concatenate(list(sets.values()), axis=-1)  # [T, 1, P]
    flat = predict(bench.predictors["diffusion"], cases, asked, bench.key(f"follow {split}"))
    result: Found = {}
    ends = np.cumsum([p.shape[-1] for p in sets.values()])[:-1]
    result |= _split("prompts", sets, asked, ends)
    for pool in ("test", "validation"):
        loss, score = measure.on_pool(
            bench.family.network,
            bench.family.device_data,
            pool,
            flat,
            cases.tasks[:, None, None],
        )
        achieved = bench.metric.of_measured(loss, score, bench.family.score_unit)
        result |= _split(f"{pool}_metric", sets, achieved, ends)
        result |= _split(f"{pool}_loss", sets, loss, ends)
        result |= _split(f"{pool}_score", sets, score, ends)
    return result


def _split(
    what: str, sets: dict[str, np.ndarray], values: np.ndarray, ends: np.ndarray
) -> dict[str, np.ndarray]:
    """Values [T, 1, P] of all prompts -> {"grid_WHAT": [T, p], ...}."""
    parts = np.split(values[:, 0], ends, axis=-1)
    return {f"{name}_{what}": part for name, part in zip(sets, parts, strict=True)}

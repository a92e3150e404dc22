"""From measured arrays to the record of one split: quality, regret, baselines and the rest."""

from __future__ import annotations

from typing import Any

import numpy as np

from mole_jax.evaluation import statistics
from mole_jax.evaluation.baselines import copies
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.measures import calibration, novelty
from mole_jax.evaluation.parts import Arrays, Done
from mole_jax.population import recipes

Record = dict[str, Any]


def of_split(bench: Bench, split: str, done: Done) -> Record:
    """R of one split, as `evaluation.json` holds it."""
    generated, trained = done[f"generated.diffusion.{split}"], done[f"adam.{split}"]
    followed = done[f"prompts.{split}"]
    n_tasks, n_starts = bench.splits[split].shape
    mean, interval = statistics.paired_gain(
        trained["test_score"], generated["test_score"], n_boot=bench.settings["bootstrap"]
    )
    steps = statistics.equivalent_steps(
        trained["test_loss"], trained["steps"], generated["test_loss"]
    )
    record: Record = {
        "n_tasks": n_tasks,
        "n_networks": n_tasks * n_starts,
        "metric": bench.family.score,
        "prompt_metric": bench.metric.name,
        "fixed_prompt": float(done["prompt.diffusion"]["chosen"]),
        "generated": _quality(bench, split, done, generated, "test"),
        "adam": _quality(bench, split, done, _final(trained), "test"),
        "regret_mean": mean,
        "regret_ci95": list(interval),
        "prompt_alignment": _alignment(followed, "grid", "test"),
        "prompt_alignment_validation": _alignment(followed, "grid", "validation"),
        # The grid runs from the best loss to the start's: it is what lies inside the zoo's range.
        "alignment_inside": _alignment(followed, "grid", "test"),
        "alignment_outside": _alignment(followed, "outside", "test"),
        "achieved_by_prompt": _by_prompt(followed, bench.family.score),
        "equivalent_adam_steps": steps,
        "novelty": _novelty(done, split),
        "baselines": _baselines(bench, split, done),
    }
    record |= _condition_gaps(done[f"conditions.{split}"])
    record["cost"] = _cost(bench, done, steps["median"])
    if split == bench.main:
        if bench.family.labelled:
            record["calibration"] = calibration.summary(generated, done["calibration"])
            record["ensembles"] = _ensembles(done["ensembles"])
        record["fine_tuning"] = _fine_tuning(done["fine_tuning"])
        sizes, score = done["support_sizes"]["sizes"], done["support_sizes"]["score"]
        record[f"{bench.family.score}_by_support_size"] = {
            str(int(size)): float(row.mean()) for size, row in zip(sizes, score, strict=True)
        }
    return record


def choices(done: Done) -> Record:
    """What was chosen, all of it on training subsets without a look at a test image."""
    found: Record = {
        f"fixed_prompt_{name.removeprefix('prompt.')}": float(part["chosen"])
        for name, part in done.items()
        if name.startswith("prompt.")
    }
    found["adam_rate"] = float(done["adam.choice"]["chosen"])
    if "adam_support.choice" in done:
        found["adam_support_rate"] = float(done["adam_support.choice"]["chosen"])
        found["adam_support_steps"] = int(done["adam_support.choice"]["chosen_steps"])
    return found | {"noise_sigma": float(done["noise.choice"]["chosen"])}


def baseline_names(bench: Bench) -> tuple[str, ...]:
    """The baselines in the order in which they are recorded."""
    labelled = ("adam_support",) if bench.family.labelled else ()
    return (*labelled, *copies.NAMES, *(n for n in bench.predictors if n != "diffusion"))


def baseline(done: Done, split: str, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Test score and loss [T, N] of a baseline."""
    if name in copies.NAMES:
        part, prefix = done[f"copies.{split}"], f"{name}_test"
    elif name == "adam_support":
        part, prefix = done[f"adam_support.{split}"], "test"
    else:
        part, prefix = done[f"generated.{name}.{split}"], "test"
    return part[f"{prefix}_score"], part[f"{prefix}_loss"]


def _quality(bench: Bench, split: str, done: Done, part: Arrays, pool: str) -> Record:
    return statistics.quality(
        part[f"{pool}_score"],
        part[f"{pool}_loss"],
        chance=bench.family.chance,
        trained=done[f"adam.{split}"]["test_score"].mean(1),
        n_boot=bench.settings["bootstrap"],
    )


def _final(trained: Arrays) -> Arrays:
    return {"test_score": trained["test_score"], "test_loss": trained["test_loss"][..., -1]}


def _baselines(bench: Bench, split: str, done: Done) -> Record:
    found = {}
    for name in baseline_names(bench):
        score, loss = baseline(done, split, name)
        part = {"test_score": score, "test_loss": loss}
        found[name] = _quality(bench, split, done, part, "test")
        # Paired by task, so that how hard the tasks are stays out of the interval.
        gain, interval = statistics.paired_gain(
            done[f"generated.diffusion.{split}"]["test_score"],
            score,
            n_boot=bench.settings["bootstrap"],
        )
        found[name] |= {"gain_mean": gain, "gain_ci95": list(interval)}
    return found


def _alignment(followed: Arrays, prompts: str, pool: str) -> Record | None:
    asked, achieved = followed[f"{prompts}_prompts"], followed[f"{prompts}_{pool}_metric"]
    # Prompts that are all the same have no spread for R² to explain.
    return (
        statistics.prompt_alignment(asked, achieved) if np.ptp(asked, axis=1).min() > 1e-6 else None
    )


def _by_prompt(followed: Arrays, score: str) -> Record:
    return {
        f"{prompt:g}": {
            "test_loss": float(followed["table_test_loss"][:, i].mean()),
            "test_loss_median": float(np.median(followed["table_test_loss"][:, i])),
            "validation_loss": float(followed["table_validation_loss"][:, i].mean()),
            f"test_{score}": float(followed["table_test_score"][:, i].mean()),
        }
        for i, prompt in enumerate(followed["table_prompts"][0])
    }


def _condition_gaps(swapped: Arrays) -> Record:
    names = ("support", "target_metric", "start")
    right_score, right_loss = swapped["right_score"].mean(), swapped["right_loss"].mean()
    return {
        "condition_use_gap": {
            name: float(right_score - swapped[f"{name}_score"].mean()) for name in names
        },
        "condition_use_gap_loss": {
            name: float(swapped[f"{name}_loss"].mean() - right_loss) for name in names
        },
    }


def _novelty(done: Done, split: str) -> Record:
    far, wrong = done[f"distances.{split}"], done.get(f"mistakes.{split}", {})
    among = done[f"variety.{split}"]
    measured = far["generated"].size and far["held_out"].size
    found: Record = {
        "rho": novelty.rho(far["generated"], far["held_out"]) if measured else None,
        "z_u": novelty.z_u(far["generated"], far["held_out"]) if measured else None,
        "diversity": novelty.diversity(**among) if among["generated"].size else None,
        "n_generated": int(far["generated"].size),
        "n_held_out": int(far["held_out"].size),
    }
    for name, key in (("mean", "generated"), ("expected", "expected"), ("held_out", "held_out")):
        measured = key in wrong and wrong[key].size
        found[f"iou_{name}"] = float(wrong[key].mean()) if measured else None
    return found


def _cost(bench: Bench, done: Done, steps: float) -> Record:
    """Seconds and FLOPs of a prediction and of the training that it replaces.

    A training step is a forward and a backward pass, 6 FLOPs for each parameter and example.
    """
    network = bench.family.network
    examples = recipes.examples_per_step(recipes.of(bench.config["population"], network))
    trained = done[f"adam.{bench.main}"]
    adam = float(trained["seconds_per_network"])
    return {
        "seconds_per_network": float(done["timing"]["seconds_per_network"]),
        "networks_per_call": int(done["timing"]["batch"]),
        "seconds_per_network_adam": adam,
        "equivalent_adam_seconds": adam * steps / float(trained["steps"][-1]),
        "equivalent_adam_flops": 6.0 * network.spec.size * examples * steps,
    }


def _ensembles(part: Arrays) -> Record:
    def gain(kind: str) -> float:
        return float((part[f"{kind}_ensemble"] - part[f"{kind}_single"]).mean())

    return {
        "generated_gain": gain("generated"),
        "generated_gain_at_n_adam": gain("matched"),
        "adam_gain": gain("adam"),
        "generated_accuracy": float(part["generated_ensemble"].mean()),
        "adam_accuracy": float(part["adam_ensemble"].mean()),
        "n_generated": int(part["n_generated"]),
        "n_adam": int(part["n_adam"]),
        "n_tasks": len(part["generated_single"]),
    }


def _fine_tuning(part: Arrays) -> Record:
    names = [name for name in part if f"{name}_censored" in part]
    return {
        name: {
            "median_steps": float(np.median(part[name])),
            "censored": float(part[f"{name}_censored"].mean()),
        }
        for name in names
    }

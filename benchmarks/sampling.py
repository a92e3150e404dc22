"""Sampling: what each sampler costs, how good its networks are, and what Adam takes for as much.

It looks at a workdir whose evaluation is done (`make demo` makes one), and leaves it as it is.
Every sampler predicts a network for each start of the unseen data subsets, at the prompt that the
evaluation has chosen for the config's own sampler. Adam is what the evaluation compares with:
tuned rate, the same starts, the whole training pool. Steps to a loss are read off its curves on
the test pool; its seconds are measured here beside the samplers', as many networks at once, and
without measuring on the way. All of it on one device.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine
from mole_jax.core import rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation import bench as benches
from mole_jax.evaluation import generated, schedule, statistics
from mole_jax.evaluation.baselines import training
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.generated import Predictor
from mole_jax.metamodel.process.sampler import Plan

FEW_STEPS = (("ddim", 1), ("ddim", 5), ("ddim", 10), ("ddim", 25), ("heun", 5), ("heun", 10))


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--workdir", type=user_path, default="runs/digits", help="of a finished evaluation"
    )
    parser.add_argument("--rounds", type=int, default=5, help="of timing; the fastest counts")
    parser.add_argument("--quick", action="store_true", help="without ancestral in all its steps")
    flags = parser.parse_args()
    try:
        bench, done = load(flags.workdir)
    except UserError as error:
        sys.exit(f"error: {error}")
    predictors = samplers(bench, quick=flags.quick)
    quality = {}
    for name, predictor in predictors.items():
        quality[name] = quality_of(bench, predictor, done)
        print(f"{name}: {quality[name]['mean']:.2%}", flush=True)
    seconds = timings(bench, predictors, done, flags.rounds)
    report(bench, predictors, quality, seconds, done)


def load(workdir: Path) -> tuple[Bench, dict[str, Mapping[str, np.ndarray]]]:
    """The bench of a workdir on one device, and the parts of its evaluation that are used here.

    Raises:
        UserError: where that evaluation is not done.
    """
    if not stages.is_done(workdir, "evaluate"):
        raise UserError(
            f"--workdir={workdir} holds no finished evaluation: `make demo` leaves one in "
            "runs/digits"
        )
    bench = benches.load(stages.record(workdir, "evaluate")["config"], workdir)
    mesh = mesh_lib.first_device()
    alone = {k: dataclasses.replace(p, mesh=mesh) for k, p in bench.predictors.items()}
    bench = dataclasses.replace(bench, mesh=mesh, predictors=alone)
    names = [f"prompt.{name}" for name in alone] + ["adam.choice", f"adam.{bench.main}"]
    return bench, {name: _part(workdir, name) for name in names}


def _part(workdir: Path, name: str) -> dict[str, np.ndarray]:
    with np.load(workdir / "evaluate" / "parts" / f"{name}.npz") as stored:
        return {key: stored[key] for key in stored.files}


def samplers(bench: Bench, *, quick: bool) -> dict[str, Predictor]:
    """What is compared, by name."""
    diffusion = bench.predictors["diffusion"]
    n_steps = diffusion.trained.model.process.n_steps
    plans = [(name, steps) for name, steps in FEW_STEPS if steps <= n_steps]
    plans += [] if quick else [("ancestral", n_steps)]
    found = {
        f"{name}, {steps} step{'s' * (steps > 1)}": dataclasses.replace(
            diffusion, plan=Plan(name, steps, diffusion.plan.guidance)
        )
        for name, steps in plans
    }
    if "regression" in bench.predictors:
        found["regression"] = bench.predictors["regression"]
    return found


def quality_of(bench: Bench, predictor: Predictor, done: Mapping[str, Any]) -> dict[str, Any]:
    """The evaluation's record of quality, regret and worth in steps of Adam."""
    objective, split = predictor.trained.model.objective, bench.main
    bench = dataclasses.replace(bench, predictors={**bench.predictors, objective: predictor})
    found = schedule.at_fixed_prompt(bench, objective, split, done)
    adam = done[f"adam.{split}"]
    n_boot = bench.settings["bootstrap"]
    regret, interval = statistics.paired_gain(
        adam["test_score"], found["test_score"], n_boot=n_boot
    )
    return {
        **statistics.quality(
            found["test_score"],
            found["test_loss"],
            chance=bench.family.chance,
            trained=adam["test_score"].mean(1),
            n_boot=n_boot,
        ),
        "regret_mean": regret,
        "regret_ci95": list(interval),
        "equivalent_adam_steps": statistics.equivalent_steps(
            adam["test_loss"], adam["steps"], found["test_loss"]
        ),
    }


def timings(
    bench: Bench, predictors: Mapping[str, Predictor], done: Mapping[str, Any], rounds: int
) -> dict[tuple[str, int], float]:
    """Seconds of a call by (sampler, networks in it); of Adam, with all its steps, as "adam"."""
    batch = bench.predictors["diffusion"].batch
    quick: dict[Any, Callable[[], Any]] = {}
    slow: dict[Any, Callable[[], Any]] = {}
    for n in (batch, 1):
        quick["adam", n] = _adam(bench, float(done["adam.choice"]["chosen"]), n)
        for name, predictor in predictors.items():
            sides = slow if predictor.plan.name == "ancestral" else quick
            sides[name, n] = _call(bench, dataclasses.replace(predictor, batch=n), done)
    for side in (*quick.values(), *slow.values()):
        jax.block_until_ready(side())  # compiled before "timing begins", for who listens to that
    print("timing begins", flush=True)
    seconds = machine.in_turn(quick, rounds) | machine.in_turn(slow, 1)
    print("timing ends", flush=True)
    return seconds  # type: ignore[return-value]


def _call(bench: Bench, predictor: Predictor, done: Mapping[str, Any]) -> Callable[[], jax.Array]:
    """One call of a sampler on the first cases of the main split."""
    cases = bench.splits[bench.main]
    starts, metric, support = jax.tree.map(
        lambda x: np.resize(x.reshape(-1, *x.shape[2:]), (predictor.batch, *x.shape[2:])),
        (cases.starts, cases.start_metric, cases.support),
    )
    prompt = float(done[f"prompt.{predictor.trained.model.objective}"]["chosen"])
    target = np.full(predictor.batch, prompt, np.float32)
    key = rng.named(bench.root, "benchmark")
    return lambda: generated.call(predictor, starts, metric, target, support, key)


def _adam(bench: Bench, rate: float, n: int) -> Callable[[], Any]:
    """Adam on the first cases of the main split, n networks at once, measured at its ends alone.

    Those of a data subset share minibatches, as in the evaluation.
    """
    cases = bench.splits[bench.main]
    members = min(cases.shape[1], n)
    groups = -(-n // members)
    if groups * members != n:
        raise UserError(f"{n} networks are not a multiple of evaluation.starts={members}")
    rows = np.resize(np.arange(len(cases.tasks)), groups)
    return lambda: training.train(
        bench,
        training.recipe(bench, 2),
        cases.tasks[rows],
        rng.named(bench.root, "benchmark"),
        cases.tasks[rows],
        cases.starts[rows, :members],
        np.full((groups, members), rate),
        members=members,
        groups=groups,
    )


def report(
    bench: Bench,
    predictors: Mapping[str, Predictor],
    quality: Mapping[str, Any],
    seconds: Mapping[tuple[str, int], float],
    done: Mapping[str, Any],
) -> None:
    """Print the table and write the results."""
    trained = done[f"adam.{bench.main}"]
    n_steps, batch = int(trained["steps"][-1]), bench.predictors["diffusion"].batch
    rows, found = [], {}
    for name, predictor in predictors.items():
        here = quality[name]
        regression = predictor.trained.model.objective == "regression"
        steps = here["equivalent_adam_steps"]["median"]
        record = {**here, "evaluations": 1 if regression else predictor.plan.evaluations}
        for label, n in (("batch", batch), ("alone", 1)):
            each = seconds[name, n] / n
            adam = seconds["adam", n] / n * steps / n_steps
            record[label] = {
                "networks": n,
                "seconds_per_network": each,
                "networks_per_second": 1 / each,
                "adam_seconds_per_network_to_the_same_test_loss": adam,
                "times_cheaper_than_adam": adam / each,
            }
        found[name] = record
        rows.append(
            [
                name,
                record["evaluations"],
                f"{here['mean']:.1%} ({here['ci95'][0]:.1%} - {here['ci95'][1]:.1%})",
                f"{100 * here['regret_mean']:.2f}",
                f"{here['loss_mean']:.4f}",
                steps,
                record["batch"]["networks_per_second"],
                f"{record['batch']['times_cheaper_than_adam']:.2g}",
                1e3 * record["alone"]["seconds_per_network"],
                f"{record['alone']['times_cheaper_than_adam']:.2g}",
            ]
        )
    head = (
        "sampler",
        "evaluations",
        f"test {bench.family.score} (95 % interval)",
        "regret, points",
        "test loss",
        "Adam steps to it",
        f"networks/s, {batch} at once",
        "times cheaper than Adam",
        "ms, one alone",
        "times cheaper than Adam",
    )
    print(machine.table(head, rows))
    adam = {
        "rate": float(done["adam.choice"]["chosen"]),
        "steps": n_steps,
        f"mean_test_{bench.family.score}": float(trained["test_score"].mean()),
        "seconds_per_network_and_step": {
            "batch": seconds["adam", batch] / batch / n_steps,
            "alone": seconds["adam", 1] / n_steps,
        },
    }
    print(
        f"Adam: {1e6 * adam['seconds_per_network_and_step']['batch']:.1f} us a network and step "
        f"with {batch} at once, {1e6 * adam['seconds_per_network_and_step']['alone']:.1f} us alone"
    )
    machine.write(
        "sampling",
        split=bench.main,
        networks=int(np.prod(bench.splits[bench.main].shape)),
        training={k: bench.config["training"][k] for k in ("steps", "regression_steps")},
        prompts={k: float(v["chosen"]) for k, v in done.items() if k.startswith("prompt.")},
        adam=adam,
        samplers=found,
    )


if __name__ == "__main__":
    leave(explained(main))

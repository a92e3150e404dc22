"""Sampling: what each sampler costs, how good its networks are, and what Adam takes for as much.

It looks at a workdir whose evaluation is done (`make demo` makes one), and leaves it as it is.
Every sampler predicts a network for each start of the unseen data subsets, at the prompt that the
evaluation has chosen for the config's own sampler. Adam is what the evaluation compares with:
tuned rate, the same starts, the whole training pool. Steps to a loss are read off its curves on
the test pool; its seconds are measured here with the samplers', as many networks at once, and
without measuring on the way. `model.predict`, which checks what it is given and says how good its
networks are on the support set, is timed as users call it. All of it on one device.

Writes benchmarks/results/sampling.json, an entry for each workdir's name.
"""

from __future__ import annotations

import argparse
import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

import mole_jax
from benchmarks import machine, on_zoo
from mole_jax.core import rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation.baselines import adam, training
from mole_jax.evaluation.harness import prediction
from mole_jax.evaluation.harness.context import EvalContext, Predictor, load_context
from mole_jax.evaluation.harness.kept import read_all
from mole_jax.evaluation.harness.measure import Results, jobs
from mole_jax.evaluation.measures import fixed_prompt, generated, quality
from mole_jax.metamodel.process.sampler import Plan

ROOT = Path(__file__).parents[1]
# Seconds of loading a model, imports included.
LOADING = """
import sys, time
began = time.perf_counter()
import mole_jax
mole_jax.load(sys.argv[1])
print(time.perf_counter() - began)
"""
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
        context, results = load(flags.workdir)
    except UserError as error:
        sys.exit(f"error: {error}")
    predictors = samplers(context, quick=flags.quick)
    quality = {}
    for name, predictor in predictors.items():
        quality[name] = quality_of(context, predictor, results)
        print(f"{name}: {quality[name]['mean']:.2%}", flush=True)
    seconds = timings(context, predictors, results, flags.rounds)
    found = report(context, predictors, quality, seconds, results)
    found["predict"] = predicting(flags.workdir, flags.rounds)
    known = machine.known("sampling", "models")
    machine.write("sampling", models=known | {flags.workdir.name: found})


def load(workdir: Path) -> tuple[EvalContext, Results]:
    """Load the context of a workdir on one device, and the results that its evaluation kept.

    Raises:
        UserError: where that evaluation is not done.
    """
    if not stages.is_done(workdir, "evaluate"):
        raise UserError(
            f"--workdir={workdir} holds no finished evaluation: `make demo` leaves one in "
            "runs/digits"
        )
    context = load_context(stages.record(workdir, "evaluate")["config"], workdir)
    mesh = mesh_lib.first_device()
    alone = {k: dataclasses.replace(p, mesh=mesh) for k, p in context.learners.items()}
    context = dataclasses.replace(context, mesh=mesh, learners=alone)
    folder = workdir / "evaluate" / "results"
    return context, read_all(folder, context, [fixed_prompt.MEASURE, adam.MEASURE])


def samplers(context: EvalContext, *, quick: bool) -> dict[str, Predictor]:
    """Return the predictors to compare, by name."""
    main = context.learners[context.learner]
    learner = on_zoo.diffusion(main)
    n_steps = learner.model.process.n_steps
    plans = [(name, steps) for name, steps in FEW_STEPS if steps <= n_steps]
    plans += [] if quick else [("ancestral", n_steps)]
    found = {
        f"{name}, {steps} step{'s' * (steps > 1)}": sampling(
            main, Plan(name, steps, learner.plan.guidance)
        )
        for name, steps in plans
    }
    return found | {name: context.learners[name] for name in context.others}


def sampling(predictor: Predictor, plan: Plan) -> Predictor:
    """Return the same learner with another sampling plan."""
    learner = dataclasses.replace(on_zoo.diffusion(predictor), plan=plan)
    return dataclasses.replace(predictor, trained=predictor.trained._replace(learner=learner))


def quality_of(context: EvalContext, predictor: Predictor, results: Results) -> dict[str, Any]:
    """Return the evaluation's record of quality, regret and worth in steps of Adam."""
    learner, split = predictor.trained.learner.name, context.main_split
    context = dataclasses.replace(context, learners={learner: predictor}, learner=learner)
    own = Results(context, dict(results.found))
    for measure in (generated.MEASURE, quality.MEASURE):
        (job,) = (job for job in jobs(context, [measure]) if job.split == split)
        own.found[job] = measure.compute(context, split, own)
    record = quality.MEASURE.record(context, split, own)
    return {
        **record["generated"],
        **{name: record[name] for name in ("regret_mean", "regret_ci95", "equivalent_adam_steps")},
    }


def timings(
    context: EvalContext, predictors: Mapping[str, Predictor], results: Results, rounds: int
) -> dict[tuple[str, int], float]:
    """Return a call's seconds by (sampler, networks in it); those of Adam's steps as "adam"."""
    batch = context.learners[context.learner].batch
    quick: dict[Any, Callable[[], Any]] = {}
    slow: dict[Any, Callable[[], Any]] = {}
    for n in (batch, 1):
        quick["adam", n] = _adam(context, float(results.of(adam.RATE).chosen), n)
        for name, predictor in predictors.items():
            sides = slow if name.startswith("ancestral") else quick
            sides[name, n] = _call(context, dataclasses.replace(predictor, batch=n), results)
    for side in (*quick.values(), *slow.values()):
        jax.block_until_ready(side())  # compiled before "timing begins", for who listens to that
    print("timing begins", flush=True)
    seconds = machine.in_turn(quick, rounds) | machine.in_turn(slow, 1)
    print("timing ends", flush=True)
    return seconds


def _call(context: EvalContext, predictor: Predictor, results: Results) -> Callable[[], jax.Array]:
    """Return one call of a sampler on the first episodes of the main split."""
    given = prediction.seen(predictor, context.splits[context.main_split])
    row = jax.tree.map(lambda x: np.resize(x, (predictor.batch, *x.shape[1:])), given)
    chosen = results.of(fixed_prompt.MEASURE, learner=predictor.trained.learner.name).chosen
    target = np.full(predictor.batch, float(chosen), np.float32)
    key = rng.named(context.root, "benchmark")
    return lambda: prediction.call(predictor, row, target, key)


def _adam(context: EvalContext, rate: float, n: int) -> Callable[[], Any]:
    """Run Adam on the main split's first episodes, n networks at once, measured at its ends.

    Those of a data subset share minibatches, as in the evaluation.
    """
    episodes = context.splits[context.main_split]
    members = min(episodes.shape[1], n)
    groups = -(-n // members)
    if groups * members != n:
        raise UserError(f"{n} networks are not a multiple of evaluation.starts={members}")
    rows = np.resize(np.arange(len(episodes.tasks)), groups)
    return lambda: training.train(
        context,
        training.recipe(context, 2),
        episodes.tasks[rows],
        rng.named(context.root, "benchmark"),
        episodes.tasks[rows],
        episodes.starts[rows, :members],
        np.full((groups, members), rate),
        members=members,
        groups=groups,
    )


def predicting(workdir: Path, rounds: int) -> dict[str, float]:
    """Time `mole_jax.load`, and `predict` as users call it, with a support set of random numbers.

    Returns:
        Seconds: of loading in a new process, of the first call for one network, and of later ones
        for 1 and 64.
    """
    command = [sys.executable, "-c", LOADING, str(workdir)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT)
    found = {"load": float(done.stdout.splitlines()[-1])}
    model, rng_ = mole_jax.load(workdir), np.random.default_rng(0)
    uses = model.learner.uses
    target: dict[str, Any] = {"target_loss": 0.1} if uses.target_metric and not uses.best else {}
    n = model.config["data"]["support_per_class"]
    x: np.ndarray
    y = None
    if model.environment is None:
        y = np.repeat(np.arange(model.sizes[-1]), n)
        mean, std = (
            0.0 if s is None else np.mean(s) for s in (model.inputs.mean, model.inputs.std)
        )
        x = rng_.normal(mean, std, (len(y), model.inputs.size))
    else:
        x = rng_.normal(size=(n, model.learner.network.example_size))
    calls = {
        f"predict {k}": lambda k=k: model.predict(x, y, n=k, key=jax.random.key(0), **target).params
        for k in (1, 64)
    }
    began = time.perf_counter()
    jax.block_until_ready(calls["predict 1"]())
    found["first call"] = time.perf_counter() - began
    found |= machine.in_turn(calls, 4 * rounds)
    print(
        f"model.predict, {model.passes}: {1e3 * found['predict 1']:.2f} ms for one network, "
        f"{1e3 * found['predict 64'] / 64:.2f} ms each of 64; the first call "
        f"{found['first call']:.1f} s, loading {found['load']:.1f} s"
    )
    return found


def report(
    context: EvalContext,
    predictors: Mapping[str, Predictor],
    quality: Mapping[str, Any],
    seconds: Mapping[tuple[str, int], float],
    results: Results,
) -> dict[str, Any]:
    """Print the table, and return what goes into the file."""
    trained = results.of(adam.MEASURE, context.main_split)
    n_steps, batch = int(trained.steps[-1]), context.learners[context.learner].batch
    rows, found = [], {}
    for name, predictor in predictors.items():
        here = quality[name]
        one_pass = not predictor.trained.learner.uses.samples
        steps = here["equivalent_adam_steps"]["median"]
        record = {
            **here,
            "evaluations": 1 if one_pass else on_zoo.diffusion(predictor).plan.evaluations,
        }
        for label, n in (("batch", batch), ("alone", 1)):
            each = seconds[name, n] / n
            of_adam = seconds["adam", n] / n * steps / n_steps
            record[label] = {
                "networks": n,
                "seconds_per_network": each,
                "networks_per_second": 1 / each,
                "adam_seconds_per_network_to_the_same_test_loss": of_adam,
                "times_cheaper_than_adam": of_adam / each,
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
        f"test {context.family.score} (95 % interval)",
        "regret, points",
        "test loss",
        "Adam steps to it",
        f"networks/s, {batch} at once",
        "times cheaper than Adam",
        "ms, one alone",
        "times cheaper than Adam",
    )
    print(machine.table(head, rows))
    costs: dict[str, Any] = {
        "rate": float(results.of(adam.RATE).chosen),
        "steps": n_steps,
        f"mean_test_{context.family.score}": float(trained.test_score.mean()),
        "seconds_per_network_and_step": {
            "batch": seconds["adam", batch] / batch / n_steps,
            "alone": seconds["adam", 1] / n_steps,
        },
    }
    print(
        f"Adam: {1e6 * costs['seconds_per_network_and_step']['batch']:.1f} us a network and step "
        f"with {batch} at once, {1e6 * costs['seconds_per_network_and_step']['alone']:.1f} us alone"
    )
    return {
        "split": context.main_split,
        "networks": int(np.prod(context.splits[context.main_split].shape)),
        "training": {k: context.config["training"][k] for k in ("steps", "regression_steps")},
        "prompts": {
            name: float(results.of(fixed_prompt.MEASURE, learner=name).chosen)
            for name in context.learners
        },
        "adam": costs,
        "samplers": found,
    }


if __name__ == "__main__":
    leave(explained(main))

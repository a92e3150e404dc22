"""Every learner on the same tasks, after equally long meta-training: one table.

    python -m benchmarks.learners digits glyphs --folder=runs/learners --seconds=60

`digits` are new combinations of the digits that were trained on (S1). `glyphs` are characters,
known (S1) and new ones (S2), and digits of which no image was seen (S3), by learners as they come;
`equal` is the same on equal terms: ancestors that take gradient steps see the examples warped, as
MOLE does, and MOLE has what they have, places for units (one basis) and more steps at the end
(polishing). `unwarped` is MOLE without warps. `clothes` are Fashion-MNIST by learners of
characters of 28x28, on equal terms, too. `cartpole` are policies for carts never seen: ancestors
that start somewhere practise in the environment, and the others cannot act.

How fast each learner trains is measured first, and gives the steps that fill the seconds; compiling
does not count, nor does the zoo, which diffusion needs. Rates and steps of adaptation are chosen on
training subsets; so were the settings below, which say how many were tried.

A training that is done is read and not run again. Writes benchmarks/results/learners.json, an entry
for each experiment, number of seconds and seed; other entries stay.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import machine, on_zoo
from mole_jax import experiment
from mole_jax import main as command
from mole_jax.core.program import config as configs
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path

ROOT = Path(__file__).parents[1]
SHOTS = (1, 2, 5, 10)
PROBE = 50  # steps by which a learner's speed is measured: the second half of them
TRIAL = 10.0  # seconds for which those are timed again that take far less for as many steps
STEPS = {
    "diffusion": "training.steps",
    "end_to_end": "training.end_to_end_steps",
    **{
        name: f"learners.{name}.steps"
        for name in (
            *("maml", "fomaml", "meta_sgd", "reptile", "prototypes", "proto_maml", "l2l"),
            *("recurrent", "in_context", "self_referential", "evolved"),
        )
    },
}
# Chosen by the loss of 800 steps of meta-training on `glyphs`: of the first four, meta-rates 1e-3,
# 3e-3 and 1e-2 with inner rates of 0.1 and 0.3 each; of prototypes, meta-rates 1e-3, 3e-3, 1e-2,
# 3e-2; of Proto-MAML ten pairs, with inner rates from 0.01 to 0.3. The others are as they came.
SETTINGS: dict[str, Any] = {
    "learners.maml.inner_rate": 0.3,
    "learners.proto_maml.inner_rate": 0.01,
}
# What MOLE has, and its ancestors by default do not, and the other way round.
EQUAL: dict[str, Any] = {
    "representation.align": True,
    **{f"learners.{name}.warps": 1.0 for name in ("maml", "meta_sgd", "reptile", "proto_maml")},
}
# Images of 28x28 take so long that fewer answers are averaged, and costs are not measured. Rates
# are chosen by the loss of 400 steps with warps: MAML's of five pairs, Meta-SGD's of three,
# Proto-MAML's of seven, that of prototypes of three; Reptile's are as they came.
LARGE: dict[str, Any] = {
    **{f"learners.{name}.rate": 3e-3 for name in ("maml", "meta_sgd", "prototypes", "proto_maml")},
    **{f"learners.{name}.inner_rate": 0.03 for name in ("maml", "meta_sgd")},
    "learners.proto_maml.inner_rate": 0.001,
    "evaluation.few_shot_networks": 2,
    "evaluation.measures": ("few_shot",),
}
# Chosen by the return on other carts after 300 or 400 steps of meta-training, of inner rates of
# 0.1, 0.3 and 1 with one inner step, 0.3 and 1 with three (MAML), 0.3 with three (first order).
ACTING: dict[str, Any] = {
    **{
        f"learners.{name}.{key}": value
        for name in ("maml", "fomaml", "meta_sgd", "reptile")
        for key, value in (("inner_rate", 0.3), ("try_steps", (1, 3, 10, 25)))
    },
    "learners.maml.inner_steps": 1,
    "learners.meta_sgd.inner_steps": 1,
    "learners.fomaml.inner_steps": 3,
    "evaluation.shots": (),
    "evaluation.measures": ("quality", "learner_costs", "fine_tuning"),
}


class Experiment(NamedTuple):
    """A config and what is changed of it."""

    config: str
    changes: Mapping[str, Any]
    learners: tuple[str, ...] = tuple(STEPS)


EXPERIMENTS = {
    "digits": Experiment("digits_mlp.py", {**SETTINGS, "metamodel.support_probes": 10}),
    "glyphs": Experiment("glyphs_mlp.py", SETTINGS),
    # MOLE's gradient steps see examples as they are, as those of its ancestors do by default.
    "unwarped": Experiment(
        "glyphs_mlp.py",
        {**SETTINGS, "metamodel.support_warps": 0.0},
        ("diffusion", "end_to_end"),
    ),
    "equal": Experiment(
        "glyphs_mlp.py",
        {**SETTINGS, **EQUAL},
        ("diffusion", "end_to_end", "maml", "meta_sgd", "proto_maml"),
    ),
    "clothes": Experiment(
        "glyphs_mlp.py:28",
        {**SETTINGS, **EQUAL, **LARGE},
        # A step of L2L takes 8 s there.
        ("diffusion", "end_to_end", "maml", "meta_sgd", "reptile", "prototypes", "proto_maml"),
    ),
    "cartpole": Experiment(
        "cartpole.py:cpu", ACTING, ("diffusion", "maml", "fomaml", "meta_sgd", "reptile")
    ),
}
ALIKE: dict[str, Any] = {
    "training.regression_steps": 0,
    "training.steps_per_dispatch": PROBE // 2,
    "training.warmup_steps": 50,
    "evaluation.measures": ("few_shot", "learner_costs", "fine_tuning"),
    "evaluation.shots": SHOTS,
    "evaluation.few_shot_networks": 8,
    "evaluation.warped_copies": 0,
    "evaluation.s0_tasks": 26,
}


def main() -> None:
    """Train, evaluate, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="+", choices=EXPERIMENTS, help="what is learned")
    parser.add_argument("--folder", type=user_path, required=True, help="for workdirs")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each meta-training")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,))
    text = "besides diffusion, without which there is no experiment; all that can, by default"
    parser.add_argument("--learners", nargs="+", choices=STEPS, help=text)
    flags = parser.parse_args()
    if not 0 < flags.seconds < math.inf:
        parser.error(f"--seconds={flags.seconds:g} must be above 0")
    for name in flags.names:
        for seed in flags.seeds:
            able = EXPERIMENTS[name].learners
            asked = {"diffusion", *(flags.learners or able)}
            if unable := sorted(asked - set(able)):
                parser.error(f"{unable[0]} cannot do {name}: there are {', '.join(able)}")
            learners = [own for own in able if own in asked]
            found = run(flags.folder, name, seed, flags.seconds, learners)
            shown = table_of_policies(found) if name == "cartpole" else table(found)
            print(f"\n{name}, {flags.seconds:g} s of meta-training, seed {seed}\n{shown}\n")
            kept = machine.known("learners", "found")
            kept[_entry(name, flags.seconds, seed, learners)] = found
            machine.write("learners", found=kept)


def _entry(name: str, seconds: float, seed: int, learners: Any) -> str:
    """Return what a result is called: one of some learners does not replace that of all."""
    everyone = tuple(learners) == EXPERIMENTS[name].learners
    some = "" if everyone else f", {' '.join(learners)}"
    return f"{name} {seconds:g} s{some}, seed {seed}"


def run(folder: Path, name: str, seed: int, seconds: float, learners: Any) -> dict[str, Any]:
    """Measure speeds, train, evaluate; return what the evaluation says."""
    zoo = folder / f"{name}_zoo_{seed}"
    base = {**ALIKE, **EXPERIMENTS[name].changes, "seed": seed}
    on_zoo.make(_config(name, base | _steps(dict.fromkeys(learners, PROBE))), zoo)
    speeds = _speeds(name, base, zoo, folder / f"{name}_speeds_{seed}", learners)
    steps = {own: max(int(seconds * speeds[own]), PROBE) for own in learners}
    workdir = folder / f"{name}_{seconds:g}_{seed}"
    config = _config(name, base | _steps(steps) | {"training.checkpoint_every": 10**6})
    on_zoo.train(config, zoo, workdir)
    stages.run(workdir, command.STAGES, ["evaluate", "report"], config)
    record = json.loads((workdir / "report" / "evaluation.json").read_text())
    found = {
        "seed": seed,
        "seconds": record["seconds"],
        "hardware": record["hardware"],
        "chosen": {k: v for k, v in record["choices"].items() if k.startswith("setting_")},
        "costs": _main_split(record).get("learner_costs", {}),
        "fine_tuning": _main_split(record).get("fine_tuning", {}),
    }
    reported = {k: own for k, own in record["splits"].items() if k != "S0"}
    if "few_shot" not in _main_split(record):
        return found | {"splits": {k: _quality(own) for k, own in reported.items()}}
    return found | {
        "splits": {
            split: {"n_tasks": own["n_tasks"], **own["few_shot"]} for split, own in reported.items()
        },
    }


def _quality(own: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("n_tasks", "generated", "adam", "baselines", "methods", "metric")
    return {key: own[key] for key in kept}


def _main_split(record: Mapping[str, Any]) -> dict[str, Any]:
    splits = record["splits"]
    return dict(splits["S1"] if "S1" in splits else splits["S0"])


def _speeds(
    name: str, base: dict[str, Any], zoo: Path, workdir: Path, learners: Any
) -> dict[str, float]:
    """Return steps per second of each learner, from a short training; they are kept."""
    file = workdir.with_suffix(".json")
    speeds: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    if missing := [own for own in learners if own not in speeds]:
        speeds |= _timed(name, base, zoo, workdir, dict.fromkeys(missing, PROBE))
        longer = {own: int(TRIAL * speeds[own]) for own in missing}
        fast = {own: steps for own, steps in longer.items() if steps > 4 * PROBE}
        if fast:
            speeds |= _timed(name, base, zoo, workdir.with_name(f"{workdir.name}_longer"), fast)
        files.write_json(file, speeds)
    return speeds


def _timed(
    name: str, base: dict[str, Any], zoo: Path, workdir: Path, steps: Mapping[str, int]
) -> dict[str, float]:
    """Return steps per second of some learners, as their last steps had them, by the median."""
    trial = workdir.with_name("_".join([workdir.name, *steps]))
    on_zoo.train(_config(name, base | _steps({"diffusion": PROBE, **steps})), zoo, trial)
    found = {}
    for own in steps:
        lines = (trial / "train" / own / "metrics.jsonl").read_text().splitlines()
        last = [json.loads(line)["steps_per_second"] for line in lines[len(lines) // 2 :]]
        found[own] = float(np.median(last))
    return found


def _config(name: str, changes: Mapping[str, Any]) -> Any:
    config = configs.load(str(ROOT / "configs" / EXPERIMENTS[name].config))
    return experiment.change(config, changes)


def _steps(steps: Mapping[str, int]) -> dict[str, int]:
    """Return the keys that say how long each learner is trained; those left out are not."""
    none = {key: 0 for own, key in STEPS.items() if own != "diffusion"}
    return {**none, **{STEPS[own]: n for own, n in steps.items()}}


def table(found: Mapping[str, Any]) -> str:
    """Return accuracies (%) of one answer and of the mean of several, by method."""
    splits = found["splits"]
    shots = [str(n) for n in SHOTS]
    head = ("", *(f"{split} {n}" for split in splits for n in shots), "meta-training s", "ms")
    first, rows = next(iter(splits.values())), []
    for method, label in first["labels"].items():
        cells = []
        for own in splits.values():
            for n in shots:
                one, mean = (own["shots"][n][method][k]["accuracy"] for k in ("one", "mean"))
                cells.append(f"{100 * one:.1f} / {100 * mean:.1f}")
        cost = found["costs"].get(method)
        spent = ["", ""]
        if cost:
            spent = [
                f"{cost['meta_training_seconds']:.0f}",
                f"{1e3 * cost['seconds_per_task']:.2g}",
            ]
        rows.append((label, *cells, *spent))
    return machine.table(head, rows)


def table_of_policies(found: Mapping[str, Any]) -> str:
    """Return shares of the largest return (%), with intervals of 95 %, by method."""
    (own,) = found["splits"].values()
    rows = []
    for method, score in {
        "generated": own["generated"],
        "adam": own["adam"],
        **own["baselines"],
    }.items():
        name = "diffusion" if method == "generated" else method
        low, high = (100 * x for x in score["ci95"])
        cost, chosen = found["costs"].get(name), found["chosen"].get(f"setting_{name}")
        rows.append(
            (
                own["methods"].get(method, {"label": "PPO"})["label"],
                f"{100 * score['mean']:.1f} ({low:.1f} to {high:.1f})",
                f"{cost['meta_training_seconds']:.0f}" if cost else "",
                f"{1e3 * cost['seconds_per_task']:.2g}" if cost else "",
                ", ".join(str(x["steps"]) for x in chosen["chosen"].values()) if chosen else "",
            )
        )
    return machine.table(("", "return", "meta-training s", "ms", "steps"), rows)


if __name__ == "__main__":
    leave(explained(main))

"""G.pt against G.pt with its weaknesses fixed one at a time, and against MOLE's own meta-model.

    make demo
    python -m benchmarks.gpt_variants --zoo=runs/digits --folder=runs/gpt_variants

G.pt is made for one task, and at this size it needs few units, whose order it has to learn not to
mind. So there is a zoo of one task, too, with as many runs, of MLPs with four hidden units:

    python -m mole_jax.main --config=configs/digits_mlp.py --workdir=runs/one_task --stages=zoo \
      --config.network.hidden="(4,)" --config.data.train_subsets=1 \
      --config.data.held_out_subsets=0 --config.population.members=1664 \
      --config.population.held_out_members=64 --config.zoo.members_per_group=128
    python -m benchmarks.gpt_variants --zoo=runs/one_task --folder=runs/gpt_one --name=gpt_one_task
    python -m benchmarks.gpt_variants --zoo=runs/one_task --folder=runs/gpt_one_long \
      --steps=12000 --name=gpt_one_task_long --only "G.pt" "G.pt, 50 steps" "+ norms visible" \
      "+ time scaled" "+ log metrics" "+ validation metric" "+ the first four" "units as they are"
    python -m benchmarks.gpt_figure

At a size where G.pt learns there is `--size=large`, for a GPU, on MNIST:

    python -m mole_jax.main --config=configs/gpt/mnist_loss.py:gpu --workdir=runs/gpt_mnist
    python -m benchmarks.gpt_variants --zoo=runs/gpt_mnist --folder=runs/gpt_mnist_variants \
      --size=large --steps=4000 --name=gpt_mnist

All are trained on the zoo of one workdir, for the same number of seconds on this machine (steps are
counted from a first measurement; compiling is extra) or, G.pt and its variants, for as many steps
as `--steps` says. All have about a million parameters in the demo's zoo; on networks of four units
G.pt's are 0.64 million and MOLE's 1.02 million. Each is then asked for networks for unseen runs
(S0) and unseen data subsets (S1), at the prompt that is best on training subsets and at prompts
between the best loss and the start's. Every variant keeps its workdir in the folder: a variant that
is done is read and not run again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import machine, on_zoo
from mole_jax import experiment
from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.program.sections import relevant
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation.baselines import adam
from mole_jax.evaluation.harness import scoring, statistics
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.evaluation.harness.kept import kept
from mole_jax.evaluation.harness.measure import Results, jobs, with_needs
from mole_jax.evaluation.harness.prediction import predict
from mole_jax.evaluation.measures import novelty, prompt_following, quality

# G.pt at the size of the demo's meta-model: about a million parameters, its tokens as many as those
# of its MNIST model. Rate and average are for thousands of steps, not hundreds of thousands.
GPT = {
    "metamodel.name": "gpt",
    "metamodel.width": 128,
    "metamodel.layers": 2,
    "metamodel.heads": 4,
    "metamodel.gpt.chunk_size": 128,
    "representation.name": "flat",
    "representation.normaliser": "global",
    "diffusion.prediction": "x0",
    "training.metric": "test_loss",
    "training.spacing": "spacing_first",
    "training.first_start": 0.0,
    "training.permute_units": True,
    "training.permute_labels": 0.0,
    "training.function_weight": 0.0,
    "training.time_power": 1.0,
    "training.ema_warmup": False,
    "training.drop.support": 0.0,
    "training.drop.target_metric": 0.0,
    "training.drop.start": 0.0,
    "training.batch_size": 64,
    "training.learning_rate": 1e-3,
    "training.weight_decay": 0.1,
    "training.beta2": 0.999,
    "training.gradient_clip": 0.75,
    "training.ema_decay": 0.998,
}
# At a sixteenth of the size of its MNIST model, and with its tokens. The model, and of MOLE's too:
LARGE = {
    "metamodel.width": 384,
    "metamodel.layers": 8,
    "metamodel.heads": 6,
    "metamodel.unroll": 8,
    "metamodel.dtype": "bfloat16",
    "training.batch_size": 512,
    "training.support_min_per_class": 1,  # the zoo's config has no more; there is one task
    "evaluation.sampler_batch": 512,
    "evaluation.candidates": (0.3, 0.25, 0.2, 0.15, 0.1, 0.05),
}
LARGE_GPT = {
    "metamodel.gpt.chunk_size": 1000,
    "training.learning_rate": 6e-4,
    "training.warmup_steps": 200,
}
# As many parameters in two layers, as in the demo.
LARGE_MOLE = {
    "metamodel.width": 768,
    "metamodel.layers": 2,
    "metamodel.heads": 12,
    "training.learning_rate": 1e-3,
    "training.ema_decay": 0.998,
}
FEW = ("ancestral_large", 50)
# name -> what differs from GPT (None: nothing of it holds), and the sampler where it is not FEW
VARIANTS: dict[str, tuple[dict[str, Any] | None, tuple[str, int] | None]] = {
    "G.pt": ({}, ("ancestral_large", 1000)),
    "G.pt, 50 steps": ({}, FEW),
    "+ norms visible": ({"metamodel.gpt.visible_norms": True}, FEW),
    "+ time scaled": ({"metamodel.gpt.scaled_time": True}, FEW),
    "+ log metrics": ({"metamodel.gpt.log_metrics": True}, FEW),
    "+ validation metric": ({"training.metric": "validation_loss"}, FEW),
    "+ bfloat16": ({"metamodel.dtype": "bfloat16"}, FEW),
    "+ the first four": (
        {
            "metamodel.gpt.visible_norms": True,
            "metamodel.gpt.scaled_time": True,
            "metamodel.gpt.log_metrics": True,
            "training.metric": "validation_loss",
        },
        FEW,
    ),
    # What the permutation of units costs, of which the other variants have to learn that it is
    # nothing.
    "units as they are": ({"training.permute_units": False}, FEW),
    "MOLE": (None, None),
}
FIRST = 40  # steps that are timed before the training, and compiled


def main() -> None:
    """Train, evaluate, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--zoo", type=user_path, required=True, help="workdir whose zoo is used")
    parser.add_argument(
        "--folder", type=user_path, required=True, help="for the variants' workdirs"
    )
    parser.add_argument("--size", choices=("small", "large"), default="small")
    parser.add_argument("--seconds", type=float, default=150, help="of training, each")
    parser.add_argument("--steps", type=int, default=0, help="of G.pt and its variants; 0: seconds")
    parser.add_argument("--name", help="of the JSON in results/; of some variants only, if given")
    parser.add_argument("--only", nargs="*", help="these variants")
    flags = parser.parse_args()
    known = variants(flags.size)
    if unknown := set(flags.only or ()) - set(known):
        parser.error(f"--only: {sorted(unknown)} are unknown; there are {list(known)}")
    try:
        found = {name: of_variant(name, flags) for name in flags.only or known}
    except UserError as error:
        sys.exit(f"error: {error}")
    rows = []
    for name, record in found.items():
        for split, q in record["splits"].items():
            low, high = q["ci95"]
            rows.append(
                [
                    name,
                    f"{record['parameters'] / 1e6:.2f} M",
                    record["steps"],
                    split,
                    f"{q['score']:.1%} ({low:.1%} - {high:.1%})",
                    f"{100 * q['regret']:.1f}",
                    f"{q['r2']:.2f}",
                    f"{q['rho']:.2f}",
                    f"{q['z_u']:.1f}",
                    "-" if q.get("diversity") is None else f"{q['diversity']:.2f}",
                ]
            )
    head = (
        "meta-model",
        "parameters",
        "steps",
        "split",
        "score (95 %)",
        "regret",
        "R2",
        "rho",
        "Z_U",
        "diversity",
    )
    print(machine.table(head, rows))
    if flags.name or not flags.only:
        counted = bool(flags.steps) and "MOLE" not in found
        machine.write(
            flags.name or "gpt_variants",
            seconds=None if counted else flags.seconds,
            steps=flags.steps,
            variants=found,
        )


def of_variant(name: str, flags: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate one variant, unless it is done."""
    changes, sampler = variants(flags.size)[name]
    # The same training, sampled in two ways.
    trained_as = "G.pt" if name.startswith("G.pt") else name
    workdir = flags.folder / _file_name(trained_as)
    file = flags.folder / f"{_file_name(name)}.json"
    if file.exists():
        return json.loads(file.read_text())
    config = configured(flags.zoo, changes, sampler)
    if flags.steps and name != "MOLE":
        config.training.steps = flags.steps
    else:
        config.training.steps = steps_in(flags.seconds, config, flags.zoo, workdir)
    config.training.warmup_steps = min(config.training.warmup_steps, config.training.steps // 10)
    print(f"{name}: {config.training.steps} steps", flush=True)
    on_zoo.train(config, flags.zoo, workdir)
    context = load_context(config, workdir)
    predictor = context.learners[context.learner]
    record = {
        "parameters": sum(x.size for x in jax.tree.leaves(predictor.trained.theta)),
        "steps": config.training.steps,
        "changes": changes,
        "sampler": dataclasses.asdict(on_zoo.diffusion(predictor).plan),
        "splits": evaluated(context, flags.folder / "adam"),
        "environment": machine.facts(),
    }
    files.write_json(file, record)
    return record


def variants(size: str) -> dict[str, tuple[dict[str, Any] | None, tuple[str, int] | None]]:
    """Return each variant's differences from the demo's config (None: nothing), and its sampler."""
    found = {}
    for name, (changes, sampler) in VARIANTS.items():
        whole = None if changes is None else GPT | changes
        if size == "large":
            if name == "+ bfloat16":  # which the others have
                name, changes = "in float32", {"metamodel.dtype": "float32"}
            whole = LARGE | LARGE_MOLE if changes is None else GPT | LARGE | LARGE_GPT | changes
        found[name] = whole, sampler
    return found


def _file_name(variant: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in variant)


def configured(
    zoo: Path, changes: Mapping[str, Any] | None, sampler: tuple[str, int] | None
) -> Any:
    """Return the config of the zoo's workdir with a variant's changes."""
    made = relevant(stages.record(zoo, "zoo")["config"], experiment.SECTIONS)
    config = configs.load(str(Path(__file__).parents[1] / "configs" / "digits_mlp.py"))
    config.representation.align = False  # as the table in docs has been made
    different = {
        key: value
        for section in ("data", "network", "population", "zoo")
        for key, value in configs.flatten(made[section], f"{section}.").items()
    }
    different |= {"seed": made["seed"], "training.regression_steps": 0}
    different |= {"training.best_prompts": 0.0}  # which G.pt has none of: all ask for a number
    different |= {"evaluation.candidates": (0.2, 0.1, 0.05, 0.02), "evaluation.prompt_count": 6}
    different |= {"evaluation.starts": 2, "evaluation.s0_tasks": 52}
    different |= dict(changes or {})
    if sampler is not None:
        different |= {"sampling.name": sampler[0], "sampling.steps": sampler[1]}
    return experiment.change(config, different)


def steps_in(seconds: float, config: Any, zoo: Path, workdir: Path) -> int:
    """Count the steps that fit into `seconds`, after a few that are timed."""
    probe = workdir.with_name(f"{workdir.name}_probe")
    short = config.copy_and_resolve_references()
    short.training.update({"steps": 2 * FIRST, "steps_per_dispatch": FIRST, "warmup_steps": 1})
    on_zoo.train(short, zoo, probe)
    lines = (probe / "train" / "diffusion" / "metrics.jsonl").read_text().splitlines()
    rate = json.loads(lines[-1])["steps_per_second"]
    each = config.training.steps_per_dispatch
    return max(round(rate * seconds / each), 1) * each


def evaluated(context: EvalContext, adam_folder: Path) -> dict[str, Any]:
    """Evaluate the networks on each split; Adam's results are the same for all, and kept."""
    results = Results(context)
    for job in jobs(context, with_needs([quality.MEASURE, novelty.MEASURE])):
        if job.measure in (adam.RATE, adam.MEASURE):
            found = kept(adam_folder, job, context, results)
        else:
            found = job.measure.compute(job.seen_from(context), job.split, results)
        results.found[job] = found
    splits = {}
    for split in context.splits:
        good = quality.MEASURE.record(context, split, results)
        new = novelty.MEASURE.record(context, split, results)["novelty"]
        splits[split] = {
            "score": good["generated"]["mean"],
            "ci95": good["generated"]["ci95"],
            "regret": good["regret_mean"],
            "adam": good["adam"]["mean"],
            "chance": float(context.family.chance_score(np.zeros(1, int))[0]),
            **followed(context, split),
            **{name: new[name] for name in ("rho", "z_u", "diversity")},
            "prompt": good["fixed_prompt"],
        }
    return splits


def followed(context: EvalContext, split: str) -> dict[str, Any]:
    """Return prompts between the best loss and the start's, the test losses they gave, and R2.

    Prompts and losses [P] are medians over networks.
    """
    episodes = context.splits[split].first()
    asked = prompt_following.grid(context, episodes)  # [T, 1, P]
    flat = predict(context, context.learner, episodes, asked, context.key(f"grid {split}"))
    loss, _ = scoring.on_own_tasks(context.family, "test", flat, episodes.tasks)
    loss, asked = np.asarray(loss)[:, 0], asked[:, 0]
    return {
        "r2": float(statistics.prompt_alignment(asked, loss)["r2_mean"]),
        "asked": np.median(asked, axis=0).tolist(),
        "achieved": np.median(loss, axis=0).tolist(),
    }


if __name__ == "__main__":
    leave(explained(main))

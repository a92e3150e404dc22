"""Why a small G.pt does not learn: its own recipe with one thing changed at a time.

    python -m benchmarks.gpt_small --folder=runs/gpt_small

Trains `configs/gpt/mnist_loss.py:cpu` in variants, on 950 runs and on 8, and asks each for a test
loss of 0.1 from the first snapshots of unseen and of training runs. Every variant keeps its workdir
in the folder, and what is done is not done again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine, on_zoo
from mole_jax import experiment
from mole_jax import main as command
from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.evaluation.harness.episodes import EpisodeGrid
from mole_jax.evaluation.harness.prediction import predict

EIGHT = {"population.members": 9, "population.held_out_members": 1}
UNPERMUTED = {"training.permute_units": False}
UNIT_TOKENS = {"metamodel.gpt.chunk_size": 64}
FIXED = {f"metamodel.gpt.{name}": True for name in ("visible_norms", "scaled_time", "log_metrics")}
VARIANTS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "units not permuted": UNPERMUTED,
    "a token for each unit": UNIT_TOKENS,
    "a token for each unit, mended": UNIT_TOKENS | FIXED,
    "as it is, longer": {"training.steps": 9000},
    "8 runs": EIGHT,
    "8 runs, units not permuted": EIGHT | UNPERMUTED,
}
PROMPT = 0.1  # test loss; about what the runs end at


def main() -> None:
    """Train, predict, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=user_path, required=True, help="for zoos and workdirs")
    folder = parser.parse_args().folder
    try:
        found = {name: of_variant(name, folder) for name in VARIANTS}
    except UserError as error:
        sys.exit(f"error: {error}")
    head = ("what", "steps", "from training starts", "from unseen starts", "loss")
    rows = [
        [
            name,
            x["steps"],
            f"{x['training']:.1%}",
            f"{x['unseen']:.1%}",
            f"{x['loss'][0]:.3f} -> {x['loss'][1]:.3f}",
        ]
        for name, x in found.items()
    ]
    print(machine.table(head, rows))
    machine.write("gpt_small", prompt=PROMPT, variants=found)


def of_variant(name: str, folder: Path) -> dict[str, Any]:
    """Train one variant, and measure what it predicts: accuracies, and losses of its training."""
    changes = VARIANTS[name]
    config = configs.load(
        str(Path(__file__).parents[1] / "configs" / "gpt" / "mnist_loss.py") + ":cpu"
    )
    experiment.change(config, changes)
    zoo = folder / ("zoo_8" if EIGHT.items() <= changes.items() else "zoo")
    zoo.mkdir(parents=True, exist_ok=True)
    stages.run(zoo, command.STAGES, ["zoo"], config)
    workdir = folder / name.replace(" ", "_")
    on_zoo.train(config, zoo, workdir)
    lines = (workdir / "train" / "diffusion" / "metrics.jsonl").read_text().splitlines()
    losses = np.array_split([json.loads(line)["loss"] for line in lines], 6)
    context = load_context(config, workdir)
    return {
        "changes": changes,
        "steps": config.training.steps,
        "training": accuracy(context, context.choice),
        "unseen": accuracy(context, context.splits["S0"]),
        "loss": [float(losses[0].mean()), float(losses[-1].mean())],
    }


def accuracy(context: EvalContext, episodes: EpisodeGrid) -> float:
    """Measure the mean test accuracy of networks asked for `PROMPT`, one from each start."""
    prompts = np.full((len(episodes.tasks), 1, 1), PROMPT)
    key = context.key("small")
    flat = predict(context, context.learner, episodes.first(), prompts, key)
    data, at = context.family.device_data, episodes.tasks[:, None, None]
    _, score = scoring.on_pool(context.family.network, data, "test", flat, at)
    return float(np.mean(score))


if __name__ == "__main__":
    leave(explained(main))

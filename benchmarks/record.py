"""Keep what an evaluated experiment gave where README and docs take their tables from.

    python -m benchmarks.record runs/digits digits_mlp --command="--config=configs/digits_mlp.py"

reads WORKDIR/report/evaluation.json, and writes docs/results/NAME.json: the command, seed,
hardware, versions, seconds, and of each split what tables are made of. Then

    python -m benchmarks.page_tables

renews the tables.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import machine
from mole_jax.core.errors import UserError
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path

FOLDER = Path(__file__).parents[1] / "docs" / "results"
# What is kept of a split; the rest of it is in the report.
_KEPT = (
    *("n_tasks", "n_networks", "metric", "fixed_prompt", "generated", "adam", "regret_mean"),
    *("regret_ci95", "equivalent_adam_steps", "baselines"),
    *("prompt_alignment", "alignment_to_guessing"),
    *("condition_use_gap", "novelty", "few_shot", "cost", "learner_costs", "ensembles"),
)


def main() -> None:
    """Read a workdir's evaluation, write its record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workdir", type=user_path, help="of a finished run")
    parser.add_argument("name", help="of the record, such as digits_mlp")
    text = "what followed python -m mole_jax.main, without the workdir"
    parser.add_argument("--command", required=True, help=text)
    flags = parser.parse_args()
    if not re.fullmatch(r"\w+", flags.name):
        parser.error(f"{flags.name!r} is no name: letters, digits and _ only")
    found = record(flags.workdir, flags.command)
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{flags.name}.json"
    machine.write_rows(path, found)
    print(f"written: {path}")


def record(workdir: Path, command: str) -> dict[str, Any]:
    """Return what is kept of a finished run."""
    evaluation = _read(workdir / "report" / "evaluation.json")
    stage = _read(workdir / "evaluate" / "stage.json")
    return {
        "command": f"python -m mole_jax.main {command}",
        "seed": evaluation["config"]["seed"],
        "steps": _steps(evaluation["config"]),
        "seconds": evaluation["seconds"],
        "choices": _settings(evaluation),
        "environment": stage["environment"],
        "splits": {
            name: {key: split[key] for key in _KEPT if key in split}
            for name, split in evaluation["splits"].items()
        },
    }


def _settings(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return how learners adapt, at each number of examples."""
    choices = evaluation.get("choices", {})
    return {name: own for name, own in choices.items() if name.startswith("setting_")}


def _steps(config: Mapping[str, Any]) -> dict[str, int]:
    training = config["training"]
    named = ("steps", "regression_steps", "end_to_end_steps")
    mole = {key: training[key] for key in named if training.get(key)}
    learners = config.get("learners", {})
    return mole | {name: own["steps"] for name, own in learners.items() if own["steps"]}


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise UserError(f"{path} is missing: run the stages evaluate and report first")
    found: dict[str, Any] = files.read_json(path)
    return found


if __name__ == "__main__":
    leave(explained(main))

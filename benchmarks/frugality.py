"""What a prediction costs beside training, for several experiments: one table.

    python -m benchmarks.frugality runs/digits runs/fashion runs/cartpole

It reads what evaluations have recorded, `cost` of the split S1 in WORKDIR/report/evaluation.json,
and computes nothing. Writes benchmarks/results/frugality.json, an entry for each workdir's name;
entries of other workdirs stay.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import machine
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path
from mole_jax.report.costs import milliseconds, operations
from mole_jax.zoo.storage.reader import open_zoo

HEAD = (
    "experiment",
    "network",
    "parameters",
    "",
    "steps",
    "ms, a batch of 64",
    "ms alone",
    "FLOP",
    "paid back after, tasks",
)
TRAININGS = {"adam": "Adam, all examples", "adam_support": "Adam, the examples shown"}


def main() -> None:
    """Read, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workdirs", nargs="+", type=user_path, help="of finished evaluations")
    flags = parser.parse_args()
    models = machine.known("frugality", "models")
    models |= {workdir.name: read(workdir) for workdir in flags.workdirs}
    print(machine.table(HEAD, [row for name, found in models.items() for row in rows(name, found)]))
    machine.write("frugality", models=models)


def read(workdir: Path) -> dict[str, Any]:
    """Return what an evaluation says of costs, and of what they are.

    Raises:
        UserError: without an evaluation, and where it has no costs of this version.
    """
    path = workdir / "report" / "evaluation.json"
    if not path.is_file():
        raise UserError(f"{workdir} holds no finished evaluation: {path} is missing")
    record = files.read_json(path)
    cost = record["splits"].get("S1", {}).get("cost", {})
    if "flops_per_network" not in cost:
        raise UserError(
            f"{path} has no costs of S1 as this version measures them: evaluate again in another "
            "workdir, with all of evaluation.measures"
        )
    result, config = record["splits"]["S1"], stages.record(workdir, "evaluate")["config"]
    schema = open_zoo(workdir / "zoo").schema
    return {
        "network": schema.network["name"],
        "parameters": schema.spec.size,
        "seed": config["seed"],
        "hardware": record["hardware"],
        "seconds": record["seconds"],
        "metric": result["metric"],
        "predicted": result["generated"]["mean"],
        "adam": result["adam"]["mean"],
        "cost": cost,
    }


def rows(name: str, found: Mapping[str, Any]) -> list[list[str]]:
    """Return an experiment's rows: MOLE's, then those of what it replaces."""
    cost = found["cost"]
    lines = [
        [
            *(name, found["network"], f"{found['parameters']:,}"),
            f"MOLE, {found['metric']} {found['predicted']:.1%}",
            "",
            milliseconds(cost["seconds_per_network"]),
            milliseconds(cost["seconds_alone"]),
            operations(cost["flops_per_network"]),
            "",
        ]
    ]
    for key, label in TRAININGS.items():
        if key not in cost:
            continue
        own, after = cost[key], cost["tasks_until_paid_back"][key]
        steps = "never as good" if own["steps"] is None else f"{own['steps']:,.0f}"
        lines.append(
            [
                *("", "", "", f"{label}, to the same loss", steps),
                milliseconds(own["seconds_per_network"]),
                milliseconds(own["seconds_alone"]),
                operations(own["flops"]),
                f"{after:,.0f}" if after is not None else "-" if own["steps"] is None else "never",
            ]
        )
    return lines


if __name__ == "__main__":
    leave(explained(main))

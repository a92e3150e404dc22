"""evaluation.json, read and checked: every page of the report begins with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json
from mole_jax.report.numbers import known


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read what the evaluate stage has recorded.

    Raises:
        UserError: if the file is missing, is not JSON, or lacks what every page shows.
    """
    if not path.exists():
        raise UserError(
            f"{path} is missing; run the evaluate stage first (--stages=evaluate,report)"
        )
    evaluation = read_json(path)
    splits = evaluation.get("splits") if isinstance(evaluation, dict) else None
    if not isinstance(splits, dict) or not splits:
        raise UserError(f"{path} has no splits to report; run the evaluate stage again")
    for name, result in splits.items():
        there = result if isinstance(result, dict) else {}
        lacking = [key for key in ("n_tasks", "n_networks", "generated") if key not in there]
        if lacking:
            raise UserError(
                f"{path}: split {name} lacks {', '.join(lacking)}; run the evaluate stage again"
            )
        generated = result["generated"]
        if not (isinstance(generated, dict) and known(generated.get("mean"))):
            raise UserError(
                f"{path}: split {name} has no mean of generated networks; run the evaluate stage "
                "again"
            )
    return evaluation

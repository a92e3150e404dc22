"""How long a training has taken, by its own log."""

from __future__ import annotations

import json
from pathlib import Path


def seconds(folder: Path) -> float | None:
    """Return the seconds spent in all steps of the training in a folder; None if unknown.

    Compiling, saving, and steps repeated after an interruption do not count.
    """
    path = Path(folder) / "metrics.jsonl"
    if not path.is_file():
        return None
    total, before = 0.0, 0
    for line in path.read_text().splitlines():
        row = json.loads(line)
        if "steps_per_second" not in row:
            return None
        total += (row["step"] - before) / row["steps_per_second"]
        before = row["step"]
    return total

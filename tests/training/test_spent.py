"""The seconds of a training are those of its log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mole_jax.training import spent


def test_steps_over_their_rates_are_added_up(tmp_path: Path) -> None:
    assert spent.seconds(tmp_path) is None
    rows = [
        {"step": 50, "steps_per_second": 10.0},
        {"step": 100, "steps_per_second": 25.0},
        {"step": 110, "steps_per_second": 5.0},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert spent.seconds(tmp_path) == pytest.approx(5 + 2 + 2)
    (tmp_path / "metrics.jsonl").write_text(json.dumps({"step": 50}) + "\n")
    assert spent.seconds(tmp_path) is None

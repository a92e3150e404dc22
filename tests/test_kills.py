"""A few kills at random moments; `python -m tests.kills --kills=50` tries more."""

from __future__ import annotations

from pathlib import Path

from tests import kills


def test_three_kills_change_nothing(tmp_path: Path) -> None:
    shorter = {
        "training.steps": 40,
        "training.regression_steps": 0,
        "learners.maml.steps": 0,
        "learners.in_context.steps": 0,
        "evaluation.s0_tasks": 2,
    }
    found = kills.survive(tmp_path, kills=3, seed=0, changed=shorter)
    assert sum(found["stage_and_signal"].values()) == 3

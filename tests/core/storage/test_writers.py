"""Metrics are logged once per step, also across kills and resumes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from mole_jax.core.storage.writers import MetricWriter


def lines(logdir: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (logdir / "metrics.jsonl").read_text().splitlines()]


def test_scalars_become_lines_and_events(tmp_path: Path) -> None:
    with MetricWriter(tmp_path / "logs") as writer:
        writer.write(1, {"loss": 0.5, "rate": np.float32(0.25)})
        writer.write(2, {"loss": jnp.float32(0.125), "bad": float("nan")})
    assert lines(tmp_path / "logs") == [
        {"step": 1, "loss": 0.5, "rate": 0.25},
        {"step": 2, "loss": 0.125, "bad": None},
    ]
    events = list((tmp_path / "logs").glob("events.out.tfevents.*"))
    assert len(events) == 1
    assert b"loss" in events[0].read_bytes()


def test_flushed_lines_can_be_read_while_the_run_goes_on(tmp_path: Path) -> None:
    with MetricWriter(tmp_path) as writer:
        writer.write(1, {"loss": 1.0})
        writer.flush()
        assert lines(tmp_path) == [{"step": 1, "loss": 1.0}]


def test_resuming_drops_what_lies_beyond_the_checkpoint(tmp_path: Path) -> None:
    with MetricWriter(tmp_path) as writer:
        for step in range(1, 6):
            writer.write(step, {"loss": float(step)})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')  # killed in the middle of a line
    with MetricWriter(tmp_path, resume_step=3) as writer:
        writer.write(4, {"loss": 40.0})
    assert lines(tmp_path) == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 2.0},
        {"step": 3, "loss": 3.0},
        {"step": 4, "loss": 40.0},
    ]


def test_without_a_step_to_resume_at_a_run_starts_anew(tmp_path: Path) -> None:
    with MetricWriter(tmp_path) as writer:
        writer.write(1, {"loss": 1.0})
    with MetricWriter(tmp_path) as writer:
        writer.write(1, {"loss": 2.0})
    assert lines(tmp_path) == [{"step": 1, "loss": 2.0}]

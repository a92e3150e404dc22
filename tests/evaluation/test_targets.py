"""Targets are judged by what is shown, and only those that a config sets."""

from __future__ import annotations

from typing import Any

import pytest

from mole_jax.evaluation import targets

NOTHING = dict.fromkeys(
    ("regret", "score", "share_of_adam", "r2", "support_gap", "milliseconds"), 0.0
)


def result(gain: float = 0.05) -> dict[str, Any]:
    copy = {"mean": 0.9, "ci95": [0.88, 0.92], "gain_ci95": [gain - 0.01, gain + 0.01]}
    return {
        "metric": "accuracy",
        "generated": {"mean": 0.9496, "ci95": [0.93, 0.97]},
        "adam": {"mean": 1.0},
        "regret_mean": 0.01004,
        "prompt_alignment": {"r2_mean": 0.9},
        "condition_use_gap": {"support": 0.5},
        "cost": {"seconds_per_network": 0.021},
        "baselines": dict.fromkeys(("retrieval", "soup", "noise"), copy),
    }


@pytest.mark.parametrize(
    ("key", "limit", "value", "words", "met"),
    [
        ("regret", 0.01, 1.0, "<= 1", True),  # 1.004 points are shown as 1.0
        ("regret", 0.009, 1.0, "<= 0.9", False),
        ("score", 0.95, 94.96, ">= 95", False),
        ("share_of_adam", 0.94, 94.96, ">= 94", True),
        ("r2", 0.9, 0.9, ">= 0.9", True),
        ("support_gap", 0.5, 50.0, "> 50", False),
        ("milliseconds", 20.0, 21.0, "<= 20", False),
    ],
)
def test_a_target(key: str, limit: float, value: float, words: str, met: bool) -> None:
    first, *rest = targets.reached(result(), {**NOTHING, key: limit})
    assert (first["value"], first["target"], first["met"]) == (value, words, met)
    assert len(rest) == 2  # what holds for every config


def test_what_is_better_on_the_same_tasks_need_not_have_intervals_apart() -> None:
    paired, apart = targets.reached(result(), NOTHING)
    assert (paired["met"], apart["met"]) == (True, True)
    close = result(gain=0.02)
    close["generated"]["ci95"] = [0.91, 0.95]
    paired, apart = targets.reached(close, NOTHING)
    assert (paired["met"], apart["met"]) == (True, False)
    paired, _ = targets.reached(result(gain=0.005), NOTHING)
    assert not paired["met"]

"""The targets set for unseen data subsets, and whether they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COPIES = ("retrieval", "soup", "noise")


def reached(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One entry a target, from R of S1: name, value, target (in words) and met."""
    generated = result["generated"]
    # Rounded, so that what is shown and what is judged cannot disagree.
    regret = round(100 * result["regret_mean"], 2)
    accuracy = round(100 * generated["mean"], 2)
    r2 = round(result["prompt_alignment"]["r2_mean"], 3)
    gap = round(100 * result["condition_use_gap"]["support"], 1)
    apart = all(generated["ci95"][0] > result["baselines"][name]["ci95"][1] for name in _COPIES)
    milliseconds = round(1000 * result["cost"]["seconds_per_network"], 2)
    return [
        _target("regret (points)", regret, "<= 1.0", regret <= 1.0),
        _target("mean test accuracy (%)", accuracy, ">= 97", accuracy >= 97),
        _target("prompt alignment R², mean over networks", r2, ">= 0.95", r2 >= 0.95),
        _target("condition-use gap of the support set (points)", gap, "> 50", gap > 50),
        _target("better than retrieval, soup and noise, intervals apart", apart, "yes", apart),
        _target("one network predicted (ms)", milliseconds, "<= 20", milliseconds <= 20),
    ]


def _target(name: str, value: float | bool, target: str, met: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "target": target, "met": bool(met)}

"""The targets that a config sets for unseen data subsets, and whether they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COPIES = ("retrieval", "soup", "noise")


def reached(result: Mapping[str, Any], wanted: Mapping[str, float]) -> list[dict[str, Any]]:
    """One entry a target: name, value, target (in words) and met.

    Args:
        result: R of S1.
        wanted: `config.evaluation.targets`; a target of 0 is not set.
    """
    generated, score = result["generated"], result["metric"]
    baselines = [result["baselines"][name] for name in _COPIES]
    alignment, gap = result["prompt_alignment"], result["condition_use_gap"]
    # Rounded, so that what is shown and what is judged cannot disagree.
    measured = {
        "regret": ("regret (points)", round(100 * result["regret_mean"], 2), 100, "<="),
        "score": (f"mean test {score} (%)", round(100 * generated["mean"], 2), 100, ">="),
        "share_of_adam": (
            f"share of the {score} that Adam reaches (%)",
            round(100 * generated["mean"] / result["adam"]["mean"], 2),
            100,
            ">=",
        ),
        "r2": ("prompt alignment R², mean over networks", round(alignment["r2_mean"], 3), 1, ">="),
        "support_gap": (
            "condition-use gap of the support set (points)",
            round(100 * gap["support"], 1),
            100,
            ">",
        ),
        "milliseconds": (
            "one network predicted (ms)",
            round(1000 * result["cost"]["seconds_per_network"], 2),
            1,
            "<=",
        ),
    }
    found = []
    for key, (name, value, unit, sign) in measured.items():
        limit = round(unit * wanted[key], 6)
        if limit:
            met = {"<=": value <= limit, ">=": value >= limit, ">": value > limit}[sign]
            found.append(_target(name, value, f"{sign} {limit:g}", met))
    paired = all(baseline["gain_ci95"][0] > 0 for baseline in baselines)
    apart = all(generated["ci95"][0] > baseline["ci95"][1] for baseline in baselines)
    found += [
        _target("better than retrieval, soup and noise on the same tasks", paired, "yes", paired),
        _target("better than retrieval, soup and noise, intervals apart", apart, "yes", apart),
    ]
    return found


def _target(name: str, value: float | bool, target: str, met: bool) -> dict[str, Any]:
    return {"name": name, "value": value, "target": target, "met": bool(met)}

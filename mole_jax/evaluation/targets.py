"""The targets that a config sets for unseen data subsets, and whether they are reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COPIES = ("retrieval", "soup", "noise")


def reached(result: Mapping[str, Any], wanted: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return one entry per target: name, value, target (in words) and met.

    A target that was not measured has no value and is not met.

    Args:
        result: the record of S1.
        wanted: `config.evaluation.targets`; 0 sets no target.
    """
    generated, score = result["generated"], result["metric"]
    baselines = [result["baselines"].get(name) for name in _COPIES]
    alignment, gap = result.get("prompt_alignment"), result.get("condition_use_gap")
    cost = result.get("cost")
    # Rounded first, so that the value shown always agrees with the verdict.
    measured = {
        "regret": ("regret (points)", round(100 * result["regret_mean"], 2), 100, "<="),
        "score": (f"mean test {score} (%)", round(100 * generated["mean"], 2), 100, ">="),
        "share_of_adam": (
            f"share of the {score} that Adam reaches (%)",
            round(100 * generated["mean"] / result["adam"]["mean"], 2),
            100,
            ">=",
        ),
        "r2": (
            "prompt alignment R², mean over networks",
            round(alignment["r2_mean"], 3) if alignment else None,
            1,
            ">=",
        ),
        "support_gap": (
            "condition-use gap of the support set (points)",
            round(100 * gap["support"], 1) if gap else None,
            100,
            ">",
        ),
        "milliseconds": (
            "one network predicted (ms)",
            round(1000 * cost["seconds_per_network"], 2) if cost else None,
            1,
            "<=",
        ),
    }
    found = []
    for key, (name, value, unit, sign) in measured.items():
        limit = round(unit * wanted[key], 6)
        if limit:
            met = (
                value is not None
                and {
                    "<=": value <= limit,
                    ">=": value >= limit,
                    ">": value > limit,
                }[sign]
            )
            found.append(_target(name, value, f"{sign} {limit:g}", met))
    paired = apart = None
    if None not in baselines:
        paired = all(baseline["gain_ci95"][0] > 0 for baseline in baselines)
        apart = all(generated["ci95"][0] > baseline["ci95"][1] for baseline in baselines)
    found += [
        _target("better than retrieval, soup and noise on the same tasks", paired, "yes", paired),
        _target("better than retrieval, soup and noise, intervals apart", apart, "yes", apart),
    ]
    return found


def _target(name: str, value: float | None, target: str, met: bool | None) -> dict[str, Any]:
    return {"name": name, "value": value, "target": target, "met": bool(met)}

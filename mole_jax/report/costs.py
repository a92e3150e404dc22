"""The report's section on what a prediction costs, next to the training that it replaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mole_jax.report import findings, html, numbers

WORDS = (
    "A prediction is everything that happens once a task's examples are there: encoding them and "
    "all passes of the model. Adam trains, at the rate tuned on training tasks, until its test "
    "loss is as low; neither the search for the rate nor measuring on the way is counted. FLOP are "
    "those of products. Zoo and meta-training are paid back once predicting has saved the time "
    "they took, counting each network at its cost in a batch."
)
NEVER = "never"


def section(result: findings.Result) -> str:
    """Return seconds and FLOP of a network, predicted and trained, from a split's `cost`."""
    cost = result.get("cost", {})
    if "flops_per_network" not in cost:  # not measured, or by an older version
        return ""
    rows: list[tuple[str, ...]] = [
        (
            "MOLE",
            "",
            milliseconds(cost["seconds_per_network"]),
            milliseconds(cost["seconds_alone"]),
            operations(cost["flops_per_network"]),
            "",
        )
    ]
    for name in ("adam", "adam_support"):
        if name in cost:
            rows.append(_of_adam(findings.method_name(result, name), cost, name))
    heads = (
        *("", "steps", f"batch of {cost['networks_per_call']}", "alone", "FLOP"),
        "paid back",
    )
    return html.section(
        "What does a network cost?",
        html.paragraph(WORDS),
        html.table(heads, rows, ["ours", *[""] * (len(rows) - 1)]),
    )


LEARNERS = (
    "Meta-training is the time of its steps alone, without compiling; diffusion and regression "
    "also need the zoo. A task is all that happens once its examples are there; for a learner that "
    "writes no network, it is reading them and answering one question."
)


def of_learners(result: findings.Result) -> str:
    """Return what meta-training and a new task cost each learner; "" for only one learner."""
    costs = result.get("learner_costs", {})
    if len(costs) < 2:
        return ""
    rows = [
        (
            own["label"],
            f"{own['meta_training_steps']:,}",
            _seconds(own["meta_training_seconds"]),
            milliseconds(own["seconds_per_task"]),
            milliseconds(own["seconds_alone"]),
            operations(own["flops_per_task"]),
        )
        for own in costs.values()
    ]
    heads = ("", "steps", "meta-training", "a task in a batch", "alone", "FLOP")
    return html.section(
        "What do learners cost?",
        html.paragraph(LEARNERS),
        html.table(heads, rows, ["ours", *[""] * (len(rows) - 1)]),
    )


def _seconds(seconds: float | None) -> str:
    return f"{seconds:,.0f} s" if seconds is not None else numbers.DASH


def _of_adam(label: str, cost: Mapping[str, Any], name: str) -> tuple[str, ...]:
    own, after = cost[name], cost["tasks_until_paid_back"][name]
    if own["steps"] is None:
        return (label, "never as good", *[numbers.DASH] * 3, numbers.DASH)
    cheaper = own["seconds_per_network"] <= cost["seconds_per_network"]
    return (
        label,
        f"{own['steps']:,.0f}",
        milliseconds(own["seconds_per_network"]),
        milliseconds(own["seconds_alone"]),
        operations(own["flops"]),
        NEVER if cheaper else f"after {after:,.0f} tasks" if numbers.known(after) else numbers.DASH,
    )


def milliseconds(seconds: float | None) -> str:
    """Write a time as '0.62 ms' or '1,240 ms'."""
    if not numbers.known(seconds):
        return numbers.DASH
    return f"{_two(1000 * seconds)} ms"


def operations(flops: float | None) -> str:
    """Write operations as '5.9 MFLOP'."""
    if not numbers.known(flops):
        return numbers.DASH
    for unit, size in (("TFLOP", 1e12), ("GFLOP", 1e9), ("MFLOP", 1e6)):
        if flops >= size:
            return f"{_two(flops / size)} {unit}"
    return f"{flops / 1e3:.1f} kFLOP"


def _two(x: float) -> str:
    return f"{x:,.0f}" if x >= 10 else f"{x:.2g}"

"""The tables of docs/performance.md, of what benchmarks left in benchmarks/results/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks import machine

_CPU, _GPU = "meta_training", "meta_training_gpu"


def populations() -> str:
    """Return how fast populations train: each side at its best number of networks at once."""
    rows = []
    for case, found in _read("populations")["cases"].items():
        best: dict[str, tuple[float, str]] = {}
        for named, speed in found["member_steps_per_second"].items():
            side, _, at_once = named.rpartition(", ")
            side = (
                side if "own minibatches" in named or "one by one" in named else f"{side}, shared"
            )
            best[side] = max(best.get(side, (0.0, "")), (speed, at_once.partition(" ")[0]))
        for side, (speed, at_once) in sorted(best.items(), key=lambda x: -x[1][0]):
            share = speed * found["flops_per_member_step"]
            share /= found["product_flops_per_second"]["jax float32"]
            own = "MOLE, own minibatches" if "own" in side else "MOLE, shared"
            times = "" if side.startswith("MOLE") else f"{best[own][0] / speed:.1f}"
            cells = [side, at_once, machine.shown(speed), times, f"{100 * share:.0f} %"]
            rows.append([case, *cells])
    head = ["network", "side", "at once", "member-steps/s", "MOLE / side", "of the product rate"]
    return markdown(head, rows)


def blocks() -> str:
    """Return how fast the meta-model's blocks train, on two cores and on a GPU."""
    cpu, gpu = _read(_CPU), _read(_GPU)
    rows = []
    for side in sorted(cpu["seconds_per_step"], key=lambda side: cpu["seconds_per_step"][side]):
        cells = [side]
        for found, unit in ((cpu, 1e9), (gpu, 1e12)):
            seconds = found["seconds_per_step"][side]
            cells += [
                machine.shown(1e3 * seconds),
                machine.shown(found["flops_per_step"] / seconds / unit),
            ]
        rows.append(cells)
    head = ["side", "two cores: ms a step", "GFLOP/s", "one H200: ms a step", "TFLOP/s"]
    return markdown(head, rows)


def samplers() -> str:
    """Return what a network of the demo costs with each sampler, and how good it is."""
    rows = []
    for name, found in _read("sampling")["models"]["digits"]["samplers"].items():
        low, high = (100 * x for x in found["ci95"])
        rows.append(
            [
                name,
                str(found["evaluations"]),
                f"{100 * found['mean']:.1f} ({low:.1f} to {high:.1f})",
                f"{found['loss_mean']:.4f}",
                f"{1e3 * found['batch']['seconds_per_network']:.2g}",
                f"{1e3 * found['alone']['seconds_per_network']:.2g}",
            ]
        )
    head = ["sampler", "evaluations", "accuracy, %", "test loss", "ms, a batch of 64", "ms alone"]
    return markdown(head, rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _read(name: str) -> Any:
    return json.loads((machine.RESULTS / f"{name}.json").read_text())

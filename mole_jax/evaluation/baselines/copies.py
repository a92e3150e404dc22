"""Retrieval, soup and noise on the cases of a split."""

from __future__ import annotations

from mole_jax.evaluation import measure
from mole_jax.evaluation.baselines import noise, soup
from mole_jax.evaluation.bench import Bench
from mole_jax.evaluation.parts import Done, Found

NAMES = ("retrieval", "soup", "noise")


def copy(bench: Bench, split: str, done: Done) -> Found:
    """Networks [T, N, D] copied from the training runs, with test loss and score [T, N]."""
    order = done[f"neighbours.{split}"]["order"]
    best = bench.training.final[order[..., 0]]
    sigma = float(done["noise.choice"]["chosen"])
    networks = {
        "retrieval": best,
        "soup": soup.mix(bench, order),
        "noise": noise.add(bench, best, sigma, split),
    }
    result: Found = {}
    for name, flat in networks.items():
        loss, score = measure.on_pool(
            bench.family.network,
            bench.family.device_data,
            "test",
            flat,
            bench.splits[split].tasks[:, None],
        )
        result |= {name: flat, f"{name}_test_loss": loss, f"{name}_test_score": score}
    return result

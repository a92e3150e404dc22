"""Populations: member-steps per second against PyTorch, for an MLP, a CNN and a tiny ViT.

The same work on both sides: minibatches drawn at random from images in memory, cross-entropy,
gradient, Adam, float32, all cores. PyTorch trains one network after another (modules and fused
Adam) and with torch.func's vmap; each side at its best number of networks at once.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine
from mole_jax import experiment
from mole_jax.core import rng
from mole_jax.core.devices import flops
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.program import config as configs
from mole_jax.core.program.command import explained, leave
from mole_jax.population import engine
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import Recipe
from mole_jax.tasks import family as families
from mole_jax.tasks.classification import cross_entropy

# name -> network, image shape, batch size, members at once that are tried
CASES: dict[str, tuple[dict[str, Any], tuple[int, ...], int, tuple[int, ...]]] = {
    "mlp 784-10-10": (
        {"name": "mlp", "hidden": (10,)},
        (28, 28, 1),
        128,
        (1, 32, 64, 256),
    ),
    "cnn, D = 5,370": (
        {"name": "cnn", "channels": (16, 32), "strides": (2, 1), "bias": False},
        (32, 32, 3),
        64,
        (1, 2, 4, 16),
    ),
    "vit, 64 tokens of 32": (
        {"name": "vit", "patch": 4, "width": 32, "layers": 2, "heads": 4, "mlp": 64},
        (32, 32, 3),
        64,
        (1, 2, 4, 16),
    ),
}
CLASSES = 10
IMAGES = 20  # of each class
# On a GPU this many times more members, and steps of members. No side takes more steps than that.
GPU = 16
MOST_STEPS = 8192
# Enough that measuring the first and the last snapshot, only on MOLE's side, costs little.
MEMBER_STEPS = {"mlp 784-10-10": 8192, "cnn, D = 5,370": 512, "vit, 64 tokens of 32": 256}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=[name.split()[0].strip(",") for name in CASES])
    flags = parser.parse_args()
    peak = machine.product_rates()
    print("products, GFLOP/s: " + ", ".join(f"{k} {v / 1e9:.0f}" for k, v in peak.items()))
    rows, found = [], {}
    for name in CASES:
        if flags.only and not name.startswith(flags.only):
            continue
        rates, operations = of_case(name, flags.rounds)
        best = {
            side: max((n for n in rates if n[0] == side), key=lambda n: rates[n])
            for side in dict.fromkeys(side for side, _ in rates)
        }
        ours = rates[best["MOLE"]]
        for side, at in best.items():
            share = rates[at] * operations / peak["jax float32"]
            rows.append([name, side, at[1], rates[at], ours / rates[at], f"{share:.0%}"])
        found[name] = {
            "product_flops_per_second": peak,
            "flops_per_member_step": operations,
            "member_steps_per_second": {
                f"{side}, {n} at once": r for (side, n), r in rates.items()
            },
        }
    head = (
        "network",
        "side",
        "at once",
        "member-steps/s",
        "MOLE / side",
        "of the product rate",
    )
    print(machine.table(head, rows))
    machine.write("populations", cases=machine.known("populations", "cases") | found)


def of_case(name: str, rounds: int) -> tuple[dict[tuple[str, int], float], float]:
    """Measure member-steps per second of each side at each width, and FLOP of a member-step."""
    network, shape, batch, widths = CASES[name]
    times = GPU if jax.default_backend() == "gpu" else 1
    widths = (1, *(times * width for width in widths[1:]))
    with tempfile.TemporaryDirectory() as folder:
        family = _family(network, shape, Path(folder))
    total = times * MEMBER_STEPS[name]
    sides: dict[tuple[str, int], Callable[[], Any]] = {}
    steps: dict[tuple[str, int], int] = {}
    for width in widths:
        n = min(max(total // width, 4), MOST_STEPS)
        for shared in (True, False):
            if not shared and width not in widths[1::2]:
                continue
            side = "MOLE" if shared else "MOLE, own minibatches"
            sides[side, width] = _ours(family, batch, width, n, shared)
            steps[side, width] = n * width
    if machine.torch_or_none() is None:
        print("PyTorch is not installed: only MOLE is measured (requirements-bench.txt)")
    else:
        from benchmarks import torch_networks

        for width in widths:
            n = max(min(total // width, MOST_STEPS) // 8, 3)
            if width == 1:
                sides["PyTorch, one by one", 1] = torch_networks.one_by_one(
                    network, shape, CLASSES, batch, n
                )
                steps["PyTorch, one by one", 1] = n
                continue
            for shared in (True, False):
                if not shared and width not in widths[1::2]:
                    continue
                side = "torch.func vmap" + ("" if shared else ", own minibatches")
                sides[side, width] = torch_networks.vmapped(
                    network, shape, CLASSES, batch, width, n, shared
                )
                steps[side, width] = n * width
    seconds = machine.in_turn(sides, rounds)
    return {key: steps[key] / s for key, s in seconds.items()}, _operations(family, batch)


def _family(network: dict[str, Any], shape: tuple[int, ...], folder: Path) -> Any:
    """Return a data subset of ten classes of noise: what is learned does not matter here."""
    rng_ = np.random.default_rng(0)
    n = CLASSES * IMAGES * 4
    images = rng_.integers(0, 256, (n, *shape), np.uint8)
    labels = np.repeat(np.arange(CLASSES), n // CLASSES)
    np.savez(folder / "noise.npz", image=images, label=labels)
    config = configs.load(str(Path(__file__).parents[1] / "configs" / "digits_mlp.py"))
    different = {
        "data.source": f"npz:{folder / 'noise.npz'}",
        "data.classes_per_subset": CLASSES,
        "data.held_out_subsets": 0,
        "data.train_subsets": 1,
        "data.max_per_class": {"train": IMAGES, "support": IMAGES, "validation": 1, "test": 1},
        "data.support_per_class": 5,
    }
    different |= {f"network.{key}": value for key, value in network.items()}
    return families.build(experiment.change(config, different))


def _ours(family: Any, batch: int, width: int, steps: int, shared: bool) -> Callable[[], Any]:
    recipe = Recipe((0, steps), batch, "constant", ("adam",), shared)
    ones = jnp.ones((1, width))
    hyper = Hyperparameters(3e-3 * ones, 0 * ones, ones, jnp.zeros((1, width), jnp.int32))
    key, mesh = rng.key(0), mesh_lib.first_device()
    starts = engine.initial(family.network, key, jnp.arange(width)[None], hyper)
    return lambda: engine.train(
        family.network,
        recipe,
        family.device_data,
        jnp.zeros(1, jnp.int32),
        jax.random.split(key, 1),
        starts,
        hyper,
        mesh=mesh,
    )


def _operations(family: Any, batch: int) -> float:
    """Count FLOP of the products of one member's step."""
    network = family.network
    params = jax.eval_shape(network.init, jax.random.key(0))
    x = jax.ShapeDtypeStruct((batch, network.example_size), jnp.float32)
    y = jax.ShapeDtypeStruct((batch,), jnp.int32)
    return flops.count(
        jax.grad(lambda p, x, y: jnp.mean(cross_entropy(network.apply(p, x), y))), params, x, y
    )


if __name__ == "__main__":
    leave(explained(main))

"""The plainest rival on known classes: one network of all ten digits, cut to the five of a task.

    python -m benchmarks.one_network

It is trained as the demo's networks are, 64-16-10, on the images of all ten digits. For a task of
the demo's S1, five of its outputs are kept. Which five, the support set says: the class that most
of a label's ten examples are taken for. The rate is chosen on the validation pool. Writes
benchmarks/results/one_network.json.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import machine
from mole_jax.core.program import config as configs
from mole_jax.core.program.command import explained, leave
from mole_jax.tasks import family as families
from mole_jax.tasks.networks import mlp

CONFIG = Path(__file__).parents[1] / "configs" / "digits_mlp.py"
RATES = (1e-3, 3e-3, 1e-2)
SEEDS, STEPS, BATCH, SHOWN = 5, 3000, 64, 10


def main() -> None:
    """Train, cut, print, write."""
    family: Any = families.build(configs.load(str(CONFIG)))
    pools = {name: _pool(family, name) for name in family.device_data.tables}
    tasks = [np.array(s.classes) for s in family.subsets if s.split == "S1"]
    network = mlp.build(mlp.MLPConfig((16,)), family.network.input_shape, 10)
    found = {}
    for seed in range(SEEDS):
        of_rates = [_trained(network, pools["train"], rate, seed) for rate in RATES]
        params = min(of_rates, key=lambda p: _loss(network, p, *pools["validation"]))
        outputs = {k: np.asarray(network.apply(params, x)) for k, (x, _) in pools.items()}
        rng = np.random.default_rng(seed)
        scores = [_score(outputs, pools, classes, rng) for classes in tasks]
        found[str(seed)] = float(np.mean(scores))
        print(f"seed {seed}: {100 * found[str(seed)]:.2f} % on {len(tasks)} tasks", flush=True)
    machine.write("one_network", accuracy=found)


def _pool(family: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of a pool as networks take them, [n, F], and their digits [n]."""
    data = family.device_data
    indices, counts = (np.asarray(x) for x in data.tables[name])
    images = np.asarray(data.pixels, np.float32) * np.asarray(data.scale) + np.asarray(data.shift)
    rows = np.concatenate([own[:n] for own, n in zip(indices, counts, strict=True)])
    return images[rows], np.repeat(np.arange(len(counts)), counts)


def _trained(network: Any, pool: tuple[np.ndarray, np.ndarray], rate: float, seed: int) -> Any:
    inputs, labels = (jnp.asarray(x) for x in pool)
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, STEPS))
    key, params = jax.random.key(seed), network.init(jax.random.key(seed))

    def step(i: jax.Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
        params, moments = state
        rows = jax.random.randint(jax.random.fold_in(key, i), (BATCH,), 0, len(labels))
        slope = jax.grad(functools.partial(_loss, network))(params, inputs[rows], labels[rows])
        updates, moments = optimizer.update(slope, moments)
        return optax.apply_updates(params, updates), moments

    run = jax.jit(lambda state: jax.lax.fori_loop(0, STEPS, step, state))
    return run((params, optimizer.init(params)))[0]


def _loss(network: Any, params: Any, inputs: Any, labels: Any) -> Any:
    logits = network.apply(params, jnp.asarray(inputs))
    return optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(labels)).mean()


def _score(
    outputs: dict[str, np.ndarray],
    pools: dict[str, tuple[np.ndarray, np.ndarray]],
    classes: np.ndarray,
    rng: np.random.Generator,
) -> float:
    """Return the accuracy on a task's test images, with the outputs that its support set names."""
    taken, labels = outputs["support"].argmax(1), pools["support"][1]
    shown = [rng.choice(taken[labels == c], SHOWN, replace=False) for c in classes]
    kept = [np.bincount(own, minlength=outputs["support"].shape[1]).argmax() for own in shown]
    mine = np.isin(pools["test"][1], classes)
    answers = outputs["test"][mine][:, kept].argmax(1)
    return float(np.mean(classes[answers] == pools["test"][1][mine]))


if __name__ == "__main__":
    leave(explained(main))

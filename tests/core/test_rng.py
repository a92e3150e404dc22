"""Keys depend on seed, name and step, and on nothing else."""

from __future__ import annotations

import subprocess
import sys

import jax
import numpy as np

from mole_jax.core import rng


def bits(key: jax.Array) -> tuple[int, ...]:
    return tuple(np.asarray(jax.random.key_data(key)).tolist())


def test_different_seeds_names_and_steps_give_different_keys() -> None:
    keys = {
        bits(rng.at(rng.key(seed), name, step))
        for seed in range(3)
        for name in ("init", "batch", "noise")
        for step in range(4)
    }
    assert len(keys) == 3 * 3 * 4


def test_a_traced_step_gives_the_same_key() -> None:
    root = rng.key(0)
    traced = jax.jit(lambda step: rng.at(root, "batch", step))(7)
    assert bits(traced) == bits(rng.at(root, "batch", 7))


def test_names_mean_the_same_in_another_process() -> None:
    code = (
        "import jax; from mole_jax.core import rng;"
        "print(tuple(jax.random.key_data(rng.named(rng.key(5), 'init')).tolist()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(bits(rng.named(rng.key(5), "init")))

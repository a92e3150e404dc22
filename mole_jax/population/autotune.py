"""How many members train side by side in a thread of a device: measured once, kept, and logged.

More members at once make larger products, until their parameters and activations no longer fit into
a cache. That number depends on the network and the machine, by factors of two and more either way,
so it is measured. Results do not depend on it beyond rounding.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mole_jax.core import rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import cache_folder
from mole_jax.population import engine
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import Recipe
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks.family import DeviceData
from mole_jax.tasks.networks import Network

FIRST = 8  # first candidate; each next one is GROWTH times as large; 1 is tried if this one is best
GROWTH = 8
SECONDS = 0.3  # of each candidate, without compilation
GIVE_UP = 0.8  # of the best rate so far: no larger candidate after one below it
# Measuring ends when it has taken this share of the training time at the best rate so far.
WORTH = 1 / 3


@dataclasses.dataclass(frozen=True)
class Tuned:
    """How many members to train at once, and what was measured."""

    at_once: int
    cpu_threads: int  # of each device
    rates: dict[int, float]  # members at once in each thread -> member-steps/s of a device

    def __str__(self) -> str:
        tried = ", ".join(f"{at_once}: {rate:,.0f}" for at_once, rate in sorted(self.rates.items()))
        where = f"each of {self.cpu_threads} threads" if self.cpu_threads > 1 else "a device"
        return f"{self.at_once} members at once in {where} (member-steps/s of a device: {tried})"


def choose(
    network: Network,
    recipe: Recipe | PPORecipe,
    data: DeviceData,
    groups: int,
    members: int,
    runs: int,
) -> Tuned:
    """Find the fastest number at once, for `groups` data subsets of `members` on each device.

    A CPU trains one part of them in each thread (see `engine.cpu_threads`).

    A few steps are measured on the first device, for as long as that may pay off over `runs` runs
    on each. Earlier measurements of the same question on this machine are read from `cache_file()`.
    """
    cpu_threads = engine.cpu_threads(mesh_lib.first_device())
    most = -(-groups * members // cpu_threads)
    name = _name(network, recipe, data, most, runs)
    known = _read()
    if name in known:
        return _fastest(cpu_threads, {int(at_once): rate for at_once, rate in known[name].items()})
    rates: dict[int, float] = {}
    began = time.monotonic()
    for at_once in candidates(most):
        if rates and not _promises(at_once, rates):
            continue
        rates[at_once] = measure(network, recipe, data, at_once, members)
        left = runs * recipe.snapshot_steps[-1] / max(rates.values())  # seconds
        if time.monotonic() - began > WORTH * left:
            break
    try:
        # Read again: another process may have added to it meanwhile.
        files.write_json(cache_file(), _read() | {name: rates})
    except (OSError, UserError) as problem:
        print(f"population: {cache_file()} cannot be written ({problem})", file=sys.stderr)
    return _fastest(cpu_threads, rates)


def _promises(at_once: int, rates: dict[int, float]) -> bool:
    """Return whether to try one: larger ones until one is slower, 1 if the smallest is best."""
    best = max(rates.values())
    if at_once > max(rates):
        return rates[max(rates)] >= GIVE_UP * best
    return rates[min(rates)] == best


def candidates(most: int) -> list[int]:
    """Return numbers to try, in this order: from FIRST up, `most`, and 1."""
    numbers = [min(FIRST, most)]
    while numbers[-1] < most:
        numbers.append(min(numbers[-1] * GROWTH, most))
    return numbers if numbers == [1] else [*numbers, 1]


def measure(
    network: Network, recipe: Recipe | PPORecipe, data: DeviceData, at_once: int, members: int
) -> float:
    """Measure a device's member-steps per second, with `at_once` members in each thread.

    Snapshots are included.
    """
    last = recipe.snapshot_steps[-1]
    between = max(last // max(len(recipe.snapshot_steps) - 1, 1), 1)
    few = dataclasses.replace(recipe, snapshot_steps=(0, between, 2 * between))
    mesh = mesh_lib.first_device()
    m = min(at_once, members)
    g = -(-at_once // m) * engine.cpu_threads(mesh)
    key = rng.key(0)
    # Made by NumPy: JAX would compile for these a third as long as for the training itself.
    ones: Any = np.ones((g, m), np.float32)
    zeros: Any = np.zeros((g, m), np.int32)
    hyper = Hyperparameters(1e-3 * ones, 0 * ones, ones, zeros)
    size = (g, m, network.spec.size)
    starts: Any = np.random.default_rng(0).standard_normal(size, np.float32)
    starts *= 0.1
    # Only arrays that are on that device alone can be used there.
    data, starts = jax.device_put((data, starts), mesh_lib.replicated(mesh))

    def train() -> Any:
        history = engine.train(
            network,
            few,
            data,
            zeros[:, 0],
            jax.random.split(key, g),
            starts,
            hyper,
            mesh=mesh,
            at_once=at_once,
        )
        return jax.block_until_ready(history)

    train()
    best, spent = float("inf"), 0.0
    while spent < SECONDS:
        began = time.perf_counter()
        train()
        took = time.perf_counter() - began
        best, spent = min(best, took), spent + took
    return g * m * 2 * between / best


def cache_file() -> Path:
    """Return the measurements' file, widths.json in the user's cache."""
    return cache_folder() / "widths.json"


def _fastest(cpu_threads: int, rates: dict[int, float]) -> Tuned:
    return Tuned(max(rates, key=lambda at_once: rates[at_once]), cpu_threads, rates)


def _read() -> dict[str, dict[str, float]]:
    path = cache_file()
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):  # none yet, or not ours: it is only a cache
        return {}
    return found if isinstance(found, dict) else {}


def _name(
    network: Network, recipe: Recipe | PPORecipe, data: DeviceData, most: int, runs: int
) -> str:
    """Return a short name of all that a measurement depends on."""
    shapes = [(x.shape, str(x.dtype)) for x in jax.tree.leaves(data)]
    what = (
        network.name,
        [(path, axes) for path, axes in network.axes.items()],
        [(field.path, field.shape) for field in network.spec.fields],
        dataclasses.asdict(recipe),
        shapes,
        (most, runs),
        jax.__version__,
        jax.devices()[0].device_kind,
        jax.local_device_count(),
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    )
    return f"{network.name} {hashlib.sha256(repr(what).encode()).hexdigest()[:16]}"

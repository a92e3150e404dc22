"""The runs of a config's data subsets: how they are numbered and trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.core.devices import distributed
from mole_jax.population import autotune, engine, hyperparameters, recipes
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import History
from mole_jax.tasks.family import TaskFamily


def train_subsets(
    config: Mapping[str, Any],
    family: TaskFamily,
    subsets: np.ndarray,
    mesh: jax.sharding.Mesh,
    members: np.ndarray | None = None,
    at_once: int = 0,
) -> tuple[Hyperparameters, History]:
    """Train members of some data subsets.

    Args:
        config: the experiment.
        family: its tasks.
        subsets: [G] positions in the task table.
        mesh: the devices.
        members: [M] consecutive numbers of members; by default all of `population.members`.
        at_once: how many train side by side in a thread of a device; 0: all.

    Returns:
        Hyperparameters [G, M] and histories [G, M, S, ...].
    """
    population = config["population"]
    root = rng.named(rng.key(config["seed"]), "population")
    base, n_subsets = population["members"], len(family.subsets)
    members = np.arange(base) if members is None else np.asarray(members)
    run = run_numbers(subsets, members, n_subsets, base)  # [G, M]
    hyper = jax.vmap(
        jax.vmap(lambda i: hyperparameters.draw(population, rng.at(root, "hyperparameters", i)))
    )(jnp.asarray(run))
    start = run  # the run whose initial network each begins from
    if population["shared_start"]:
        shared = shared_start(n_subsets, base)
        start = np.where(trained_on(family, subsets, members, population), shared, run)
    starts = engine.initial(family.network, root, jnp.asarray(start), hyper)
    each = jnp.broadcast_to(jnp.asarray(subsets)[:, None], run.shape)
    # Nothing changes parameters that no loss depends on: they stay zero.
    starts = family.device_data.begun(family.network, starts, each)
    history = engine.train(
        family.network,
        recipes.of(population, family.network),
        family.device_data,
        jnp.asarray(subsets),
        jax.vmap(lambda i: rng.at(root, "minibatches", i))(jnp.asarray(subsets)),
        starts,
        hyper,
        mesh=mesh,
        first_member=int(members[0]),
        at_once=at_once,
    )
    return hyper, history


def members_at_once(
    config: Mapping[str, Any],
    family: TaskFamily,
    mesh: jax.sharding.Mesh,
    n_subsets: int,
    n_members: int,
    runs: int,
) -> int:
    """Return how many members to train at once in each thread of a device.

    This is `population.at_once`, or else the fastest number here, which is measured once, for as
    long as that may pay off over this number of runs on all devices.
    """
    population = config["population"]
    if population.get("at_once", 0):  # a stored config lacks it
        return population["at_once"]
    recipe = recipes.of(population, family.network)
    found = autotune.choose(
        family.network,
        recipe,
        family.device_data,
        -(-n_subsets // mesh.size),
        n_members,
        -(-runs // mesh.size),
    )
    if distributed.is_first():
        print(f"population: {found}", flush=True)
    return found.at_once


def trained_on(
    family: TaskFamily, subsets: np.ndarray, members: np.ndarray, population: Mapping[str, Any]
) -> np.ndarray:
    """Return which members of some data subsets the meta-model will be trained on: [G, M] bool.

    For a training subset: all but the last `held_out_members` of `members`, and all added later.
    """
    seen = np.array([family.subsets[i].split == "train" for i in subsets])
    base = population["members"]
    held_out = (members >= base - population["held_out_members"]) & (members < base)
    return seen[:, None] & ~held_out


def run_numbers(subsets: np.ndarray, members: np.ndarray, n_subsets: int, base: int) -> np.ndarray:
    """Return the numbers from which runs draw their starts and hyperparameters: [G, M].

    The first `base` members of every data subset are numbered subset by subset; after them comes
    the number of a start that runs may share, and then members added later, member by member. So a
    run keeps its number, however many are added.

    Args:
        subsets: [G] positions in the task table.
        members: [M] of each.
        n_subsets: length of the task table.
        base: `population.members` of the zoo's config.
    """
    subsets, members = subsets[:, None], members[None]
    added = shared_start(n_subsets, base) + 1 + (members - base) * n_subsets + subsets
    return np.where(members < base, subsets * base + members, added)


def shared_start(n_subsets: int, base: int) -> int:
    """Return the number of the start that runs may share: one that no run has."""
    return n_subsets * base

"""Train many networks from given starts, in calls of one shape."""

from __future__ import annotations

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.core.devices import distributed
from mole_jax.evaluation.harness import evaluation_config
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.population import engine, recipes
from mole_jax.population.hyperparameters import OPTIMIZERS, Hyperparameters
from mole_jax.population.member import POOLS, Recipe
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network

# Snapshots lie densely where the loss falls fast.
_POWER = 2.0


@dataclasses.dataclass(frozen=True)
class Curves:
    """What ordinary training gave, from each start."""

    steps: np.ndarray  # [S]
    metrics: dict[str, np.ndarray]  # "test_loss", "validation_score", ... each [G, M, S], on
    # the pools that the recipe measures
    networks: np.ndarray  # [G, M, D] of one snapshot
    seconds_per_network: float  # of the fastest call: without compilation, if there are two


def recipe(context: EvalContext, points: int) -> Recipe | PPORecipe:
    """Return a recipe: Adam with the population's batch size and schedule, `points` snapshots.

    Nothing is measured on the training pool: it is the largest, and those numbers are not used.
    """
    at = recipes.snapshot_steps(evaluation_config.adam_steps(context.config), points, _POWER)
    found = recipes.adam(recipes.of(context.config["population"], context.family.network), at)
    return dataclasses.replace(found, measured=POOLS[1:]) if isinstance(found, Recipe) else found


def train(
    context: EvalContext,
    recipe: Recipe | PPORecipe,
    tasks: np.ndarray,
    key: jax.Array,
    group_ids: np.ndarray,
    starts: np.ndarray,
    rates: np.ndarray,
    *,
    members: int,
    groups: int,
    dataset: Examples | None = None,
    keep: int = -1,
) -> Curves:
    """Train G x M networks with Adam; M is padded to `members` and G comes in calls of `groups`.

    Args:
        context: where the tasks are.
        recipe: static choices.
        tasks: [G] the task of each group, whose networks share minibatches.
        key: PRNG key.
        group_ids: [G], folded into `key` to draw each group's minibatches.
        starts: [G, M, D].
        rates: [G, M] learning rates.
        members: networks of a group in every call, at least M.
        groups: groups in every call.
        dataset: leaves [G, n, ...]: train on these examples and on nothing else.
        keep: position of the snapshot whose networks are returned.

    Returns:
        Curves [G, M, S].
    """
    n_groups, n_members = rates.shape
    column = np.minimum(np.arange(members), n_members - 1)
    calls, networks, seconds = [], [], []
    for first in range(0, n_groups, groups):
        rows = np.minimum(np.arange(first, first + groups), n_groups - 1)
        rate = jnp.asarray(rates[rows][:, column], jnp.float32)
        began = time.monotonic()
        history = engine.train(
            context.family.network,
            recipe,
            context.family.device_data,
            jnp.asarray(tasks[rows]),
            _keys(key, jnp.asarray(group_ids[rows])),
            jnp.asarray(starts[rows][:, column]),
            _hyperparameters(rate),
            mesh=context.mesh,
            dataset=jax.tree.map(lambda x, rows=rows: jnp.asarray(x[rows]), dataset),
            at_once=at_once(context.family.network, _batch_size(recipe)),
        )
        metrics, kept = distributed.gather((history.metrics, history.parameters[:, :, keep]))
        seconds.append((time.monotonic() - began) / rate.size)
        calls.append({name: value[:, :n_members] for name, value in metrics.items()})
        networks.append(kept[:, :n_members])
    merged = {name: np.concatenate([c[name] for c in calls])[:n_groups] for name in calls[0]}
    for pool in recipe.measured if isinstance(recipe, Recipe) else POOLS:
        score = merged.pop(f"{pool}_{context.family.score}")
        merged[f"{pool}_score"] = score / context.family.score_unit
    final = np.concatenate(networks)[:n_groups]
    return Curves(np.array(recipe.snapshot_steps), merged, final, min(seconds))


def at_once(network: Network, batch_size: int) -> int:
    """Return how many networks a thread trains at once, before it trains the others; 0: all.

    As many as fit in a CPU's cache. A thread takes 411 steps/s with one CNN on images of 28x28, and
    140 with 63 of them at once.
    """
    if not network.microbatch or not batch_size or jax.default_backend() != "cpu":
        return 0
    return max(network.microbatch // batch_size, 1)


def _batch_size(recipe: Recipe | PPORecipe) -> int:
    return recipe.batch_size if isinstance(recipe, Recipe) else 0


@jax.jit
def _keys(key: jax.Array, group_ids: jax.Array) -> jax.Array:
    """Return the keys of minibatches, derived as the zoo derives its own: [G]."""
    return jax.vmap(lambda i: rng.at(key, "minibatches", i))(group_ids)


def _hyperparameters(rate: jax.Array) -> Hyperparameters:
    return Hyperparameters(
        learning_rate=rate,
        weight_decay=jnp.zeros_like(rate),
        init_scale=jnp.ones_like(rate),
        optimizer=jnp.full(rate.shape, OPTIMIZERS.index("adam"), jnp.int32),
    )

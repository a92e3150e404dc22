"""What a step of ordinary training costs, in seconds and FLOP, with nothing measured on the way."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.devices import flops
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.evaluation.baselines import training
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.population import recipes
from mole_jax.population.member import Recipe
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks.classification import cross_entropy
from mole_jax.tasks.networks import Network

# What is timed: about FLOP of work in FEWEST to MOST steps. A step of PPO is an iteration, which
# runs environments, too. PPO measures networks at both ends of a training, so the difference of two
# trainings is taken.
FEWEST, MOST, FLOP = 5, 200, 2e10
ITERATIONS = (1, 5)
CALLS = 2  # after the one that compiles; the fastest counts


def seconds(context: EvalContext, rate: float, n: int, *, on_support: bool = False) -> float:
    """Time a step of Adam per network, with n networks trained at once.

    Args:
        context: where the tasks are; networks are of the main split.
        rate: the learning rate.
        n: how many networks.
        on_support: whether they train on their support sets, in minibatches no larger than these.
            Otherwise they train on the training pool, and networks of a task share minibatches.
    """
    context = context if n > 1 else dataclasses.replace(context, mesh=mesh_lib.first_device())
    recipe = training.recipe(context, 2)
    if isinstance(recipe, PPORecipe):
        few, many = ITERATIONS
        short, long = (_fastest(context, recipe, rate, n, steps) for steps in ITERATIONS)
        return max(long - short, 0.0) / (many - few)
    if on_support:
        recipe = of_support(context, recipe)
    recipe = dataclasses.replace(recipe, measured=())
    each = n * step_flops(context.family.network, recipe)
    steps = int(np.clip(FLOP / max(each, 1.0), FEWEST, MOST))
    return _fastest(context, recipe, rate, n, steps, on_support=on_support) / steps


def of_support(context: EvalContext, recipe: Recipe) -> Recipe:
    """Return a recipe whose minibatches are no larger than the main split's support sets."""
    largest = int(np.asarray(context.splits[context.main_split].support.mask).sum(-1).max())
    return dataclasses.replace(recipe, batch_size=min(recipe.batch_size, largest))


def _fastest(
    context: EvalContext,
    recipe: Recipe | PPORecipe,
    rate: float,
    n: int,
    steps: int,
    *,
    on_support: bool = False,
) -> float:
    """Return the seconds per network of `steps` steps of n networks, without compilation."""
    recipe = dataclasses.replace(recipe, snapshot_steps=(0, steps))
    episodes = context.splits[context.main_split]
    members = 1 if on_support else min(episodes.shape[1], n)
    groups = -(-n // members)
    rows = np.resize(np.arange(len(episodes.tasks)), groups)
    support = None
    if on_support:
        support = jax.tree.map(lambda x: x[rows, 0], episodes.support)

    def train() -> float:
        found = training.train(
            context,
            recipe,
            episodes.tasks[rows],
            context.key("timing"),
            rows,
            episodes.starts[rows, :members],
            np.full((groups, members), rate, np.float32),
            members=members,
            groups=groups,
            dataset=support,
        )
        return found.seconds_per_network

    train()
    return min(train() for _ in range(CALLS))


def step_flops(network: Network, recipe: Recipe | PPORecipe) -> float:
    """Count the FLOP of products in a step of one network: a minibatch's loss and its gradient.

    For PPO, count 6 for each parameter and environment step learned from; running the environments
    is left out.
    """
    examples = recipes.examples_per_step(recipe)
    if isinstance(recipe, PPORecipe):
        return 6.0 * network.spec.size * examples

    def loss(params: Any, x: jax.Array, labels: jax.Array) -> jax.Array:
        return jnp.mean(cross_entropy(network.apply(params, x), labels))

    params = jax.eval_shape(network.init, jax.random.key(0))
    inputs = jax.ShapeDtypeStruct((examples, network.n_inputs), jnp.float32)
    labels = jax.ShapeDtypeStruct((examples,), jnp.int32)
    return flops.count(jax.grad(loss), params, inputs, labels)

"""Train one policy by PPO: a pure function of its keys, its problem and its hyperparameters.

Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) with generalised advantage
estimation (Schulman et al. 2016, arXiv 1506.02438).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.population.hyperparameters import Hyperparameters
from mole_jax.population.member import POOLS, SCHEDULES, History
from mole_jax.population.optimizer import Update
from mole_jax.tasks.control import mean_returns
from mole_jax.tasks.environments import Environment
from mole_jax.tasks.environments.rollout import episode_returns
from mole_jax.tasks.networks import POLICIES, Network, Outputs, mlp, policy
from mole_jax.tasks.networks.mlp import MLPConfig

HELD_OUT = POOLS[1:]  # sets of episodes with keys of their own
METRICS = tuple(f"{pool}_{kind}" for pool in POOLS for kind in ("loss", "return"))


@dataclasses.dataclass(frozen=True)
class PPORecipe:
    """The static part of a training: the same for every member.

    The defaults are those of G.pt (Peebles et al. 2022), whose policies are trained for 500
    iterations.
    """

    snapshot_steps: tuple[int, ...]  # iterations, increasing, the first is 0
    environments: int = 512  # side by side
    rollout: int = 16  # steps of each environment in an iteration
    epochs: int = 8
    minibatches: int = 2
    clip: float = 0.2
    discount: float = 0.99
    gae_lambda: float = 0.95
    value_coefficient: float = 2.0
    entropy_coefficient: float = 0.0
    gradient_norm: float = 2.0
    schedule: str = "cosine"  # one of SCHEDULES
    optimizers: tuple[str, ...] = ("adam",)
    evaluation_episodes: int = 8  # of each of HELD_OUT
    coupled_decay: bool = False  # weight decay is a part of the gradient


class _Worlds(NamedTuple):
    """The environments side by side; leaves [E, ...]."""

    state: Any
    time: jax.Array  # [E] steps since the episode began
    so_far: jax.Array  # [E] rewards since the episode began
    finished: jax.Array  # [E] return of the last episode that ended


class _Transition(NamedTuple):
    """Transitions of a rollout; leaves [T, E, ...]."""

    observation: jax.Array
    action: jax.Array
    log_probability: jax.Array
    reward: jax.Array
    after: jax.Array  # the next observation, before any reset
    terminated: jax.Array
    ended: jax.Array  # terminated, or cut off at the horizon


class _Batch(NamedTuple):
    """Training data of an iteration; leaves [E, T, ...]."""

    observation: jax.Array
    action: jax.Array
    log_probability: jax.Array
    advantage: jax.Array
    value: jax.Array  # target of the value network


def check(recipe: PPORecipe, network: Network, environment: Environment) -> None:
    """Raise UserError for a recipe, a network and an environment that do not go together."""
    steps = recipe.snapshot_steps
    if steps[:1] != (0,) or any(a >= b for a, b in itertools.pairwise(steps)):
        raise UserError(f"snapshot_steps={steps} must begin with 0 and increase")
    for name in ("environments", "rollout", "epochs", "minibatches", "evaluation_episodes"):
        if getattr(recipe, name) < 1:
            raise UserError(f"population.{name}={getattr(recipe, name)} must be 1 or more")
    if recipe.environments % recipe.minibatches:
        raise UserError(
            f"population.minibatches={recipe.minibatches} must divide "
            f"population.environments={recipe.environments}: a minibatch is a share of them"
        )
    for name in ("clip", "gradient_norm"):
        if not getattr(recipe, name) > 0:
            raise UserError(f"population.{name}={getattr(recipe, name)} must be above 0")
    if not 0 <= recipe.discount < 1:
        raise UserError(f"population.discount={recipe.discount} must be 0 or more and below 1")
    if not 0 <= recipe.gae_lambda <= 1:
        raise UserError(f"population.gae_lambda={recipe.gae_lambda} must lie in 0..1")
    if recipe.schedule not in SCHEDULES:
        raise UserError(f"population.schedule={recipe.schedule!r} is unknown; use {SCHEDULES}")
    if network.classifies:
        raise UserError(f"network.name={network.name!r} is no policy; there are {POLICIES}")
    acted = 1 if network.outputs is Outputs.CATEGORICAL else network.n_outputs
    if network.n_inputs != environment.n_observations or acted != environment.n_actions:
        raise UserError(
            f"a {network.name} from {network.n_inputs} numbers to {acted} actions does not fit "
            f"{environment.name!r}: it has {environment.n_observations} observations and "
            f"{environment.n_actions} actions"
        )


def train(
    network: Network,
    recipe: PPORecipe,
    update: Update,
    environment: Environment,
    parameters: jax.Array,
    key: jax.Array,
    params: dict[str, Any],
    hyper: Hyperparameters,
    evaluation_key: jax.Array | None = None,
) -> History:
    """Train one policy and keep its snapshots; vmaps over all from `parameters` on.

    When an episode ends, its environment begins a new one. For the value network, an episode that
    is cut off at the horizon is not over: its prediction for the observation after the last step is
    the return from there on. Only terminated episodes have no return afterwards.

    Args:
        network: a policy.
        recipe: static choices.
        update: the update rule of the policy and its value network.
        environment: the family of problems.
        parameters: [P] of this problem.
        key: draws rollouts, minibatches and the start of the value network.
        params: the policy's start.
        hyper: this member's hyperparameters; they serve the value network, too.
        evaluation_key: draws the evaluation episodes: give members the same to compare them.
            Without it they are drawn from `key`.

    Returns:
        History with S = len(recipe.snapshot_steps). `validation_return` and `test_return` are the
        mean returns of the policy that takes its likeliest action; `train_return` that of the last
        episode that ended in each training environment, with drawn actions. Before training begins,
        one such episode is run in each. Losses are 1 - return / horizon, the share of the greatest
        return that is missed.

    Raises:
        UserError: see `check`.
    """
    check(recipe, network, environment)
    chex.assert_shape(parameters, (environment.n_parameters,), custom_message="parameters [P]")
    steps = jnp.asarray(recipe.snapshot_steps)
    last = max(recipe.snapshot_steps[-1], 1)
    critic = _critic(network)
    evaluation_key = key if evaluation_key is None else evaluation_key

    def iteration(i: jax.Array, carry: Any) -> Any:
        worlds, nets, state = carry
        rate = 0.5 * (1 + jnp.cos(jnp.pi * i / last)) if recipe.schedule == "cosine" else 1.0
        worlds, seen = _rollout(
            network, recipe, environment, parameters, rng.at(key, "rollout", i), worlds,
            nets["policy"],
        )  # fmt: skip
        batch = _batch(recipe, critic, nets["value"], seen)
        nets, state = _improve(
            network, recipe, update, critic, batch, rng.at(key, "minibatches", i), nets, state,
            hyper, jnp.float32(rate),
        )  # fmt: skip
        return worlds, nets, state

    def snapshot(carry: Any) -> History:
        worlds, nets, _ = carry
        returns = mean_returns(
            network,
            environment,
            parameters,
            nets["policy"],
            evaluation_key,
            HELD_OUT,
            recipe.evaluation_episodes,
        )
        returns["train"] = jnp.mean(worlds.finished)
        return History(network.spec.flatten(nets["policy"]), metrics(environment, returns))

    def segment(carry: Any, bounds: tuple[jax.Array, jax.Array]) -> tuple[Any, History]:
        carry = jax.lax.fori_loop(*bounds, iteration, carry)
        return carry, snapshot(carry)

    nets = {"policy": params, "value": critic.init(rng.named(key, "value"))}
    worlds = _begin(network, recipe, environment, parameters, key, params)
    carry = worlds, nets, update.init(update.theta, nets)
    # The first segment is empty: the start is a snapshot like any other.
    return jax.lax.scan(segment, carry, (jnp.roll(steps, 1).at[0].set(0), steps))[1]


def metrics(environment: Environment, returns: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """Return METRICS of mean returns on POOLS, which may have any shape."""
    found = {f"{pool}_return": value for pool, value in returns.items()}
    return found | {
        # Subtract before dividing, so that a perfect return has a loss of exactly 0.
        f"{pool}_loss": (environment.horizon - value) / environment.horizon
        for pool, value in returns.items()
    }


@functools.cache
def _critic(network: Network) -> Network:
    """Return the value network: an MLP with the hidden layers of the policy."""
    hidden = tuple(network.sizes[axis] for (axis,) in network.units)
    return mlp.build(MLPConfig(hidden, "tanh"), network.input_shape, 1)


def _begin(
    network: Network,
    recipe: PPORecipe,
    environment: Environment,
    parameters: jax.Array,
    key: jax.Array,
    params: dict[str, Any],
) -> _Worlds:
    """Start every environment's episode, after a whole one each for the first return."""
    n = recipe.environments

    def act(observation: jax.Array, key: jax.Array) -> jax.Array:
        return policy.controls(network, policy.sample(network, params, observation, key))

    before = jax.random.split(rng.named(key, "before"), n)
    reset = jax.vmap(environment.reset, (None, 0))
    return _Worlds(
        state=reset(parameters, jax.random.split(rng.named(key, "begin"), n)),
        time=jnp.zeros(n, jnp.int32),
        so_far=jnp.zeros(n),
        finished=episode_returns(environment, parameters, act, before),
    )


def _rollout(
    network: Network,
    recipe: PPORecipe,
    environment: Environment,
    parameters: jax.Array,
    key: jax.Array,
    worlds: _Worlds,
    params: dict[str, Any],
) -> tuple[_Worlds, _Transition]:
    """Act in every environment for `recipe.rollout` steps."""
    observe = jax.vmap(environment.observe)
    advance = jax.vmap(environment.step, (None, 0, 0))

    def step(worlds: _Worlds, drawn: tuple[jax.Array, Any]) -> tuple[_Worlds, _Transition]:
        action_key, fresh = drawn
        observation = observe(worlds.state)  # [E, O]
        action = policy.sample(network, params, observation, action_key)
        state, reward, terminated = advance(
            parameters, worlds.state, policy.controls(network, action)
        )
        time, so_far = worlds.time + 1, worlds.so_far + reward
        ended = terminated | (time >= environment.horizon)
        seen = _Transition(
            observation=observation,
            action=action,
            log_probability=policy.log_probability(network, params, observation, action),
            reward=reward,
            after=observe(state),
            terminated=terminated,
            ended=ended,
        )
        worlds = _Worlds(
            state=jax.tree.map(lambda new, old: _where(ended, new, old), fresh, state),
            time=jnp.where(ended, 0, time),
            so_far=jnp.where(ended, 0.0, so_far),
            finished=jnp.where(ended, so_far, worlds.finished),
        )
        return worlds, seen

    shape = recipe.rollout, recipe.environments
    # Drawn all at once: in the loop, random numbers would take longer than all else.
    reset = jax.vmap(jax.vmap(environment.reset, (None, 0)), (None, 0))
    fresh = reset(parameters, jax.random.split(rng.named(key, "reset"), shape))
    action_keys = jax.random.split(rng.named(key, "action"), recipe.rollout)
    return jax.lax.scan(step, worlds, (action_keys, fresh))


def _where(mask: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """Choose rows: mask [E], the others [E, ...]."""
    return jnp.where(mask.reshape(-1, *[1] * (new.ndim - 1)), new, old)


def _batch(recipe: PPORecipe, critic: Network, params: dict[str, Any], seen: _Transition) -> _Batch:
    """Compute advantages and value targets, by generalised advantage estimation.

    Rewards are multiplied by 1 - discount, so that values are means of rewards rather than sums,
    and the value network's outputs start in the right range.
    """

    def values(observation: jax.Array) -> jax.Array:
        return critic.apply(params, observation)[..., 0]

    before, after = values(seen.observation), values(seen.after)  # [T, E]
    onward = jnp.where(seen.terminated, 0.0, after)
    surprise = (1 - recipe.discount) * seen.reward + recipe.discount * onward - before
    trace = jnp.where(seen.ended, 0.0, recipe.discount * recipe.gae_lambda)

    def step(later: jax.Array, now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        advantage = now[0] + now[1] * later
        return advantage, advantage

    start = jnp.zeros_like(surprise[0])
    _, advantage = jax.lax.scan(step, start, (surprise, trace), reverse=True)  # [T, E]
    batch = _Batch(
        seen.observation, seen.action, seen.log_probability, advantage, advantage + before
    )
    return jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), batch)


def _improve(
    network: Network,
    recipe: PPORecipe,
    update: Update,
    critic: Network,
    batch: _Batch,
    key: jax.Array,
    nets: dict[str, Any],
    state: Any,
    hyper: Hyperparameters,
    rate: jax.Array,
) -> tuple[dict[str, Any], Any]:
    """Train for all epochs over a batch.

    A minibatch is a random share of the environments with all their steps: to shuffle the steps
    themselves would take as long as to learn from them.
    """

    def step(carry: Any, minibatch: _Batch) -> tuple[Any, None]:
        nets, state = carry
        grads = jax.grad(_loss)(nets, network, recipe, critic, minibatch)
        clip = optax.clip_by_global_norm(recipe.gradient_norm)
        grads, _ = clip.update(grads, clip.init(nets))
        return update.apply(update.theta, hyper, state, grads, nets, rate), None

    def epoch(carry: Any, key: jax.Array) -> tuple[Any, None]:
        rows = jax.random.permutation(key, recipe.environments).reshape(recipe.minibatches, -1)
        return jax.lax.scan(lambda c, r: step(c, jax.tree.map(lambda x: x[r], batch)), carry, rows)

    return jax.lax.scan(epoch, (nets, state), jax.random.split(key, recipe.epochs))[0]


def _loss(
    nets: dict[str, Any], network: Network, recipe: PPORecipe, critic: Network, batch: _Batch
) -> jax.Array:
    """Return the clipped surrogate, plus the value network's error, minus the entropy."""
    params = nets["policy"]
    logs = policy.log_probability(network, params, batch.observation, batch.action)
    ratio = jnp.exp(logs - batch.log_probability)
    advantage = (batch.advantage - jnp.mean(batch.advantage)) / (jnp.std(batch.advantage) + 1e-8)
    clipped = jnp.clip(ratio, 1 - recipe.clip, 1 + recipe.clip)
    surrogate = jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage))
    value = critic.apply(nets["value"], batch.observation)[..., 0]
    error = jnp.mean((value - batch.value) ** 2)
    entropy = jnp.mean(policy.entropy(network, params, batch.observation))
    return -surrogate + recipe.value_coefficient * error - recipe.entropy_coefficient * entropy

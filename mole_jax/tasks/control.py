"""Control tasks: one environment with many settings of its parameters, one policy network.

A control task is one setting of the environment's parameters, as a classifier's task is one data
subset; its support set is transitions under random actions.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.tasks import environments, networks, subsets
from mole_jax.tasks.environments import Environment
from mole_jax.tasks.environments.rollout import episode_returns, transitions
from mole_jax.tasks.environments.world import World
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, Outputs, policy
from mole_jax.tasks.subsets import DataSubset

PREFIX = "env"  # of data.source: env:cartpole
# Parameters of tasks: drawn for each task, or the environment's usual ones.
SETTINGS = ("random", "default")
# Significant digits of a task's parameters, so that its name gives them exactly.
_DIGITS = 4
# How near to rest policies are compared, as a share of the region that episodes stay in.
_NEAREST = 0.01
# Situations in which the dynamics of two tasks are compared.
_SITUATIONS = 512


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["parameters", "key"],
    meta_fields=["environment", "episodes"],
)
@dataclasses.dataclass(frozen=True)
class ControlTasks:
    """The settings of an environment on device, to be passed into jit."""

    parameters: jax.Array  # [T, P]
    key: jax.Array  # draws the first states of the episodes in which policies are measured
    environment: Environment
    episodes: int  # of each pool

    @property
    def score_unit(self) -> float:
        """The largest return."""
        return float(self.environment.horizon)

    def support(self, task: jax.Array, key: jax.Array, n: int) -> Examples:
        """Draw n transitions under random actions, as `features` returns them: [n, O + A + O]."""
        found = transitions(self.environment, self.parameters[task], key, n)
        inputs = features(self.environment, found)
        return Examples(inputs, jnp.zeros(n, jnp.int32), jnp.ones(n, bool))

    def classes_of(self, task: jax.Array) -> None:
        """Return None: transitions have no labels."""

    def begun(self, network: Network, flat: jax.Array, task: jax.Array) -> jax.Array:
        """Return the networks as they are: all policies are of one size."""
        return flat

    def world(self, task: jax.Array) -> World:
        """Return the problems of tasks [...]."""
        return World(self.parameters[task], self.environment)

    def inputs(self, task: jax.Array, key: jax.Array, n: int) -> jax.Array:
        """Draw observations [n, O] from the region that episodes stay in, many of them near rest.

        A good policy spends its episodes near rest, and its actions there decide how long they
        last. So each state is a random one of the region, scaled towards rest by a log-uniform
        factor.
        """
        state_key, scale_key = jax.random.split(key)
        states = jax.vmap(self.environment.random_state, (None, 0))(
            self.parameters[task], jax.random.split(state_key, n)
        )
        seen = jax.vmap(self.environment.observe)(states)
        scale = jnp.exp(jax.random.uniform(scale_key, (n, 1), minval=np.log(_NEAREST), maxval=0.0))
        return scale * seen

    def measure(
        self, network: Network, params: Mapping[str, Any], pool: str, task: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Measure loss and return of the policy that takes its likeliest action, each [].

        The return is a share of the largest one; the loss is the share that is missed. All policies
        meet the same first states.
        """
        parameters = self.parameters[task]
        returns = mean_returns(
            network, self.environment, parameters, params, self.key, (pool,), self.episodes
        )
        # Subtract before dividing, so that a perfect return has a loss of exactly 0.
        missed = (self.environment.horizon - returns[pool]) / self.environment.horizon
        return missed, 1 - missed

    def floats_per_eval(self, pool: str) -> int:
        """Count float32 numbers held while one network is measured: one step of each episode."""
        return 8 * self.episodes * self.environment.n_observations

    def dynamics(self, key: jax.Array) -> jax.Array:
        """Return each task's changes of observations in the same situations: [T, n, O]."""
        environment = self.environment
        state_key, action_key = jax.random.split(key)
        states = jax.vmap(environment.random_state, (None, 0))(
            self.parameters[0], jax.random.split(state_key, _SITUATIONS)
        )
        actions = jax.random.uniform(
            action_key, (_SITUATIONS, environment.n_actions), minval=-1.0, maxval=1.0
        )

        def change(parameters: jax.Array, state: Any, action: jax.Array) -> jax.Array:
            after, _, _ = environment.step(parameters, state, action)
            return environment.observe(after) - environment.observe(state)

        each = jax.vmap(change, (None, 0, 0))
        return jax.vmap(each, (0, None, None))(self.parameters, states, actions)


def mean_returns(
    network: Network,
    environment: Environment,
    parameters: jax.Array,
    params: Mapping[str, Any],
    key: jax.Array,
    pools: Sequence[str],
    episodes: int,
) -> dict[str, jax.Array]:
    """Measure the mean return of the policy that takes its likeliest action, on pools of episodes.

    Args:
        network: a policy.
        environment: the family of problems.
        parameters: [P] of this problem.
        params: the policy's parameters.
        key: draws the first states of the episodes, with the name of the pool.
        pools: their names.
        episodes: how many in each pool.

    Returns:
        pool -> [].
    """

    def act(observation: jax.Array, key: jax.Array) -> jax.Array:
        return policy.controls(network, policy.act_greedily(network, dict(params), observation))

    keys = [jax.random.split(rng.named(key, pool), episodes) for pool in pools]
    returns = episode_returns(environment, parameters, act, jnp.concatenate(keys))
    means = jnp.mean(returns.reshape(len(pools), episodes), axis=1)
    return dict(zip(pools, means, strict=True))


def features(environment: Environment, found: jax.Array) -> jax.Array:
    """Return transitions [..., O + A + O] as the meta-model sees them, of the same shape.

    The next observation becomes the rate of change, in tenths of a unit per second: two
    observations so close in time would hardly show what distinguishes tasks.
    """
    o = environment.n_observations
    before, action, after = found[..., :o], found[..., o:-o], found[..., -o:]
    rate = 0.1 * (after - before) / environment.time_step
    return jnp.concatenate([before, action, rate], axis=-1)


@dataclasses.dataclass(frozen=True)
class ControlFamily:
    """Everything that the control tasks of one experiment share."""

    source: str
    environment: Environment
    subsets: tuple[DataSubset, ...]
    network: Network
    episodes: int
    seed: int

    score: ClassVar[str] = "return"
    labelled: ClassVar[bool] = False
    n_classes: ClassVar[int] = 1
    scale: ClassVar[float] = 1.0
    shift: ClassVar[float] = 0.0

    @property
    def score_unit(self) -> float:
        """The largest return: scores are shares of it."""
        return float(self.environment.horizon)

    @property
    def classes_of_tasks(self) -> np.ndarray:  # [T]
        """One for each task: transitions have no labels."""
        return np.ones(len(self.subsets), np.int32)

    @functools.cached_property
    def device_data(self) -> ControlTasks:
        """The tasks as device arrays."""
        return ControlTasks(
            parameters=jnp.asarray(np.array([s.parameters for s in self.subsets], np.float32)),
            key=rng.named(rng.key(self.seed), "episodes"),
            environment=self.environment,
            episodes=self.episodes,
        )

    def chance_score(self, tasks: np.ndarray) -> np.ndarray:
        """Return 0 for each of the tasks [T]: an untrained policy reaches next to nothing."""
        return np.zeros(len(tasks))

    def chance_loss(self, tasks: np.ndarray) -> np.ndarray:
        """Return 1 for each of the tasks [T], the largest loss."""
        return np.ones(len(tasks))

    def indices(self, split: str) -> np.ndarray:
        """Return positions of the tasks of a split ("train" or "S1")."""
        return np.array([i for i, s in enumerate(self.subsets) if s.split == split], np.int32)

    def held_out(self) -> dict[str, np.ndarray]:
        """Return the held-out tasks by split: S1."""
        return {"S1": self.indices("S1")}

    def manifest(self) -> dict[str, Any]:
        """Return the split manifest: which tasks are in which part."""
        return {"pools": {}, "subsets": subsets.by_split(self.subsets)}

    def provenance(self) -> dict[str, Any]:
        """Return nothing: an environment is part of the code."""
        return {}


def environment(config: Mapping[str, Any]) -> Environment | None:
    """Return the environment that `config.data.source` names, None where it names images."""
    kind, _, name = config["data"]["source"].partition(":")
    return environments.build(name) if kind == PREFIX else None


def build(config: Mapping[str, Any]) -> ControlFamily:
    """Return the environment, its settings and the policy network of `config`.

    Raises:
        UserError: for anything in `config.data` or `config.network` that cannot be done.
    """
    c, n = config["data"], config["network"]
    chosen = environment(config)
    assert chosen is not None
    if networks.kind_of(n).classifies:
        raise UserError(
            f"network.name={n['name']!r} does not act: data.source={c['source']!r} needs one of "
            f"{', '.join(networks.POLICIES)}"
        )
    for name in ("held_out_classes", "unseen_class_subsets", "unseen_source_subsets", "imbalance"):
        if c.get(name, 0) not in (0, 1.0):  # only older configs have them
            raise UserError(
                f"data.{name}={c[name]} is about images; leave it out for {chosen.name}"
            )
    settings = c.get("settings", "random")
    if settings not in SETTINGS:
        raise UserError(f"data.settings={settings!r} is unknown; there are {SETTINGS}")
    if settings == "default" and (c["train_subsets"], c["held_out_subsets"]) != (1, 0):
        raise UserError(
            f"data.settings='default' is one task: {chosen.name} as it is usually set. Set "
            f"data.train_subsets={c['train_subsets']} to 1, and data.held_out_subsets="
            f"{c['held_out_subsets']} to 0"
        )
    if c["train_subsets"] < 1 or c["held_out_subsets"] < 0 or c["support_per_class"] < 1:
        raise UserError(
            f"data: {chosen.name} has infinitely many settings, so say how many: train_subsets and "
            "support_per_class (transitions) must be 1 or more, held_out_subsets not negative; "
            f"they are {c['train_subsets']}, {c['support_per_class']}, {c['held_out_subsets']}"
        )
    policy = networks.config_of(n)
    chooses = networks.kind_of(n).outputs is Outputs.CATEGORICAL
    return ControlFamily(
        source=chosen.name,
        environment=chosen,
        subsets=(
            _tasks(chosen, np.array([chosen.default], float), 1)
            if settings == "default"
            else _settings(chosen, c["train_subsets"], c["held_out_subsets"], config["seed"])
        ),
        network=networks.build(
            n, (chosen.n_observations,), policy.choices if chooses else chosen.n_actions
        ),
        episodes=config["population"]["ppo"]["evaluation_episodes"],
        seed=config["seed"],
    )


def _settings(
    environment: Environment, n_train: int, n_held_out: int, seed: int
) -> tuple[DataSubset, ...]:
    """Draw tasks with random parameters; their names are the same on every machine."""
    keys = jax.random.split(rng.named(rng.key(seed), "settings"), n_train + n_held_out)
    return _tasks(environment, np.asarray(jax.vmap(environment.sample)(keys), float), n_train)


def _tasks(environment: Environment, drawn: np.ndarray, n_train: int) -> tuple[DataSubset, ...]:
    """Return tasks with parameters [T, P], the first `n_train` of them for training."""
    rows = [tuple(float(f"{x:.{_DIGITS}g}") for x in row) for row in drawn]
    return tuple(
        DataSubset(
            id=f"{environment.name}-{'_'.join(f'{x:g}' for x in row)}",
            classes=(),
            split="train" if i < n_train else "S1",
            parameters=row,
        )
        for i, row in enumerate(rows)
    )

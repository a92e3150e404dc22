"""L2L: learning to learn by gradient descent by gradient descent (Andrychowicz et al. 2016).

A learned optimizer trains each task's network on the support set, from the episode's own start. It
is meta-trained to lower the query loss along the way. As published, its own gradient leaves out how
its steps change the gradients that it will see later.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mole_jax.core.errors import UserError
from mole_jax.learners import query_loss
from mole_jax.learners.ancestors import evolution, learned_optimizer, unrolling
from mole_jax.learners.ancestors.ancestor import Ancestor, AncestorConfig, check_tries
from mole_jax.metamodel.networks import sharding
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs
from mole_jax.training import microbatch
from mole_jax.training.learner import Episodes, Label, Request, Uses

NAME = "l2l"
LABEL = Label("L2L", "A learned optimizer, one LSTM for all coordinates, trains each network.")
ESTIMATORS = ("backprop", "es", "pes")
JUDGES = ("query", "support")


@dataclasses.dataclass(frozen=True)
class L2LConfig(AncestorConfig):
    """The section of the learned optimizer."""

    batch_size: int = 8  # episodes per step: unrolls take much memory
    kind: str = "lstm"  # the optimizer: lstm, or mlp, which sees momenta
    scale: float = 0.1  # factor of its steps
    unroll: int = 40  # steps of a network's training in meta-training
    truncation: int = 20  # steps that gradients flow back through
    # Its gradient estimator: backprop through a truncation, evolution strategies on the unroll
    # (es), or on truncations with persistent perturbations (pes).
    estimator: str = "backprop"
    sigma: float = 0.01  # standard deviation of perturbations
    judge: str = "query"  # examples whose loss is minimised: query, or (as published) support
    # Numbers of steps among which the evaluation chooses on training subsets.
    try_steps: tuple[int, ...] = (10, 20, 40, 80)

    knobs: ClassVar[tuple[str, ...]] = ("rate", "scale", "sigma")

    def check(self, name: str) -> None:
        """Raise UserError for invalid values, naming the key."""
        super().check(name)
        for key, known in (
            ("kind", learned_optimizer.KINDS),
            ("estimator", ESTIMATORS),
            ("judge", JUDGES),
        ):
            if getattr(self, key) not in known:
                raise UserError(
                    f"learners.{name}.{key}={getattr(self, key)!r} is unknown; there are {known}"
                )
        if self.truncation < 1 or self.unroll < 1 or self.unroll % self.truncation:
            raise UserError(
                f"learners.{name}: unroll={self.unroll} must be a multiple of truncation="
                f"{self.truncation}, both 1 or more"
            )
        if self.scale <= 0 or self.sigma <= 0:
            raise UserError(
                f"learners.{name}: scale and sigma must be above 0; they are {self.scale} and "
                f"{self.sigma}"
            )
        check_tries(name, "try_steps", self.try_steps)


class Inner(NamedTuple):
    """A network in training."""

    flat: jax.Array  # [D]
    state: Any  # of the optimizer


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[],
    meta_fields=["network", "name", "label", "mesh", "parts", "config", "steps"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class L2L(Ancestor):
    """A learned optimizer, whose weights are theta, and how long it trains a network."""

    config: L2LConfig
    steps: int  # of an adaptation

    uses: ClassVar[Uses] = Uses(target_metric=False, samples=False)

    def init(self, key: jax.Array) -> Any:
        """Return fresh weights of the optimizer."""
        return learned_optimizer.init(self.config.kind, key)

    def optimizer(self, theta: Any) -> optax.GradientTransformation:
        """Return the optimizer with these weights."""
        return learned_optimizer.transformation(theta, self.config.kind, self.config.scale)

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Train a network on every support set, from its start: [B, D]."""
        batch = len(episodes.start)
        support = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (batch, *x.shape[1:])), episodes.support
        )
        return jax.vmap(lambda start, own: self._trained(theta, start, own))(
            episodes.start, support
        )

    def _trained(self, theta: Any, start: jax.Array, support: Examples) -> jax.Array:
        inner = self._begun(theta, start, support)
        found: jax.Array = self._followed(theta, inner, support, support, self.steps)[0].flat
        return found

    def _begun(self, theta: Any, start: jax.Array, support: Examples) -> Inner:
        flat = fewer_outputs.emptied(self.network, start, support.n_classes)
        return Inner(flat, self.optimizer(theta).init(flat))

    def _followed(
        self, theta: Any, inner: Inner, support: Examples, judge: Examples, steps: int
    ) -> tuple[Inner, jax.Array]:
        """Continue a training; return the network and its mean loss along the way."""
        optimizer = self.optimizer(theta)

        def loss(flat: jax.Array, examples: Examples) -> jax.Array:
            return query_loss.of_one(self.network, flat, examples)[0]

        @jax.checkpoint
        def step(inner: Inner, _: None) -> tuple[Inner, jax.Array]:
            slope = jax.grad(loss)(jax.lax.stop_gradient(inner.flat), support)
            update, state = optimizer.update(slope, inner.state, inner.flat)
            flat = fewer_outputs.emptied(self.network, inner.flat + update, support.n_classes)
            return Inner(flat, state), loss(flat, judge)

        inner, losses = jax.lax.scan(step, inner, length=steps)
        return inner, jnp.mean(losses)

    def gradient(
        self, theta: Any, batch: Episodes, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the gradient of the loss along the trainings, by `config.estimator`."""
        assert batch.query is not None
        judge = batch.query if self.config.judge == "query" else batch.support
        given = batch.start, batch.support, judge, jax.random.split(key, len(batch.start))
        given = sharding.shard_batch(given, self.mesh)
        of = self._unrolled if self.config.estimator == "backprop" else self._evolved

        def of_part(part: Any) -> tuple[Any, dict[str, jax.Array]]:
            whole = theta if self.mesh is None else sharding.gathered(theta, self.mesh)
            grads, loss = of(whole, *part)
            return grads, {"loss": loss}

        found: tuple[Any, dict[str, jax.Array]] = microbatch.mean(
            of_part, given, self.parts, self.mesh
        )
        return found

    @property
    def _n_truncations(self) -> int:
        return self.config.unroll // self.config.truncation

    def _unrolled(
        self, theta: Any, start: jax.Array, support: Examples, judge: Examples, keys: jax.Array
    ) -> tuple[Any, jax.Array]:
        """Return the gradient through each truncation, with the same theta in all of them."""

        def segment(theta: Any, inner: Inner, _: jax.Array) -> tuple[jax.Array, Inner]:
            follow = functools.partial(self._followed, theta, steps=self.config.truncation)
            after, loss = jax.vmap(follow)(inner, support, judge)
            return jnp.mean(loss), after

        begun = jax.vmap(functools.partial(self._begun, theta))(start, support)
        return unrolling.truncated(segment, theta, begun, self._n_truncations)

    def _evolved(
        self, theta: Any, start: jax.Array, support: Examples, judge: Examples, keys: jax.Array
    ) -> tuple[Any, jax.Array]:
        """Return an evolution strategy's estimate, with an antithetic pair for each episode."""
        start, support, judge = jax.tree.map(
            lambda x: jnp.concatenate([x, x]), (start, support, judge)
        )

        def segment(candidates: Any, inner: Inner) -> tuple[jax.Array, Inner]:
            follow = functools.partial(self._followed, steps=self.config.truncation)
            after, loss = jax.vmap(follow)(candidates, inner, support, judge)
            return loss, after

        begun = jax.vmap(functools.partial(self._begun, theta))(start, support)
        return evolution.gradient(
            segment,
            theta,
            begun,
            self._n_truncations,
            keys[0],
            population=len(start),
            sigma=self.config.sigma,
            persistent=self.config.estimator == "pes",
        )

    @property
    def setting(self) -> dict[str, Any]:
        """Return the number of steps."""
        return {"steps": self.steps}

    def choices(self) -> tuple[L2L, ...]:
        """Return the numbers of steps to be tried."""
        return tuple(dataclasses.replace(self, steps=n) for n in self.config.try_steps)


def build(config: L2LConfig, network: Network, name: str) -> L2L:
    """Build the learner."""
    return L2L(network, name, LABEL, None, 1, config, config.unroll)

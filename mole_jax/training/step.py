"""One training step, a pure function of (state, learner, batches), for any learner."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from mole_jax.core import rng
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.metamodel.networks import sharding
from mole_jax.training.adamw import optimizer
from mole_jax.training.learner import Learner
from mole_jax.training.source import Source
from mole_jax.training.state import State
from mole_jax.training.train_config import TrainConfig


def make(
    hyper: TrainConfig, source: Source, mesh: Mesh, like: State, n_steps: int
) -> jax.stages.Wrapped:
    """Make a jitted function that takes `n_steps` training steps in one dispatch.

    The state is sharded as in `like` (see `state.shapes`), and the batch is divided over the axes
    `data` and `fsdp`. Every random number is a function of the root key and the step: a resumed run
    draws the same as an uninterrupted one, on any mesh and in any number of parts. The key is an
    argument, so all seeds share one program.

    Returns:
        (state, learner, constants, root, drawn) -> (state, metrics averaged over the steps). One of
        these, `finite_steps`, counts the steps before the first with a loss or gradient that is not
        finite.
    """
    tx = optimizer(hyper)

    def step(
        state: State, learner: Learner, constants: Any, root: jax.Array, drawn: Any
    ) -> tuple[State, dict[str, jax.Array]]:
        batch = source.draw(constants, drawn, root, state.step)
        batch = sharding.shard_batch(batch, mesh)
        key = rng.at(root, "noise", state.step)
        grads, parts = learner.on(mesh, hyper.accumulate).gradient(state.params, batch, key)
        updates, opt_state = tx.update(grads, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.float32(hyper.ema_decay)
        if hyper.ema_warmup:
            # Until it reaches its full length, it averages over a tenth of the steps so far.
            decay = jnp.minimum(decay, (1 + state.step) / (10 + state.step))
        ema = jax.tree.map(lambda e, p: e + (1 - decay) * (p - e), state.ema, params)
        parts = parts | {"gradient_norm": optax.tree.norm(grads)}
        return State(state.step + 1, params, ema, opt_state), parts

    def steps(
        state: State, learner: Learner, constants: Any, root: jax.Array, drawn: Any
    ) -> tuple[State, dict[str, jax.Array]]:
        state, parts = jax.lax.scan(
            lambda s, _: step(s, learner, constants, root, drawn), state, length=n_steps
        )
        sound = jnp.isfinite(parts["loss"]) & jnp.isfinite(parts["gradient_norm"])
        finite = jnp.sum(jnp.cumprod(sound))
        return state, jax.tree.map(jnp.mean, parts) | {"finite_steps": finite}

    kept = jax.tree.map(lambda x: x.sharding, like)
    return jax.jit(steps, donate_argnums=0, out_shardings=(kept, mesh_lib.replicated(mesh)))

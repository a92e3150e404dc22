"""Polish written networks: further gradient steps on the support set, as MAML takes them.

From ten examples of a class a network that was written in one pass gains by it; from one example of
a kind of class that the model knows it loses. So it is off unless asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mole_jax.learners import query_loss
from mole_jax.metamodel.networks import warps
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network

# Adam's rate. On characters of training, ten examples a class, 0.01 was as good as SGD with 0.3
# and better than Adam with 0.003 (400 and 200 steps).
RATE = 0.01


class Polish(NamedTuple):
    """Steps of Adam on all support examples."""

    steps: int = 0
    # How far steps but the last third warp the images, as metamodel.support_warps; 0: not at all.
    warps: float = 0.0


NONE = Polish()


def polished(polish: Polish, network: Network, flat: jax.Array, support: Examples) -> jax.Array:
    """Take the steps: networks [B, D] -> [B, D].

    Args:
        polish: how many steps, through which warps.
        network: the architecture; it classifies.
        flat: [B, D] parameters. Absent outputs and units have no gradient, and stay as they are.
        support: labelled examples [B, n], or one set for all, [1, n].
    """
    if not polish.steps:
        return flat
    looks: tuple[Any, ...] = ()  # the warp that each step sees examples through
    if polish.warps:
        looks = warps.of_steps(network.input_shape, polish.warps, polish.steps)
    adam = optax.adam(RATE)

    def of_one(flat: jax.Array, given: Examples) -> jax.Array:
        def step(carry: Any, look: tuple[jax.Array, ...]) -> tuple[Any, None]:
            flat, state = carry
            seen = given
            if look:
                inputs = warps.moved(given.inputs, network.input_shape, *look)
                seen = given._replace(inputs=inputs)
            slope = jax.grad(lambda x: query_loss.of_one(network, x, seen)[0])(flat)
            change, state = adam.update(slope, state)
            return (flat + change, state), None

        begin = flat, adam.init(flat)
        return jax.lax.scan(step, begin, tuple(map(jnp.asarray, looks)), polish.steps)[0][0]

    rows = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(flat), *x.shape[1:])), support)
    found: jax.Array = jax.vmap(of_one)(flat, rows)
    return found

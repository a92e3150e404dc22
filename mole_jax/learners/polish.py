"""Polish written networks: further gradient steps on the support set, as MAML takes them.

From ten examples of a class a network that was written in one pass gains by it; from one example of
a kind of class that the model knows it loses. So it is off unless asked for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mole_jax.learners import query_loss
from mole_jax.metamodel.networks import warps
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network

# Of steps. On characters of training, one, five and ten examples a class, the glyphs-8 model: as
# good as 1.0 within chance, as Adam with 0.003 and 0.01, and as rates that fall along a cosine; it
# loses least where steps harm.
RATE = 0.3


class Polish(NamedTuple):
    """Gradient steps on all support examples together."""

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
    shared = len(support.labels) == 1  # then its images are warped once for all networks
    given = jax.tree.map(lambda x: x[0], support) if shared else support

    def slope(flat: jax.Array, seen: Examples) -> jax.Array:
        found: jax.Array = jax.grad(lambda x: query_loss.of_one(network, x, seen)[0])(flat)
        return found

    def step(flat: jax.Array, look: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        seen = given
        if look:
            rows = given.inputs.reshape(-1, given.inputs.shape[-1])
            moved = warps.moved(rows, network.input_shape, *look)
            seen = given._replace(inputs=moved.reshape(given.inputs.shape))
        way = jax.vmap(slope, in_axes=(0, None if shared else 0))(flat, seen)
        return flat - RATE * way, None

    return jax.lax.scan(step, flat, tuple(map(jnp.asarray, looks)), polish.steps)[0]

"""Polish written networks: further gradient steps on the support set, as MAML takes them.

From ten examples of a class a network that was written in one pass gains by it; from one example of
a kind of class that the model knows it loses. So it is off unless asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.learners import query_loss
from mole_jax.metamodel.networks import warps
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network

# Of steps. On characters of training, one, five and ten examples a class, the glyphs-8 model: as
# good as 1.0 within chance, as Adam with 0.003 and 0.01, and as rates that fall along a cosine; it
# loses least where steps harm.
RATE = 0.3
MOST = 100_000  # steps
_WARPS = 400  # steps whose warps are drawn; longer polishing takes the same ones again


class Polish(NamedTuple):
    """Gradient steps on all support examples together."""

    steps: int = 0
    # How far steps but the last third warp the images, as metamodel.support_warps; 0: not at all.
    warps: float = 0.0


NONE = Polish()


def polished(polish: Polish, network: Network, flat: jax.Array, support: Examples) -> jax.Array:
    """Take the steps: networks [B, D] -> [B, D].

    A network whose loss on the support set they do not lower, as where pixels are far out of the
    scale that it was trained on, stays as it was written.

    Args:
        polish: how many steps, through which warps.
        network: the architecture; it classifies.
        flat: [B, D] parameters. Absent outputs and units have no gradient, and stay as they are.
        support: labelled examples [B, n], or one set for all, [1, n].
    """
    if not polish.steps:
        return flat
    matrices: tuple[jax.Array, ...] = ()  # of the warps that steps see examples through
    if polish.warps:
        n = min(polish.steps, _WARPS)
        matrices = tuple(map(jnp.asarray, warps.of_steps(network.input_shape, polish.warps, n)))
    shared = len(support.labels) == 1  # then its images are warped once for all networks
    given = jax.tree.map(lambda x: x[0], support) if shared else support

    def loss(flat: jax.Array, seen: Examples) -> jax.Array:
        return query_loss.of_one(network, flat, seen)[0]

    def each(of: Callable[[jax.Array, Examples], jax.Array]) -> Any:
        return jax.vmap(of, in_axes=(0, None if shared else 0))

    def step(flat: jax.Array, which: jax.Array) -> tuple[jax.Array, None]:
        seen = given
        if matrices:
            rows = given.inputs.reshape(-1, given.inputs.shape[-1])
            moved = warps.moved(rows, network.input_shape, *(x[which] for x in matrices))
            seen = given._replace(inputs=moved.reshape(given.inputs.shape))
        return flat - RATE * each(jax.grad(loss))(flat, seen), None

    found = jax.lax.scan(step, flat, jnp.asarray(_which(polish.steps)))[0]
    better = each(loss)(found, given) < each(loss)(flat, given)
    return jnp.where(better[:, None], found, flat)


def _which(steps: int) -> np.ndarray:
    """Return the warp of each of the steps, as its place among those of `_WARPS` steps: [steps]."""
    at = np.arange(steps)
    if steps <= _WARPS:
        return at
    warped, plain = (n - round(warps.PLAIN * n) for n in (_WARPS, steps))
    return np.where(at < plain, at % warped, _WARPS - 1)

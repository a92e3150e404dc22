"""A matrix that rewrites itself by its own outputs (Irie et al. 2022, equations 5 to 8).

Its product with the input gives the answer, and also a key, a query and learning rates: its output
for the key is then moved towards its output for the query. Only the initial matrix is trained. A
modern form of Schmidhuber's self-referential weights (1993).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

# Learning rates begin small: sigmoid(-1).
_SLOW = -1.0


class Matrices(NamedTuple):
    """The parts of a self-referential matrix, named by what they compute, with an axis of heads."""

    answer: jax.Array  # [..., H, d, d]
    key: jax.Array  # [..., H, d, d]
    query: jax.Array  # [..., H, d, d]
    rates: jax.Array  # [..., H, d, 4]: one for each part, in this order


def initial(heads: int, size: int) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """Return an initialiser and a shape for each of `Matrices`."""
    normal = nn.initializers.normal(size**-0.5)

    def slow(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return _SLOW + normal(key, shape, jnp.float32)

    square = (heads, size, size)
    shapes = dict.fromkeys(Matrices._fields[:3], (normal, square))
    return {**shapes, "rates": (slow, (heads, size, 4))}


def step(w: Matrices, x: jax.Array) -> tuple[Matrices, jax.Array]:
    """Answer an input and rewrite the matrix: (w, x [..., H, d]) -> (w, [..., H, d])."""

    def times(x: jax.Array, part: jax.Array) -> jax.Array:
        return jnp.einsum("...hi,...hio->...ho", x, part)

    key, query = (nn.softmax(times(x, part)) for part in (w.key, w.query))
    rates = nn.sigmoid(times(x, w.rates))
    changed = []
    for i, part in enumerate(w):
        better = rates[..., i : i + 1] * (times(query, part) - times(key, part))
        changed.append(part + key[..., :, None] * better[..., None, :])
    return Matrices(*changed), times(x, w.answer)


def kept(keep: jax.Array, new: Any, old: Any) -> Any:
    """Return the new state where there was an example, else the old one."""
    return jax.tree.map(lambda a, b: jnp.where(keep, a, b), new, old)


class Stack(nn.Module):
    """Self-referential layers, for one step: (matrices, (token, keep)) -> (matrices, answer)."""

    width: int
    n_outputs: int

    @nn.compact
    def __call__(self, carry: Any, given: Any) -> tuple[Any, jax.Array]:
        x, keep = given
        h, after = nn.Dense(self.width, name="embed")(x), []
        for i, own in enumerate(carry):
            heads, size = own.answer.shape[-3:-1]
            x = nn.LayerNorm(name=f"norm_{i}")(h).reshape(*h.shape[:-1], heads, size)
            new, answer = step(own, x)
            after.append(kept(keep, new, own))
            h = h + nn.Dense(self.width, name=f"out_{i}")(answer.reshape(h.shape))
            x = nn.gelu(nn.Dense(2 * self.width, name=f"mlp_in_{i}")(
                nn.LayerNorm(name=f"norm_mlp_{i}")(h)
            ))  # fmt: skip
            h = h + nn.Dense(self.width, name=f"mlp_out_{i}")(x)
        return tuple(after), nn.Dense(self.n_outputs, name="output")(nn.LayerNorm(name="norm")(h))

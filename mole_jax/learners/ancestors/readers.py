"""Modules that read a task's examples and answer queries, for the learners of `sequence.py`.

All take inputs [T, F], encoded labels [T, L], a mask [T] with padding at the end, and queries
[m, F]. They return answers [T, K] to the inputs, each of which sees only the labels before it, and
answers [m, K] to the queries, each of which sees all labels and no other query.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from mole_jax.learners.ancestors import self_referential

Answers = tuple[jax.Array, jax.Array]


class Recurrent(nn.Module):
    """Hochreiter et al. 2001: a recurrent network that sees x(t) and y(t - 1)."""

    width: int
    layers: int
    heads: int  # unused: an LSTM has none
    n_outputs: int

    @nn.compact
    def __call__(
        self, x: jax.Array, said: jax.Array, mask: jax.Array, queries: jax.Array
    ) -> Answers:
        rest = jnp.zeros(self.width)
        carry = tuple((rest, rest) for _ in range(self.layers))
        return _in_time(_over_time(LSTMs)(self.layers, self.width, self.n_outputs, name="stack"),
                        carry, x, said, mask, queries)  # fmt: skip


class SelfReferential(nn.Module):
    """Irie et al. 2022: layers whose weights rewrite themselves at every example."""

    width: int
    layers: int
    heads: int
    n_outputs: int

    @nn.compact
    def __call__(
        self, x: jax.Array, said: jax.Array, mask: jax.Array, queries: jax.Array
    ) -> Answers:
        size = self.heads, self.width // self.heads
        carry = tuple(
            self_referential.Matrices(
                *(
                    self.param(f"{name}_{i}", *initial)
                    for name, initial in self_referential.initial(*size).items()
                )
            )
            for i in range(self.layers)
        )
        stack = _over_time(self_referential.Stack)(self.width, self.n_outputs, name="stack")
        return _in_time(stack, carry, x, said, mask, queries)


class InContext(nn.Module):
    """A causal transformer: a token of an example has x and y, a token of a question has only x."""

    width: int
    layers: int
    heads: int
    n_outputs: int

    @nn.compact
    def __call__(
        self, x: jax.Array, said: jax.Array, mask: jax.Array, queries: jax.Array
    ) -> Answers:
        n, m = len(x), len(queries)
        embed = nn.Dense(self.width, name="embed")
        shown = jnp.concatenate([x, said, jnp.ones((n, 1))], axis=1)
        asked = jnp.concatenate([x, queries])
        asked = jnp.concatenate([asked, jnp.zeros((n + m, said.shape[1] + 1))], axis=1)
        h = embed(jnp.concatenate([shown, asked]))  # [n + (n + m), width]
        seen = self._seen(mask, n, m)
        for i in range(self.layers):
            own = nn.LayerNorm(name=f"norm_{i}")(h)
            h = h + nn.MultiHeadDotProductAttention(self.heads, name=f"attention_{i}")(
                own, mask=seen[None]
            )
            own = nn.LayerNorm(name=f"norm_mlp_{i}")(h)
            own = nn.gelu(nn.Dense(2 * self.width, name=f"mlp_in_{i}")(own))
            h = h + nn.Dense(self.width, name=f"mlp_out_{i}")(own)
        answers = nn.Dense(self.n_outputs, name="output")(nn.LayerNorm(name="norm")(h))
        return answers[n : 2 * n], answers[2 * n :]

    @staticmethod
    def _seen(mask: jax.Array, n: int, m: int) -> jax.Array:
        """Return the attention mask: examples see those up to them, questions those before."""
        at = jnp.arange(n)
        up_to, before = (at[:, None] >= at[None]), (at[:, None] > at[None])
        all_of = jnp.ones((m, n), bool)
        examples = jnp.concatenate([up_to, before, all_of]) & mask[None]
        examples = jnp.concatenate([examples, jnp.zeros((2 * n + m, n + m), bool)], axis=1)
        return examples | jnp.eye(2 * n + m, dtype=bool)


class LSTMs(nn.Module):
    """A stack of LSTMs, for one time step: (carry, (token, keep)) -> (carry, answer)."""

    layers: int
    width: int
    n_outputs: int

    @nn.compact
    def __call__(self, carry: Any, given: Any) -> tuple[Any, jax.Array]:
        x, keep = given
        x, after = nn.Dense(self.width, name="embed")(x), []
        for i, own in enumerate(carry):
            new, x = nn.OptimizedLSTMCell(self.width, name=f"lstm_{i}")(own, x)
            after.append(self_referential.kept(keep, new, own))
        return tuple(after), nn.Dense(self.n_outputs, name="output")(x)


def _over_time(module: type[nn.Module]) -> Any:
    return nn.scan(module, variable_broadcast="params", split_rngs={"params": False})


def _in_time(
    stack: Any, carry: Any, x: jax.Array, said: jax.Array, mask: jax.Array, queries: jax.Array
) -> Answers:
    """Read examples one after another, each with the label of the one before; then queries."""
    n = jnp.sum(mask)
    before = jnp.concatenate([jnp.zeros_like(said[:1]), said[:-1]])
    known = (jnp.arange(len(x)) > 0).astype(x.dtype)
    tokens = jnp.concatenate([x, before, known[:, None]], axis=1)
    carry, answers = stack(carry, (tokens, mask))
    last = jnp.where(n > 0, said[jnp.maximum(n - 1, 0)], 0.0)
    m = len(queries)
    there = jnp.broadcast_to((n > 0).astype(x.dtype), (m, 1))
    asked = jnp.concatenate([queries, jnp.broadcast_to(last, (m, len(last))), there], axis=1)
    each = jax.tree.map(lambda c: jnp.broadcast_to(c, (m, *c.shape)), carry)
    _, found = stack(each, (asked[None], jnp.ones(1, bool)))
    return answers, found[0]


READERS: dict[str, Any] = {
    "recurrent": Recurrent,
    "in_context": InContext,
    "self_referential": SelfReferential,
}

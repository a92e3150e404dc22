"""The prompt: what the meta-model is conditioned on."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mole_jax.tasks.examples import Examples

CONDITIONS = ("support", "target_metric", "start")


class Prompt(NamedTuple):
    """A batch of prompts; a condition whose `use` entry is False is absent.

    Metrics are losses in nats, or what `training.metric` says; a dit sees their logarithm.
    """

    start: jax.Array  # [B, L, C] normalised tokens
    start_metric: jax.Array  # [B]
    target_metric: jax.Array  # [B]
    support: Examples  # inputs [B, n, F], labels [B, n], mask [B, n]
    use: dict[str, jax.Array]  # condition -> [B] bool


def everything(batch: int) -> dict[str, jax.Array]:
    """`use` with every condition present."""
    return {name: jnp.ones((batch,), bool) for name in CONDITIONS}


def dropped(
    use: dict[str, jax.Array], key: jax.Array, rates: dict[str, float]
) -> dict[str, jax.Array]:
    """Drop each condition independently with its own rate."""
    keys = jax.random.split(key, len(CONDITIONS))
    return {
        name: use[name] & (jax.random.uniform(k, use[name].shape) >= rates[name])
        for name, k in zip(CONDITIONS, keys, strict=True)
    }

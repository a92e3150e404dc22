"""The prompt: what the meta-model is conditioned on."""

from __future__ import annotations

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from mole_jax.tasks import examples
from mole_jax.tasks.examples import Examples

CONDITIONS = ("support", "target_metric", "start")


class Prompt(NamedTuple):
    """A batch of prompts; a condition whose `use` entry is False is absent.

    Metrics are losses in nats, or what `training.metric` says; a dit sees their logarithm. The
    condition `target_metric` is a number or, where `best` is True, "as good as you can": the number
    is then ignored.
    """

    start: jax.Array  # [B, L, C] normalised tokens
    start_metric: jax.Array  # [B]
    target_metric: jax.Array  # [B]
    support: Examples  # inputs [B, n, F], labels [B, n], mask [B, n]
    use: dict[str, jax.Array]  # condition -> [B] bool
    best: jax.Array | None = None  # [B] bool; None for a meta-model that has not learned it
    # The meta-model's encoding of `support`, if computed already; leaves [B, ...].
    shown: Any = None


def check(prompt: Prompt, tokens: tuple[int, ...]) -> None:
    """Assert, at trace time, that a prompt has the shapes that `Prompt` gives.

    Args:
        prompt: B prompts.
        tokens: the shape of their networks' tokens, (B, L, C).
    """
    dims = chex.Dimensions()
    dims["BLC"] = tokens
    chex.assert_shape(prompt.start, dims["BLC"], custom_message="prompt.start [B, L, C]")
    metrics = [prompt.start_metric, prompt.target_metric]
    chex.assert_shape(metrics, dims["B"], custom_message="metrics of a prompt [B]")
    examples.check(prompt.support, dims["B"])
    chex.assert_tree_shape(prompt.use, dims["B"], custom_message="prompt.use [B]")
    chex.assert_type(list(prompt.use.values()), bool, custom_message="prompt.use bool")
    if prompt.best is not None:
        chex.assert_shape(prompt.best, dims["B"], custom_message="prompt.best [B]")
        chex.assert_type(prompt.best, bool, custom_message="prompt.best bool")


def everything(batch: int) -> dict[str, jax.Array]:
    """Return `use` with every condition present."""
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

"""Random keys derived from a seed, a name and a step, never carried from step to step."""

from __future__ import annotations

import zlib

import jax

from mole_jax.core.seeds import checked_seed


def key(seed: int) -> jax.Array:
    """Return the root key of a seed; raise UserError as `checked_seed` does."""
    return jax.random.key(checked_seed(seed))


def named(key: jax.Array, name: str) -> jax.Array:
    """Return the key of `name` below `key`; different names give independent streams.

    The name is hashed by CRC-32 and not by `hash`, which differs from process to process.
    """
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def at(key: jax.Array, name: str, step: int | jax.Array) -> jax.Array:
    """Return the key of `name` at `step`; `step` may be traced.

    Resuming at a step needs only the step, so an interrupted run draws the same numbers.
    """
    return jax.random.fold_in(named(key, name), step)

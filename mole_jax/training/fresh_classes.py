"""New classes for every episode: far more tasks than the zoo has."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.images import ImageFamily

# Pads the classes of a task that has fewer than K; sorts after all classes.
NO_CLASS = np.iinfo(np.int32).max


class FreshClasses(NamedTuple):
    """Classes that training tasks draw from: any k of them, except the combinations held out."""

    known: jax.Array  # [n]
    held_out: jax.Array  # [H, K], each in increasing order, then NO_CLASS
    # [N] the data set of every class, where a task's classes all come from one; None: from any.
    source: jax.Array | None = None


def of(family: ImageFamily) -> FreshClasses:
    """Return the classes of the training tasks, and the held-out tasks made of such classes.

    If no training task mixes data sets, no drawn task does.
    """
    training = [family.subsets[i].classes for i in family.indices("train")]
    known = {c for classes in training for c in classes}
    others = [s.classes for s in family.subsets if s.split != "train"]
    held_out = [sorted(classes) for classes in others if known >= set(classes)]
    rows = np.full((len(held_out), family.n_classes), NO_CLASS, np.int32)
    for row, classes in zip(rows, held_out, strict=True):
        row[: len(classes)] = classes
    of_class = np.unique(family.class_source, return_inverse=True)[1].astype(np.int32)
    apart = all(len(set(of_class[list(classes)])) == 1 for classes in training)
    several = len(set(of_class[sorted(known)])) > 1
    return FreshClasses(
        jnp.asarray(sorted(known), jnp.int32),
        jnp.asarray(rows),
        jnp.asarray(of_class) if apart and several else None,
    )


def draw(
    fresh: FreshClasses, listed: jax.Array, n_classes: jax.Array | None, key: jax.Array
) -> jax.Array:
    """Draw classes [B, K] at random; where they form a held-out task, keep the listed ones.

    Args:
        fresh: what may be drawn.
        listed: [B, K] classes of training tasks.
        n_classes: [B] number of classes of each task, listed or drawn; None: all K.
        key: PRNG key.
    """
    (batch, k), n = listed.shape, len(fresh.known)
    # The K largest of random numbers: permuting thousands of classes took nine tenths of a draw.
    score = jax.random.uniform(key, (batch, n))
    if fresh.source is not None:  # classes of the listed task's data set come first
        score = score + (fresh.source[fresh.known][None] == fresh.source[listed[:, :1]])
    chosen = jax.lax.top_k(score, min(k, n))[1]
    places = np.arange(k) % n  # repetitions lie beyond a task's own classes
    drawn = fresh.known[chosen[:, places]]
    own = drawn
    if n_classes is not None:
        own = jnp.where(jnp.arange(k)[None] < n_classes[:, None], drawn, NO_CLASS)
    same = jnp.sort(own, axis=1)[:, None] == fresh.held_out[None]  # [B, H, K]
    return jnp.where(same.all(-1).any(-1)[:, None], listed, drawn)

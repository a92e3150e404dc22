"""Writing networks for a support set, in few compiled calls.

For small networks a call costs about as much as what it computes, so fresh starts are drawn inside
the call that writes. That program is large and takes long to compile, but is the same for any
number of classes. Given starts have a second one, whether or not their metric is known.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import rng
from mole_jax.learners import answers
from mole_jax.sampling import starts
from mole_jax.sampling.support_loss import quality
from mole_jax.tasks.environments.world import World
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs
from mole_jax.training.learner import Episodes, Learner
from mole_jax.zoo.prompt_metric import PromptMetric

# Networks per call: with more, a machine's memory is full before its cores are busy. On a CPU the
# images of more convolutional ones leave its caches: 64 take 1.6 times as long in one call.
AT_ONCE, CONVOLUTIONS_AT_ONCE = 64, 8


class Written(NamedTuple):
    """n networks, and what is known about them."""

    flat: jax.Array  # [n, D] parameters, with outputs for the largest number of classes
    metric: jax.Array | None  # [n] on the support set
    start_is_finite: jax.Array  # [] whether the starts' metrics are
    is_finite: jax.Array  # [] whether all of the above is


@functools.partial(jax.jit, static_argnames=("network", "metric"))
def measured(
    network: Network, flat: jax.Array, support: Examples, metric: PromptMetric | None
) -> jax.Array | None:
    """Return the metrics [n] of networks [n, D] on a support set [m]; None without a metric."""
    if metric is None:
        return None
    loss, accuracy = quality(network, flat, support)
    found: jax.Array = metric.of_measured(loss, accuracy, 1.0)
    return found


@functools.partial(jax.jit, static_argnames=("n", "metric", "best"))
def write(
    learner: Learner,
    theta: Any,
    support: Examples,
    start: Any,
    start_metric: Any,
    target: Any,
    key: jax.Array,
    number: Any,
    world: World | None = None,
    sizes: Any = None,
    *,
    n: int,
    metric: PromptMetric | None,
    best: bool,
) -> Written:
    """Write n networks.

    Args:
        learner: the one that writes.
        theta: its parameters.
        support: [m] examples, the same for all.
        start: [n, D] networks to begin with; None: fresh ones.
        start_metric: [n] of the starts; None: measure it.
        target: [] the metric asked for.
        key: draws starts and noise.
        number: [] number of the round; each round draws its own noise.
        world: what policies practise in; None: they do not.
        sizes: [H] of fresh networks, as `Frame.sized` takes them; None if all have one size.
        n: how many.
        metric: how to measure networks on the support set; None: do not measure.
        best: ask for the best networks instead of the target.
    """
    if start is None:
        start = starts.fresh(learner.network, n, rng.named(key, "starts"), sizes)
    if start_metric is None:
        start_metric = measured(learner.network, start, support, metric)
        assert start_metric is not None
    episodes = Episodes(
        task=jnp.zeros(n, jnp.int32),  # none of the zoo's
        support=jax.tree.map(lambda x: jnp.asarray(x)[None], support),
        start=start,
        start_metric=start_metric,
    )
    if world is not None:
        each = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *jnp.shape(x))), world)
        episodes = episodes._replace(world=each)
    request = answers.all_of(jnp.full((n,), target), best=best)
    flat = learner.adapt(theta, episodes, request, rng.at(key, "noise", number))
    after = measured(learner.network, flat, support, metric)
    return Written(
        flat,
        after,
        jnp.isfinite(start_metric).all(),
        jnp.isfinite(flat).all() & (after is None or jnp.isfinite(after).all()),
    )


def parts(network: Network, n: int, key: jax.Array) -> list[tuple[np.ndarray, jax.Array]]:
    """Divide n networks among calls of `write`: the networks and the key of each call.

    All calls have one size, so they share a program; the last may repeat the last network.
    """
    calls = -(-n // at_once(network))
    each = -(-n // calls)
    rows = np.minimum(np.arange(calls * each).reshape(calls, each), n - 1)
    return [(own, rng.at(key, "part", i) if i else key) for i, own in enumerate(rows)]


def part_of(x: Any, rows: np.ndarray) -> Any:
    """Return a call's part of an array over networks; None stays None."""
    return x if x is None or len(x) == len(rows) else x[rows]


def joined(found: list[Written], n: int) -> Written:
    """Return the n networks of several calls."""
    if len(found) == 1:
        return found[0]
    flat, metric, start_is_finite, is_finite = zip(*found, strict=True)
    return Written(
        jnp.concatenate(flat)[:n],
        None if metric[0] is None else jnp.concatenate(metric)[:n],
        jnp.stack(start_is_finite).all(),
        jnp.stack(is_finite).all(),
    )


def at_once(network: Network) -> int:
    """Return how many networks are written in a call."""
    by_cache = network.microbatch and jax.default_backend() == "cpu"
    return CONVOLUTIONS_AT_ONCE if by_cache else AT_ONCE


@functools.partial(jax.jit, static_argnames=("network", "own"))
def tensors(flat: jax.Array, *, network: Network, own: Network) -> dict[str, Any]:
    """Return the parameters of a task's own network: leaves [n, *shape].

    Args:
        flat: [n, D] parameters.
        network: their architecture.
        own: the same, or one with fewer outputs or units.
    """
    return own.spec.unflatten(fewer_outputs.narrowed(network, flat, own))

"""Writing networks for a support set, in few compiled calls.

A call costs about as much as what it computes where networks are small, so fresh starts are drawn
within the call that writes. That large program, which takes long to compile, is the same for any
number of classes; there is another one for starts that are given, whatever is known of them.
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
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs
from mole_jax.training.learner import Episodes, Learner
from mole_jax.zoo.prompt_metric import PromptMetric

# Networks of one call: of more of them a machine's memory is full before its cores are. On a CPU
# the images of eight convolutional ones leave its caches: 64 take 1.6 times as long in one call.
AT_ONCE, CONVOLUTIONS_AT_ONCE = 64, 8


class Written(NamedTuple):
    """n networks, and what is known of them."""

    flat: jax.Array  # [n, D] parameters, with outputs for all classes that there may be
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
    *,
    n: int,
    metric: PromptMetric | None,
    best: bool,
) -> Written:
    """Write n networks.

    Args:
        learner: what writes.
        theta: its parameters.
        support: [m] examples, the same for all.
        start: [n, D] what to begin with; None for fresh networks.
        start_metric: [n] of the starts; None where it is to be measured.
        target: [] the metric asked for.
        key: draws starts and noise.
        number: [] of the round, which draws noise of its own.
        n: how many.
        metric: how to measure networks on the support set; None where nothing can be measured.
        best: ask for the best networks in place of the target.
    """
    if start is None:
        start = starts.fresh(learner.network, n, rng.named(key, "starts"))
    if start_metric is None:
        start_metric = measured(learner.network, start, support, metric)
        assert start_metric is not None
    episodes = Episodes(
        task=jnp.zeros(n, jnp.int32),  # none of the zoo's
        support=jax.tree.map(lambda x: jnp.asarray(x)[None], support),
        start=start,
        start_metric=start_metric,
    )
    request = answers.all_of(jnp.full((n,), target), best=best)
    flat = learner.adapt(theta, episodes, request, rng.at(key, "noise", number))
    after = measured(learner.network, flat, support, metric)
    return Written(
        flat,
        after,
        jnp.isfinite(start_metric).all(),
        jnp.isfinite(flat).all() & (after is None or jnp.isfinite(after).all()),
    )


def write_in_parts(
    learner: Learner,
    theta: Any,
    support: Examples,
    start: Any,
    start_metric: Any,
    target: Any,
    key: jax.Array,
    number: Any,
    *,
    n: int,
    metric: PromptMetric | None,
    best: bool,
) -> Written:
    """Write n networks as `write` does, `at_once` of them or fewer in a call.

    Calls are of one size, so that they share a program, and each draws from a key of its own.
    """
    parts = -(-n // at_once(learner.network))
    each = -(-n // parts)
    found = []
    for i in range(parts):
        rows = np.minimum(np.arange(i * each, (i + 1) * each), n - 1)
        start_of, metric_of = (
            x if x is None or parts == 1 else x[rows] for x in (start, start_metric)
        )
        own = key if i == 0 else rng.at(key, "part", i)
        call = functools.partial(write, learner, theta, support, start_of, metric_of, target)
        found.append(call(own, number, n=each, metric=metric, best=best))
    if parts == 1:
        return found[0]
    return Written(
        jnp.concatenate([part.flat for part in found])[:n],
        None if metric is None else jnp.concatenate([_measured(part) for part in found])[:n],
        jnp.stack([part.start_is_finite for part in found]).all(),
        jnp.stack([part.is_finite for part in found]).all(),
    )


def at_once(network: Network) -> int:
    """Return how many networks are written in a call."""
    by_cache = network.microbatch and jax.default_backend() == "cpu"
    return CONVOLUTIONS_AT_ONCE if by_cache else AT_ONCE


def _measured(part: Written) -> jax.Array:
    assert part.metric is not None
    return part.metric


@functools.partial(jax.jit, static_argnames=("network", "own"))
def tensors(flat: jax.Array, *, network: Network, own: Network) -> dict[str, Any]:
    """Return the parameters of a task's own network: leaves [n, *shape].

    Args:
        flat: [n, D] parameters.
        network: whose they are.
        own: the same, or one with fewer outputs.
    """
    return own.spec.unflatten(fewer_outputs.narrowed(network, flat, own.n_outputs))

"""Gradients by evolution strategies, for losses unsuited to backpropagation.

Plain: OpenAI's (Salimans et al. 2017), with antithetic pairs. Persistent: for a loss that comes in
truncations. Each truncation has its own perturbation, and its loss is weighted by the sum of a
particle's perturbations so far, which removes the bias (Vicol et al. 2021). Both are evosax's, with
an optimizer that only sums gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

State = TypeVar("State")
# (candidates: leaves [P, ...], state of each) -> (losses [P], state of each)
Segment = Callable[[Any, State], tuple[jax.Array, State]]


def gradient(
    segment: Segment[State],
    theta: Any,
    state: State,
    n_segments: int,
    key: jax.Array,
    *,
    population: int,
    sigma: float,
    persistent: bool,
) -> tuple[Any, jax.Array]:
    """Estimate the gradient of the mean loss of segments with respect to theta.

    Args:
        segment: continues P inner problems, one for each candidate; the first and second half are
            antithetic pairs, which should get the same problem.
        theta: a pytree.
        state: of the inner problems before the first segment, leaves [P, ...].
        n_segments: number of consecutive segments.
        key: draws perturbations.
        population: P, even.
        sigma: standard deviation of perturbations.
        persistent: draw a perturbation for each segment; else one for all of them.

    Returns:
        The gradient, with theta's structure, and the mean loss.
    """
    from evosax.algorithms import Open_ES, PersistentES  # starts JAX

    kind = PersistentES if persistent else Open_ES
    strategy = kind(
        population_size=population,
        solution=theta,
        optimizer=_sums(),
        std_schedule=optax.constant_schedule(sigma),
        fitness_shaping_fn=lambda population, fitness, *_: fitness,
    )
    params = strategy.default_params
    if persistent:
        params = params.replace(T=n_segments, K=1)
    with _allowed():
        begun = strategy.init(key, theta, params)
    n_draws, each = (n_segments, 1) if persistent else (1, n_segments)

    def draw(carry: Any, key: jax.Array) -> tuple[Any, jax.Array]:
        es, state = carry
        with _allowed():
            candidates, es = strategy.ask(key, es, params)

        def follow(state: State, _: None) -> tuple[State, jax.Array]:
            losses, state = segment(candidates, state)
            return state, losses

        state, losses = jax.lax.scan(follow, state, length=each)
        fitness = jnp.mean(losses, axis=0)
        with _allowed():
            es, _ = strategy.tell(key, candidates, fitness, es, params)
        return (es, state), jnp.mean(fitness)

    (es, _), losses = jax.lax.scan(draw, (begun, state), jax.random.split(key, n_draws))
    total = ravel_pytree(theta)[1](es.opt_state)
    return jax.tree.map(lambda x: x / n_draws, total), jnp.mean(losses)


class Generation(NamedTuple):
    """One generation of a strategy that adapts its mutation."""

    mean: Any  # minus the step of the mean
    log_std: Any  # minus the step of the logarithm of the standard deviations
    losses: jax.Array  # [P]


def generation(
    losses_of: Callable[[Any], jax.Array],
    mean: Any,
    log_std: Any,
    key: jax.Array,
    *,
    population: int,
    adapt: bool,
) -> Generation:
    """Take one step of SNES (Schaul et al. 2011): natural gradients of means and spreads.

    Args:
        losses_of: candidates, leaves [P, ...] -> their losses [P].
        mean: a pytree.
        log_std: for each number, the logarithm of its mutation's standard deviation.
        key: draws the candidates.
        population: P.
        adapt: whether the spreads are updated, too.
    """
    from evosax.algorithms import SNES  # starts JAX

    strategy = SNES(population_size=population, solution=mean)
    with _allowed():
        params = strategy.default_params
        std = jnp.exp(ravel_pytree(log_std)[0])
        state = strategy.init(key, mean, params).replace(std=std)
        if not adapt:
            state = state.replace(lr_std=jnp.zeros_like(state.lr_std))
        candidates, state = strategy.ask(key, state, params)
    losses = losses_of(candidates)
    with _allowed():
        after, _ = strategy.tell(key, candidates, losses, state, params)
    unravel = ravel_pytree(mean)[1]
    moved = unravel(state.mean - after.mean)
    return Generation(moved, unravel(jnp.log(state.std) - jnp.log(after.std)), losses)


def _allowed() -> Any:
    """Return a context for evosax, which relies on JAX's rank promotion."""
    return jax.numpy_rank_promotion("allow")


def _sums() -> optax.GradientTransformation:
    """Return an optimizer that moves nothing; its state is the sum of the gradients."""
    return optax.GradientTransformation(
        jnp.zeros_like, lambda g, total, params=None: (jnp.zeros_like(g), total + g)
    )

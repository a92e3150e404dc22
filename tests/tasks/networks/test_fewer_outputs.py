"""A task with fewer classes than outputs: the first outputs alone are its network."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.tasks import networks, outputs
from mole_jax.tasks.classification import loss_and_accuracy, masked
from mole_jax.tasks.networks import Network, fewer_outputs

K, FEWER, N = 5, 3, 7


def make(name: str, n_outputs: int) -> Network:
    return networks.build({"name": name}, (4, 4, 1), n_outputs)


@pytest.mark.parametrize("name", networks.CLASSIFIERS)
def test_masked_outputs_leave_the_network_that_lacks_them(name: str) -> None:
    """Loss, accuracy, gradient and divergence are the smaller network's own."""
    full, small, n = make(name, K), make(name, FEWER), jnp.int32(FEWER)
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[2], (N, full.n_inputs))
    labels, mask = jax.random.randint(keys[3], (N,), 0, FEWER), jnp.arange(N) < N - 2

    def judge(network: Network, n: jax.Array | None) -> Callable[..., tuple[jax.Array, jax.Array]]:
        def of(flat: jax.Array) -> tuple[jax.Array, jax.Array]:
            logits = network.apply(network.spec.unflatten(flat), x)
            return loss_and_accuracy(logits, labels, mask, n)

        return of

    @jax.jit
    def everything(flat: jax.Array, other: jax.Array) -> dict[str, tuple[jax.Array, jax.Array]]:
        narrow, narrow_other = (fewer_outputs.narrowed(full, f, small) for f in (flat, other))
        (loss, hits), grad = jax.value_and_grad(judge(full, n), has_aux=True)(flat)
        (wanted, wanted_hits), wanted_grad = jax.value_and_grad(judge(small, None), has_aux=True)(
            narrow
        )
        pairs = [full.spec.unflatten(f) for f in (flat, other)]
        narrow_pairs = [small.spec.unflatten(f) for f in (narrow, narrow_other)]
        logits = masked(full.apply(pairs[0], x), n)
        small_logits = small.apply(narrow_pairs[0], x)
        return {
            "loss": (loss, wanted),
            "accuracy": (hits, wanted_hits),
            "gradient": (grad, fewer_outputs.widened(full, wanted_grad, small)),
            "divergence": (
                outputs.divergence(full, *pairs, x, n),
                outputs.divergence(small, *narrow_pairs, x),
            ),
            "error": (
                outputs.error(full, full.apply(pairs[0], x), labels, n),
                outputs.error(small, small_logits, labels),
            ),
            "probabilities": (
                jax.nn.softmax(logits)[:, :FEWER],
                jax.nn.softmax(small_logits),
            ),
            "absent": (jax.nn.softmax(logits)[:, FEWER:], jnp.zeros((N, K - FEWER))),
        }

    flat, other = (full.spec.flatten(full.init(key)) for key in keys[:2])
    for what, (found, wanted) in everything(flat, other).items():
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6, err_msg=what)

    # What the other outputs are, changes no bit.
    moved = jnp.where(jnp.asarray(full.output_of) >= FEWER, flat + 10.0, flat)
    for what in ("loss", "accuracy", "gradient", "divergence", "error"):
        a, b = (everything(f, other)[what][0] for f in (flat, moved))
        np.testing.assert_array_equal(a, b, err_msg=what)


@pytest.mark.parametrize("name", networks.CLASSIFIERS)
def test_narrowing_and_widening_undo_each_other(name: str) -> None:
    full, small = make(name, K), make(name, FEWER)
    flat = jax.random.normal(jax.random.key(0), (2, full.spec.size))
    narrow = fewer_outputs.narrowed(full, flat, small)
    assert narrow.shape == (2, small.spec.size)
    wide = fewer_outputs.widened(full, narrow, small)
    np.testing.assert_array_equal(fewer_outputs.narrowed(full, wide, small), narrow)
    emptied = fewer_outputs.emptied(full, flat, jnp.array([FEWER, K]))
    np.testing.assert_array_equal(emptied, jnp.stack([wide[0], flat[1]]))
    assert fewer_outputs.emptied(full, flat, None) is flat

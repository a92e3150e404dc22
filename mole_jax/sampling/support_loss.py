"""Loss and accuracy of networks on a support set."""

from __future__ import annotations

import functools

import jax

from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network


@functools.partial(jax.jit, static_argnums=0)
def quality(network: Network, flat: jax.Array, support: Examples) -> tuple[jax.Array, jax.Array]:
    """Return loss and accuracy of networks [n, D] on a support set, each [n]."""
    logits = jax.vmap(network.apply, in_axes=(0, None))(
        network.spec.unflatten(flat), support.inputs
    )
    return loss_and_accuracy(logits, *support[1:])

"""Networks of several sizes in the parameters of the largest: see `Network.frame`."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from mole_jax.tasks.networks.network import Network


def sized(network: Network, flat: jax.Array, sizes: jax.Array) -> jax.Array:
    """Return initial networks of given sizes.

    Args:
        network: with a frame.
        flat: [..., D] fresh networks of the largest size.
        sizes: [..., H] units of each layer, 0 for a layer that is not there.

    Returns:
        [..., D], zero in what they lack.
    """
    assert network.frame is not None
    spec, make = network.spec, network.frame.sized

    def one(flat: jax.Array, sizes: jax.Array) -> jax.Array:
        return spec.flatten(make(spec.unflatten(flat), sizes))

    batch = flat.shape[:-1]
    sizes = jnp.broadcast_to(sizes, (*batch, sizes.shape[-1]))
    each = jax.vmap(one)(flat.reshape(-1, spec.size), sizes.reshape(-1, sizes.shape[-1]))
    return each.reshape(*batch, spec.size)


def there(network: Network, flat: jax.Array) -> jax.Array:
    """Return which parameters networks [..., D] have: [..., D] bool; with no frame all."""
    if network.frame is None:
        return jnp.ones(flat.shape, bool)
    spec, find = network.spec, network.frame.there

    def one(flat: jax.Array) -> jax.Array:
        return spec.flatten(find(spec.unflatten(flat)))

    return jax.vmap(one)(flat.reshape(-1, spec.size)).reshape(flat.shape)

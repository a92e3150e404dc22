"""The networks that prediction starts from: fresh ones, or those that callers have."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import given
from mole_jax.core.errors import UserError
from mole_jax.population import member
from mole_jax.sampling.networks import Networks, title
from mole_jax.tasks.networks import Network
from mole_jax.tasks.networks.sizes import sized
from mole_jax.tasks.networks.state_dict import without_prefixes
from mole_jax.tasks.networks.torch_layout import TorchLayout, layout

_MOST = 3  # names that a message lists


def fresh(network: Network, n: int, key: jax.Array, sizes: Any = None) -> jax.Array:
    """Draw random initialisations [n, D]; `sizes` [H] are as `Frame.sized` takes them."""
    init = jax.vmap(lambda k: network.spec.flatten(member.initial(network, k, jnp.float32(1.0))))
    found = init(jax.random.split(key, n))
    return found if sizes is None else sized(network, found, jnp.asarray(sizes))


def of_caller(network: Network, start: Any, n: int) -> jax.Array:
    """Return the starts [n, D] that a caller gives, as one network or as n.

    Args:
        network: the architecture that they must have.
        start: leaves [*shape], or [n, *shape]: nested by layer, as `Networks.params` are; flat,
            named as `import-network` writes them ("hidden_0/kernel", or with dots); a state_dict
            with PyTorch's names and layouts; or Networks.
        n: how many are wanted.

    Raises:
        UserError: for tensors that are missing, too many, of another shape, or not finite.
    """
    if isinstance(start, Networks):
        start = start.params
    if not isinstance(start, Mapping):
        raise UserError(
            f"start must be parameters by name, as nets.params are, not of type "
            f"{type(start).__name__}"
        )
    tensors = _tensors(network, start)
    torch = _torch_layout(network, tensors)
    flat = (
        _flat(network, tensors)
        if torch is None
        else torch.from_state_dict(
            {name.replace("/", "."): tensor for name, tensor in tensors.items()}, "start"
        )
    )
    batch = flat.shape[:-1]
    if batch not in ((), (1,), (n,)):
        raise UserError(
            f"start holds {' x '.join(map(str, batch))} networks, and n={n}: give one, or {n}"
        )
    return jnp.broadcast_to(jnp.asarray(flat), (n, network.spec.size))


def _tensors(network: Network, start: Mapping[Any, Any]) -> dict[str, np.ndarray]:
    """Return the leaves of nested or flat parameters, by path with slashes."""
    found: dict[str, np.ndarray] = {}
    for path, leaf in _leaves(start, ""):
        if not hasattr(leaf, "shape"):
            raise UserError(f"start: {path} must be an array, not of type {type(leaf).__name__}")
        if path in found:
            raise UserError(f"start has {path} twice, nested and flat")
        found[path] = given.floats(f"start: {path}", leaf, strictly=True)
    if not found:
        raise UserError(f"start is empty; the network is: {title(network)}")
    dotted = {path.replace("/", "."): tensor for path, tensor in found.items()}
    return {name.replace(".", "/"): t for name, t in without_prefixes(dotted).items()}


def _leaves(node: Mapping[Any, Any], prefix: str) -> Iterable[tuple[str, Any]]:
    for name, value in node.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}".replace(".", "/"), value


def _torch_layout(network: Network, tensors: Mapping[str, Any]) -> TorchLayout | None:
    """Return PyTorch's layout if the names are those of a state_dict: ours have no `weight`."""
    if network.kind.torch is None:
        return None
    found = layout(network)
    names = {tensor.name.replace(".", "/") for tensor in found.tensors}
    names -= {field.path for field in network.spec.fields}
    weights = any(name.rpartition("/")[2] == "weight" for name in tensors)
    return found if weights or names & set(tensors) else None


def _flat(network: Network, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
    """Tensors by MOLE's paths -> [..., D]."""
    shapes = {field.path: field.shape for field in network.spec.fields}
    for problem, names in (
        ("lacks", [name for name in shapes if name not in tensors]),
        ("has", [name for name in tensors if name not in shapes]),
    ):
        if names:
            raise UserError(
                f"start {problem} {_listed(names)}; the network is {title(network)}, with "
                f"{_listed([f'{name} {list(shape)}' for name, shape in shapes.items()], 12)}"
            )
    first = network.spec.fields[0]
    batch = tensors[first.path].shape[: tensors[first.path].ndim - len(first.shape)]
    wrong = [
        f"{name} {list(tensors[name].shape)} and not {[*batch, *shape]}"
        for name, shape in shapes.items()
        if tensors[name].shape != (*batch, *shape)
    ]
    if wrong:
        raise UserError(f"start is of another network than {title(network)}: {_listed(wrong)}")
    parts = [tensors[f.path].reshape(*batch, f.size) for f in network.spec.fields]
    return np.concatenate(parts, axis=-1)


def _listed(names: list[str], most: int = _MOST) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

"""Every registered network, with its default keys, does all that the others ask of a network."""

from __future__ import annotations

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax import representation
from mole_jax.core.errors import UserError
from mole_jax.representation import permutation
from mole_jax.tasks import networks, outputs
from mole_jax.tasks.networks import Network, Outputs, policy, shorthand, torch_layout
from tests import tiny

N = 3  # labels, choices or actions


def make(name: str) -> Network:
    shape = (4, 4, 1) if networks.KINDS[name].classifies else (4,)
    return networks.build({"name": name}, shape, N)


@pytest.mark.parametrize("name", networks.NAMES)
def test_every_network(name: str) -> None:
    network, kind = make(name), networks.KINDS[name]
    assert (network.name, network.kind, networks.CONFIGS[name]) == (name, kind, kind.config)

    # Its keys: frozen, hashable, and all with defaults.
    keys = networks.config_of({"name": name})
    assert keys == kind.config() and hash(keys) == hash(kind.config())
    fields = [field.name for field in dataclasses.fields(keys)]

    # A zoo describes it so that it can be built again, without other networks' keys.
    section = {"name": name, **dataclasses.asdict(keys)}
    stored = json.loads(json.dumps(networks.to_json(section, network)))
    assert set(stored) - {"name", "input_shape", "outputs"} <= set(fields)
    again = networks.from_json(stored)
    assert (again.spec, again.axes, again.units) == (network.spec, network.axes, network.units)
    assert networks.from_json(networks.to_json({"name": name}, network)).spec == network.spec
    others = {"fruit": "apple", **section}
    assert networks.config_of(others) == keys

    # Its function and flat layout, its symmetries, its tokens, and what its outputs mean.
    codec = representation.codec("neuron", network, chunk_size=1)
    targets = jnp.zeros(5, jnp.int32) if network.classifies else jnp.zeros((5, N))

    @jax.jit
    def everything(key: jax.Array) -> dict[str, jax.Array]:
        params = network.init(key)
        flat = network.spec.flatten(params)
        x = jax.random.normal(key, (2, 5, network.n_inputs))
        y = network.apply(network.spec.unflatten(flat), x)
        moved = permutation.permute(network, flat, permutation.random_orders(network, key))
        found = {
            "flat": flat,
            "y": y,
            "moved": network.apply(network.spec.unflatten(moved), x),
            "decoded": codec.decode(codec.encode(flat)),
            "same": outputs.divergence(network, params, params, x[0]),
            "error": outputs.error(network, y[0], targets),
        }
        if not network.classifies:
            action = policy.sample(network, params, x[0], key)
            found |= {"log": policy.log_probability(network, params, x[0], action)}
            found |= {"action": action}
        return found

    with tiny.quick_compilation():
        found = jax.tree.map(np.asarray, everything(jax.random.key(0)))
    assert all(np.isfinite(values).all() for values in found.values())
    flat, y = found["flat"], found["y"]
    assert flat.shape == (network.spec.size,)
    assert y.shape == (2, 5, N) and np.abs(y).max() > 0
    np.testing.assert_allclose(found["moved"], y, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found["decoded"], flat)
    np.testing.assert_allclose(found["same"], np.zeros(5), atol=1e-6)
    assert found["error"].shape == (5,)
    if not network.classifies:
        one = network.outputs is Outputs.CATEGORICAL
        assert found["action"].shape == ((5,) if one else (5, N))
        assert found["log"].shape == (5,)

    # PyTorch's form of it, and its shorthand, where it has them.
    if kind.torch is None:
        with pytest.raises(
            UserError, match=f"a {name} has no PyTorch layout|and no PyTorch module"
        ):
            torch_layout.layout(network)
    else:
        layout = torch_layout.layout(network)
        tensors = layout.state_dict(flat)
        np.testing.assert_array_equal(layout.from_state_dict(tensors, "here"), flat)
        assert isinstance(kind.torch.forward(keys, network), str)
    if kind.shorthand is not None:
        described = shorthand.parse(f"{kind.shorthand.word}:4,6,{N}")
        assert described.network.kind is kind
        assert networks.from_json(described.to_json()).spec == described.network.spec


def test_an_unknown_network_is_answered_with_the_nearest_and_with_all() -> None:
    with pytest.raises(UserError, match=r"network\.name='mpl' .*did you mean 'mlp'\?.*") as caught:
        networks.build({"name": "mpl"}, (4,), N)
    for name in networks.NAMES:
        assert repr(name) in str(caught.value)


def test_a_description_that_lacks_a_key_is_not_filled_up_with_a_default() -> None:
    """Of stored weights: other widths would be another network."""
    with pytest.raises(KeyError, match="hidden"):
        networks.from_json({"name": "mlp", "activation": "relu", "input_shape": [4], "outputs": N})

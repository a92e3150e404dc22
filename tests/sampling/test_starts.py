"""Starts come nested, flat, with PyTorch's names or as Networks; others are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.sampling import starts
from mole_jax.sampling.networks import Networks
from mole_jax.tasks.networks import Network, from_json
from mole_jax.tasks.networks.torch_layout import layout

MLP = {"name": "mlp", "hidden": [3], "activation": "relu", "input_shape": [4], "outputs": 2}
OTHERS: list[dict[str, Any]] = [
    MLP,
    MLP | {"name": "gaussian_policy", "activation": "selu"},
    {"name": "cnn", "channels": [2, 3], "strides": [1, 2], "bias": True, "norm_groups": 1,
     "input_shape": [4, 4, 3], "outputs": 2},
    {"name": "vit", "patch": 2, "width": 4, "layers": 1, "heads": 2, "mlp": 4, "pooling": "mean",
     "input_shape": [4, 4, 1], "outputs": 2},
]  # fmt: skip


@pytest.fixture(scope="module")
def network() -> Network:
    return from_json(MLP)


def flat_names(network: Network, flat: np.ndarray) -> dict[str, np.ndarray]:
    batch = flat.shape[:-1]
    return {f.path: flat[..., f.slice].reshape(*batch, *f.shape) for f in network.spec.fields}


@pytest.mark.parametrize("described", OTHERS, ids=lambda d: d["name"])
@pytest.mark.parametrize("batch", [(), (1,), (2,)])
def test_every_form_is_taken(described: dict[str, Any], batch: tuple[int, ...]) -> None:
    network = from_json(described)
    flat = np.random.default_rng(0).normal(size=(*batch, network.spec.size)).astype(np.float32)
    named = flat_names(network, flat)
    forms: list[Any] = [
        network.spec.unflatten(flat),
        network.spec.unflatten(jnp.asarray(flat)),
        named,
        {name.replace("/", "."): x for name, x in named.items()},
        {name: x.astype(np.float64) for name, x in named.items()},
    ]
    if described["name"] != "vit":
        torch = layout(network).state_dict(flat)
        forms.append(torch)
        nested: dict[str, Any] = {}
        for name, x in torch.items():
            layer, _, leaf = name.rpartition(".")
            (nested.setdefault(layer, {}) if layer else nested)[leaf] = x
        forms.append(nested)
    for form in forms:
        found = starts.of_caller(network, form, 2)
        np.testing.assert_array_equal(found, np.broadcast_to(flat, (2, flat.shape[-1])))


def test_the_files_of_import_network_are_taken(network: Network, tmp_path: Path) -> None:
    flat = np.arange(network.spec.size, dtype=np.float32)
    files.write_npz(tmp_path / "net.npz", **flat_names(network, flat))
    with np.load(tmp_path / "net.npz") as file:
        for start in (file, dict(file)):
            np.testing.assert_array_equal(starts.of_caller(network, start, 1)[0], flat)


def test_networks_are_taken(nets: Networks) -> None:
    flat = nets.network.spec.flatten(nets.params)
    np.testing.assert_array_equal(starts.of_caller(nets.network, nets, 2), flat)


def test_torch_parameters_are_taken(network: Network) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is a development requirement")
    flat = np.arange(network.spec.size, dtype=np.float32)
    made = {name: torch.tensor(x) for name, x in layout(network).state_dict(flat).items()}
    for change in (
        torch.nn.Parameter,
        lambda x: x.clone().requires_grad_(),
        lambda x: x.bfloat16(),  # small whole numbers are exact
        lambda x: x.double(),
    ):
        start = {name: change(x) for name, x in made.items()}
        np.testing.assert_array_equal(starts.of_caller(network, start, 1)[0], flat)


def test_starts_that_cannot_be(network: Network) -> None:
    flat = np.zeros(network.spec.size, np.float32)
    good, torch = network.spec.unflatten(flat), layout(network).state_dict(flat)
    named = flat_names(network, flat)
    wide = flat_names(from_json(MLP | {"hidden": [5]}), np.zeros(37, np.float32))
    for start, message in (
        ({**good, "hidden_1": {"kernel": np.zeros((3, 3)), "bias": np.zeros(3)}},
         "has hidden_1/kernel, hidden_1/bias; the network is mlp"),
        ({**named, "step": np.zeros(())}, "has step; "),
        ({**torch, "fc3.bias": np.zeros(3)}, r"has the tensor 'fc3\.bias'"),
        ({**good, **torch}, "has the tensor"),
        ({**good, **named}, "has hidden_0/.* twice"),
        ({"hidden_0": good["hidden_0"]}, "lacks output/bias, output/kernel"),
        ({"hidden_0": {}}, "start is empty"),
        ({"fc1.weight": torch["fc1.weight"]}, r"lacks the tensor 'fc1\.bias'"),
        (wide, r"another network than .*: hidden_0/bias \[5\] and not \[3\], hidden_0/kernel"),
        ({**torch, "fc2.bias": np.zeros(3, np.float32)}, r"fc2\.bias has shape \[3\]"),
        ({**named, "output/bias": np.zeros((7, 2))}, r"output/bias \[7, 2\] and not \[2\]"),
        (network.spec.unflatten(np.zeros((3, 23))), "start holds 3 networks, and n=2"),
        (network.spec.unflatten(np.zeros((1, 2, 23))), "start holds 1 x 2 networks"),
        (network.spec.unflatten(flat + np.nan), "start: hidden_0/bias holds NaN"),
        (network.spec.unflatten(np.full(23, 1e300)), "too large for float32"),
        (network.spec.unflatten(flat.astype(int)), "must be floating-point numbers, not int64"),
        (network.spec.unflatten(flat.astype(bool)), "must be floating-point numbers, not bool"),
        (network.spec.unflatten(flat + 1j), "must be floating-point numbers, not complex"),
        (jax.tree.map(lambda x: x.tolist(), good), "hidden_0/bias must be an array, not .* list"),
        ({**named, "output/bias": 0.0}, "output/bias must be an array, not of type float"),
        (jax.tree.leaves(good), "must be parameters by name, .* not of type list"),
        (3.0, "must be parameters by name"),
        ("net.npz", "must be parameters by name"),
        (flat, "must be parameters by name"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message) as refused:
            starts.of_caller(network, start, 2)
        assert str(refused.value).startswith("start") and "\n" not in str(refused.value)

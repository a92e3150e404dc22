"""Names as wrappers and Sequentials give them, and what is no weight."""

from __future__ import annotations

import itertools

import ml_dtypes
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import shorthand, state_dict
from mole_jax.tasks.networks.torch_layout import layout

MLP = layout(shorthand.parse("mlp:3,3,3,3").network)  # no shape tells one layer from another
CNN = layout(shorthand.parse("cnn:3,2,4,5").network)
POLICY = layout(shorthand.parse("policy:4,3,3,1").network)


def state(torch: object = MLP) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    flat = np.random.default_rng(0).normal(size=torch.network.spec.size).astype("f4")
    return flat, torch.state_dict(flat)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_prefixes_are_taken_off_in_any_order(n: int) -> None:
    flat, tensors = state()
    for prefixes in itertools.permutations(state_dict.PREFIXES, n):
        wrapped = {"".join(prefixes) + name: tensor for name, tensor in tensors.items()}
        assert list(state_dict.without_prefixes(wrapped)) == list(tensors)
        np.testing.assert_array_equal(MLP.from_state_dict(wrapped, "here"), flat)


def test_a_prefix_that_not_all_have_is_a_name() -> None:
    _, tensors = state()
    some = {f"module.{name}" if "fc1" in name else name: x for name, x in tensors.items()}
    assert state_dict.without_prefixes(some) == some
    with pytest.raises(UserError, match=r"lacks the tensor 'fc1.weight'; it has module.fc1.weig"):
        MLP.from_state_dict(some, "here")
    assert state_dict.without_prefixes({"model.": 1}) == {"model.": 1}


@pytest.mark.parametrize(
    ("torch", "names"),
    [
        (MLP, ["0.weight", "0.bias", "2.weight", "2.bias", "10.weight", "10.bias"]),
        (MLP, ["net.0.0.weight", "net.0.0.bias", "net.0.2.weight", "net.0.2.bias",
               "net.1.weight", "net.1.bias"]),
        (CNN, ["0.weight", "2.weight", "6.weight", "6.bias"]),
        (CNN, ["convs.0.weight", "convs.1.weight", "fc.weight", "fc.bias"]),
        # By chance some of these are names that are expected, of other layers.
        (POLICY, ["log_std", *(f"actor.{i}.{leaf}" for i in (0, 1, 2)
                               for leaf in ("weight", "bias"))]),
    ],
)  # fmt: skip
def test_names_of_a_sequential_are_taken_in_order(torch: object, names: list[str]) -> None:
    flat, tensors = state(torch)
    renamed = dict(zip(names, tensors.values(), strict=True))
    for order in (list, reversed, sorted):  # files may sort names as texts
        shuffled = {name: renamed[name] for name in order(names)}
        np.testing.assert_array_equal(torch.from_state_dict(shuffled, "here"), flat)


@pytest.mark.parametrize(
    "names",
    [
        ["0.weight", "0.bias", "2.weight", "2.bias", "fc3.weight", "fc3.biases"],
        ["a.0.weight", "a.0.bias", "b.1.weight", "b.1.bias", "b.2.weight", "b.2.bias"],
        ["fc2.weight", "fc2.bias", "fc3.weight", "fc3.bias", "fc4.weight", "fc4.bias"],
        ["0.weight", "0.bias", "1.weight", "2.weight", "3.weight", "3.bias"],
        ["lin.weight", "lin.bias", "mid.weight", "mid.bias", "out.weight", "out.bias"],
    ],
)
def test_names_that_may_mean_something_else_are_refused(names: list[str]) -> None:
    _, tensors = state()
    with pytest.raises(UserError) as refused:
        MLP.from_state_dict(dict(zip(names, tensors.values(), strict=True)), "here")
    for words in ("lacks the tensor", f"it has {names[0]} [3, 3]", "needs fc1.weight [3, 3]"):
        assert words in str(refused.value)


def test_a_misfit_is_said_under_the_name_that_the_file_has() -> None:
    _, tensors = state()
    names = ("0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias")
    renamed = dict(zip(names, tensors.values(), strict=True)) | {"2.weight": np.zeros((4, 3), "f4")}
    with pytest.raises(UserError, match=r"2.weight \(fc2.weight\) has shape \[4, 3\].*\[3, 3\]"):
        MLP.from_state_dict(renamed, "here")


@pytest.mark.parametrize("kind", ["int8", "int64", "uint8", "bool", "complex64", "S1"])
def test_what_is_no_weight_is_refused(kind: str) -> None:
    _, tensors = state()
    tensors["fc2.bias"] = np.ones(3).astype(kind)
    name = np.dtype(kind).name
    with pytest.raises(UserError, match=rf"here: fc2.bias holds numbers of type {name}"):
        MLP.from_state_dict(tensors, "here")


@pytest.mark.parametrize("kind", ["float16", "float64", ml_dtypes.bfloat16])
def test_floating_point_of_any_width_becomes_float32(kind: object) -> None:
    flat, tensors = state()
    narrowed = {name: tensor.astype(kind) for name, tensor in tensors.items()}
    found = MLP.from_state_dict(narrowed, "here")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, flat.astype(kind).astype("f4"))


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_are_finite_after_the_cast(value: float) -> None:
    _, tensors = state()
    tensors["fc2.bias"] = np.array([0, value, 0], np.float64)
    with pytest.raises(UserError, match=r"here: fc2.bias has NaN or infinite"):
        MLP.from_state_dict(tensors, "here")
    assert not np.isfinite(MLP.from_state_dict(tensors, "here", finite=False)).all()

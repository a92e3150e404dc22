"""Flattening and unflattening are inverses, in NumPy and in JAX, with any batch dimensions."""

from __future__ import annotations

import json
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.tasks.parameters import ParameterSpec


def example(batch: tuple[int, ...] = ()) -> dict[str, Any]:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=batch + shape).astype(np.float32)

    return {
        "hidden_0": {"kernel": normal(4, 3), "bias": normal(3)},
        "deep": {"er": {"scale": normal()}},
        "output": {"kernel": normal(3, 2), "bias": normal(2)},
    }


SPEC = ParameterSpec.of(example())


def test_the_layout_follows_the_order_of_keys_without_gaps() -> None:
    assert [(f.path, f.shape, f.offset) for f in SPEC.fields] == [
        ("hidden_0/kernel", (4, 3), 0),
        ("hidden_0/bias", (3,), 12),
        ("deep/er/scale", (), 15),
        ("output/kernel", (3, 2), 16),
        ("output/bias", (2,), 22),
    ]
    assert SPEC.size == 24
    assert SPEC["output/bias"].slice == slice(22, 24)
    with pytest.raises(KeyError, match="no parameter 'output/scale'"):
        SPEC["output/scale"]


def test_abstract_shapes_give_the_same_spec() -> None:
    ordered = jax.tree.map(jnp.asarray, example())  # jax.tree sorts the keys of dicts
    assert ParameterSpec.of(jax.eval_shape(lambda: ordered)) == ParameterSpec.of(ordered)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,)])
@pytest.mark.parametrize("library", [np, jnp])
def test_round_trip(batch: tuple[int, ...], library: Any) -> None:
    params = jax.tree.map(library.asarray, example(batch))
    flat = SPEC.flatten(params)
    assert isinstance(flat, np.ndarray if library is np else jax.Array)
    assert flat.shape == (*batch, 24)
    assert flat.dtype == np.float32
    again = SPEC.unflatten(flat)
    chex.assert_trees_all_equal(again, params)
    np.testing.assert_array_equal(SPEC.flatten(again), flat)


def test_each_tensor_lies_where_its_field_says() -> None:
    params = example((2,))
    flat = SPEC.flatten(params)
    np.testing.assert_array_equal(
        flat[:, SPEC["output/kernel"].slice], params["output"]["kernel"].reshape(2, -1)
    )


def test_round_trip_under_jit_and_vmap() -> None:
    flat = jnp.arange(48.0).reshape(2, 24)
    there_and_back = jax.jit(jax.vmap(lambda x: SPEC.flatten(SPEC.unflatten(x))))
    np.testing.assert_array_equal(there_and_back(flat), flat)


def test_json_round_trip() -> None:
    assert ParameterSpec.from_json(json.loads(json.dumps(SPEC.to_json()))) == SPEC


def test_what_does_not_fit_is_named() -> None:
    params = example()
    with pytest.raises(ValueError, match="'output/bias' is missing"):
        SPEC.flatten({**params, "output": {"kernel": params["output"]["kernel"]}})
    with pytest.raises(ValueError, match="'deep/er/scale' is missing"):
        SPEC.flatten({**params, "deep": {"er": np.zeros(3)}})
    with pytest.raises(ValueError, match=r"'output/bias' has shape \(7,\), expected \(2,\)"):
        SPEC.flatten({**params, "output": {**params["output"], "bias": np.zeros(7)}})
    with pytest.raises(ValueError, match=r"'output/bias' has shape \(2,\), expected \(5, 2\)"):
        SPEC.flatten({**example((5,)), "output": {**example((5,))["output"], "bias": np.zeros(2)}})
    with pytest.raises(ValueError, match="of 23 numbers, expected D = 24"):
        SPEC.unflatten(np.zeros((3, 23)))

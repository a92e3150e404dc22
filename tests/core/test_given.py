"""What callers give is what it should be, in float32, or is refused in one line."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core import given
from mole_jax.core.errors import UserError

torch = pytest.importorskip("torch", reason="PyTorch is a development requirement")


TWO = [2, np.int8(2), np.uint64(2), np.array(2), jnp.asarray(2), torch.tensor(2)]


@pytest.mark.parametrize("value", TWO)
def test_whole_numbers(value: Any) -> None:
    assert given.whole("n", value, 1) == 2 and type(given.whole("n", value, 1)) is int
    assert given.real("x", value) == 2.0


WRONG = [
    None, True, np.True_, "2", b"2", [2], (2,), {}, np.ones(1), jnp.ones((2, 2)), 2j, object(),
    torch.ones(1), torch.tensor(True), jax.random.key(0), np.array(None), np.datetime64("2020"),
    [[1], [1, 2]],
]  # fmt: skip


@pytest.mark.parametrize("value", [*WRONG, 2.0, np.float32(2), torch.tensor(2.0), Fraction(2)])
def test_what_is_no_whole_number(value: Any) -> None:
    refused("n", given.whole, value, 1)


@pytest.mark.parametrize("value", WRONG)
def test_what_is_no_number(value: Any) -> None:
    refused("x", given.real, value)


def test_bounds() -> None:
    for value, bounds, message in (
        (0, (1,), "n=0 must be 1 or more"),
        (8, (1, 7), "n=8 must lie in 1..7"),
        (10**30, (1, 7), "n=1000000000000000000000000000000 must lie in 1..7"),
        (-(10**5000), (1, 7), "n=an integer of .* bits must lie in"),
        (np.int64(-1), (0, 7), "n=-1 must lie in 0..7"),
    ):
        with pytest.raises(UserError, match=message):
            given.whole("n", value, *bounds)
    assert given.whole("n", 7, 7, 7) == 7
    for value, low, high, message in (
        (-1e-3, 0, 1, "x=-0.001 must lie in 0..1"),
        (1.1, 0, 1, "x=1.1 must lie in 0..1"),
        (-1, 0, given.LARGEST, "x=-1 must be 0 or more"),
        (float("nan"), 0, 1, "x=nan must be a number, finite in float32"),
        (float("inf"), 0, given.LARGEST, "finite in float32"),
        (1e39, 0, given.LARGEST, r"x=1e\+39 must be a number, finite in float32"),
        (-(10**400), 0, given.LARGEST, "x=an integer of 1329 bits must be"),
        (10**5000, 0, given.LARGEST, "x=an integer of .* bits must be"),
    ):
        with pytest.raises(UserError, match=message):
            given.real("x", value, low, high)
    assert given.real("x", 0.1, 0, 0.1) == 0.1  # though float32 rounds it up
    assert given.real("x", jnp.float32(0.1), 0, 0.1) == np.float32(0.1)
    assert given.real("x", torch.tensor(0.5, requires_grad=True)) == 0.5
    assert given.real("x", jnp.bfloat16(0.5)) == 0.5


def test_arrays() -> None:
    wanted = np.arange(3, dtype=np.float32)
    for value in (
        [0, 1, 2], (0.0, 1.0, 2.0), np.arange(3), np.arange(3.0), jnp.arange(3),
        jnp.arange(3, dtype=jnp.bfloat16), torch.arange(3), torch.arange(3.0).requires_grad_(),
        torch.arange(3).bfloat16(), torch.nn.Parameter(torch.arange(3.0)),
    ):  # fmt: skip
        found = given.floats("x", value)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(given.floats("x", [True, False]), [1, 0])
    for value in (
        ["a"], None, [1j], [[1], [1, 2]], [np.nan], [np.inf], [1e39], [10**400], {1: 2},
        torch.ones(2).to_sparse(), torch.ones(2, device="meta"), jax.random.key(0),
        np.array(["2020"], "datetime64[Y]"),
    ):  # fmt: skip
        refused("x", given.floats, value)
    for value in ([1], [True], np.ones(2, np.uint8)):
        refused("x", lambda name, value: given.floats(name, value, strictly=True), value)


def test_arrays_that_stay_on_their_device() -> None:
    given.check_floats("x", jnp.ones(3))
    for value in (jnp.array([1, jnp.nan]), jnp.array([jnp.inf]), jnp.ones(2, complex)):
        refused("x", given.check_floats, value)
    bad = jnp.array([jnp.nan])
    jax.jit(lambda x: given.check_floats("x", x))(bad)
    jax.jit(lambda: given.check_floats("x", bad))()


def test_keys() -> None:
    key, old = jax.random.key(3), jax.random.PRNGKey(3)
    for value in (key, old, np.asarray(old)):
        assert (jax.random.key_data(given.prng_key("key", value)) == old).all()
    assert (jax.jit(lambda key: jax.random.key_data(given.prng_key("k", key)))(key) == old).all()
    others = (jax.random.split(key, 3), jax.random.split(old, 3), jax.random.split(key, 1))
    foreign = SimpleNamespace(dtype="torch.int64", shape=(2,))
    wrong = (0, None, "0", 0.5, [0, 3], foreign, np.int64(0), jnp.ones(2), jnp.zeros(3, jnp.uint32))
    for value in (*others, *wrong):
        refused("key", given.prng_key, value)


def test_what_is_traced() -> None:
    assert not given.is_traced((1, "a", jnp.ones(2), None, jax.random.key(0)))
    for transformed in (jax.jit, jax.vmap, jax.grad):
        seen = []
        transformed(lambda x, seen=seen: seen.append(given.is_traced({"a": [x]})) or x)(
            jnp.ones(()) if transformed is jax.grad else jnp.ones(2)
        )
        assert seen == [True]


def refused(name: str, check: Any, *arguments: Any) -> None:
    with pytest.raises(UserError) as problem:
        check(name, *arguments)
    assert str(problem.value).startswith(name) and "\n" not in str(problem.value)
    assert len(str(problem.value)) < 200

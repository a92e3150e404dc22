"""The flag --mesh says what is wrong with it."""

from __future__ import annotations

import pytest

from mole_jax.core.devices.mesh_shape import parse
from mole_jax.core.errors import UserError


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("", {}),
        ("data:4", {"data": 4}),
        ("data:4,fsdp:2", {"data": 4, "fsdp": 2}),
        (" tensor : 8 , data:1,", {"tensor": 8, "data": 1}),
    ],
)
def test_a_shape(text: str, shape: dict[str, int]) -> None:
    assert parse(text) == shape


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model:2", "axis 'model' is unknown: the axes are data, fsdp, tensor"),
        ("8", "axis '8' is unknown"),
        ("data:2,data:2", "axis data is given twice"),
        ("fsdp", "fsdp needs a whole number"),
        ("fsdp:0", "fsdp needs a whole number"),
        ("fsdp:-2", "fsdp needs a whole number"),
        ("data:2.5", "data needs a whole number"),
    ],
)
def test_what_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(text)

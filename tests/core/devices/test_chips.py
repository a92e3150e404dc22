"""Chips are found by the name that JAX gives them."""

from __future__ import annotations

import pytest

from mole_jax.core.devices import chips


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA B200", "B200"),
        ("TPU v4", "TPU v4"),
        ("TPU v5 lite", "TPU v5e"),
        ("TPU v5p", "TPU v5p"),
        ("TPU v5", "TPU v5p"),
        ("TPU v6 lite", "TPU v6e"),
    ],
)
def test_a_chip(kind: str, name: str) -> None:
    chip = chips.find(kind)
    assert chip is not None
    assert chip.name == name


@pytest.mark.parametrize("kind", ["cpu", "", "NVIDIA A100-SXM4-80GB", "TPU v3"])
def test_no_data_sheet_no_chip(kind: str) -> None:
    assert chips.find(kind) is None


def test_units_are_plausible() -> None:
    for chip in chips.CHIPS:
        assert 1e14 < chip.peak < 1e16
        assert 1e10 < chip.memory < 1e12
        assert chip.network < chip.link < chip.bandwidth < chip.peak / 50

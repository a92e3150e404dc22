"""The benchmark of meta-training steps the blocks that the meta-model has now."""

from __future__ import annotations

import argparse

import jax
import numpy as np
import pytest

from benchmarks import meta_training


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_step_of_ours(dtype: str) -> None:
    flags = argparse.Namespace(width=8, layers=2, heads=2, batch=3)
    train, operations = meta_training.our_side(flags, dtype)
    # Of each block, forward and backward: 12 W^2 for each token, 6 W^2 of modulation, attention.
    tokens, width = 3 * meta_training.LENGTH, flags.width
    products = 12 * tokens * width**2 + 6 * 3 * width**2 + 2 * tokens * meta_training.LENGTH * width
    assert operations == pytest.approx(2 * 3 * 2 * products, rel=0.1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(train()))

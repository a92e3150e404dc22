"""Seeds of which no two mean the same; all others are refused wherever they enter."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import mole_jax
from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.core.seeds import LARGEST_SEED, checked_seed

WRONG = (-1, 2**32, 2**40, 10**30, 10**5000, -(10**30), 1.0, 0.5, float("nan"), True, False, "0")
WRONG += (None, [0], np.float32(1), np.bool_(True), np.array([1, 2]), np.int64(-1))
RIGHT = (0, 1, LARGEST_SEED, np.int32(7), np.uint64(2**32 - 1), np.array(3))


@pytest.mark.parametrize("seed", WRONG, ids=lambda seed: f"{type(seed).__name__}")
def test_what_is_no_seed_is_refused_by_name(seed: Any) -> None:
    for check in (lambda: checked_seed(seed, "evaluation.seed"), lambda: rng.key(seed)):
        with pytest.raises(UserError, match=r"seed=.* must be a whole number in 0\.\.") as refused:
            check()
        assert len(str(refused.value)) < 200
        assert "\n" not in str(refused.value)


@pytest.mark.parametrize("seed", RIGHT)
def test_seeds_of_32_bits_have_keys_of_their_own(seed: Any) -> None:
    assert checked_seed(seed) == int(seed)
    bits = np.asarray(jax.random.key_data(rng.key(seed)))
    np.testing.assert_array_equal(bits, [0, int(seed)])


def test_every_key_is_made_of_a_checked_seed() -> None:
    """In the package a key is made by `rng.key`, or of a number in the source."""
    package = Path(mole_jax.__file__).parent
    found = []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            made = ast.unparse(node.func) in ("jax.random.key", "jax.random.PRNGKey")
            if made and not isinstance(node.args[0], ast.Constant):
                found.append(f"{path.relative_to(package)}: {ast.unparse(node)}")
    assert found == ["core/rng.py: jax.random.key(checked_seed(seed))"]

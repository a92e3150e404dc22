"""Seeds: whole numbers, no two of which give the same keys."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError

LARGEST_SEED = 2**32 - 1  # JAX takes a seed's last 32 bits: 2**32 would give the keys of 0


def checked_seed(seed: Any, name: str = "seed") -> int:
    """Return a seed as an int, if it is a whole number that has keys of its own.

    Args:
        seed: an int, or a NumPy integer.
        name: what the user knows it by; opens the message.

    Raises:
        UserError: for a number outside 0..`LARGEST_SEED`, anything but a whole number, and a bool.
    """
    try:
        number = None if isinstance(seed, (bool, np.bool_)) else operator.index(seed)
    except TypeError:
        number = None
    if number is None or not 0 <= number <= LARGEST_SEED:
        # Python refuses to write out a number of thousands of digits.
        shown = repr(seed) if number is None or number.bit_length() < 256 else "(far larger)"
        raise UserError(f"{name}={shown} must be a whole number in 0..{LARGEST_SEED}")
    return number

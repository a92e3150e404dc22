"""Arguments of callers: arrays and numbers, each checked once, where it enters.

Every function takes the value's name for messages, and raises a one-line UserError for a value that
it refuses. Numbers are checked after the cast to float32, in which MOLE computes: 1e39 is infinite
there.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError

LARGEST = float(np.finfo(np.float32).max)
_INFINITE = "holds NaN, infinity or a number too large for float32"


def is_traced(tree: Any) -> bool:
    """Return whether any leaf of a pytree has no value yet: inside of jit, vmap or grad."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree))


def array(name: str, value: Any) -> np.ndarray:
    """Return lists, or arrays of NumPy, JAX or PyTorch, as a NumPy array of their own type."""
    try:
        if hasattr(value, "detach") and hasattr(value, "cpu"):  # PyTorch's, maybe with gradients
            value = value.detach().cpu()
            if value.is_floating_point():
                value = value.float()  # NumPy has no bfloat16
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError, OverflowError) as problem:
        raise UserError(f"{name} cannot be read as an array: {_first_line(problem)}") from problem


def floats(name: str, value: Any, *, strictly: bool = False) -> np.ndarray:
    """Return real numbers as float32, all of them finite; `strictly`: no integers or truth values.

    Raises:
        UserError: for anything else, such as text, objects or complex numbers.
    """
    found = array(name, value)
    _check_real(name, found.dtype, strictly)
    with np.errstate(over="ignore"):
        found = found.astype(np.float32)
    if not np.isfinite(found).all():
        raise UserError(f"{name} {_INFINITE}")
    return found


def check_floats(name: str, found: jax.Array) -> None:
    """Raise what `floats` raises, for an array that stays on its device.

    Inside jit, vmap and grad only its type is checked.
    """
    _check_real(name, found.dtype, False)
    finite = _all_finite(found)  # inside jit this is traced even if the array is not
    if not is_traced((found, finite)) and not finite:
        raise UserError(f"{name} {_INFINITE}")


def real(
    name: str, value: Any, low: float = -LARGEST, high: float = LARGEST, what: str = "a number"
) -> float:
    """Return one number in low..high, finite in float32; NumPy scalars and 0-d arrays are fine."""
    shown = _short(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = min(max(value, -(2**1000)), 2**1000)  # a Python int may be too large for a float
    found = _scalar(name, value, what)
    if not any(jnp.issubdtype(found.dtype, kind) for kind in (np.floating, np.integer)):
        raise UserError(f"{name}={shown} must be {what}")
    with np.errstate(over="ignore"):
        rounded = found.astype(np.float32)
    # The bounds are rounded, too, so that a number equal to one of them is inside.
    if not np.isfinite(rounded):
        raise UserError(f"{name}={shown} must be {what}, finite in float32")
    if not np.float32(low) <= rounded <= np.float32(high):
        bounds = f"be {low:g} or more" if high == LARGEST else f"lie in {low:g}..{high:g}"
        raise UserError(f"{name}={shown} must {bounds}")
    return float(found)


def whole(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return one whole number in low..high; NumPy scalars and 0-d arrays are fine, 2.0 is not."""
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        found = _scalar(name, value, "a whole number")
        if not jnp.issubdtype(found.dtype, np.integer):
            raise UserError(f"{name}={_short(value)} must be a whole number")
        number = int(found)
    if number < low or (high is not None and number > high):
        bounds = f"be {low} or more" if high is None else f"lie in {low}..{high}"
        raise UserError(f"{name}={_short(number)} must {bounds}")
    return number


def prng_key(name: str, value: Any) -> jax.Array:
    """Return one key as of `jax.random.key`, converted from one of `jax.random.PRNGKey` if need be.

    It may be traced.
    """
    example = "such as jax.random.key(0)"
    if not isinstance(value, (jax.Array, np.ndarray, np.generic)):  # tracers are arrays, too
        raise UserError(f"{name}={_short(value)} must be a key, {example}")
    dtype, shape = value.dtype, value.shape
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        if shape:
            raise UserError(f"{name} must be one key, not an array {list(shape)} of them")
        return jnp.asarray(value)
    wrong = f"{name} must be one key, {example}, not {dtype} of shape {list(shape)}"
    if dtype != np.uint32 or len(shape) != 1:
        raise UserError(wrong)
    try:
        return jax.random.wrap_key_data(jnp.asarray(value))
    except (TypeError, ValueError) as problem:
        raise UserError(wrong) from problem


def _check_real(name: str, dtype: Any, strictly: bool) -> None:
    kinds: tuple[Any, ...] = (np.floating,) if strictly else (np.floating, np.integer, np.bool_)
    if not any(jnp.issubdtype(dtype, kind) for kind in kinds):
        what = "floating-point numbers" if strictly else "real numbers"
        raise UserError(f"{name} must be {what}, not {dtype}")


@jax.jit
def _all_finite(x: jax.Array) -> jax.Array:
    return jnp.isfinite(x.astype(jnp.float32)).all()


def _scalar(name: str, value: Any, what: str) -> np.ndarray:
    """Return a number as a 0-d array of its own type."""
    if value is None or isinstance(value, (bool, str, bytes)):
        raise UserError(f"{name}={_short(value)} must be {what}")
    found = array(name, value)
    if found.ndim:
        raise UserError(f"{name} must be {what}, not an array of shape {list(found.shape)}")
    return found


def _short(value: Any) -> str:
    """Return how a message shows a value."""
    if isinstance(value, int) and value.bit_length() > 100:
        return f"an integer of {value.bit_length()} bits"
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _first_line(problem: Exception) -> str:
    return next(iter(str(problem).splitlines()), type(problem).__name__)[:150]

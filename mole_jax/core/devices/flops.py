"""Floating-point operations of a function, counted before anything is compiled or run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import jax
from jax.extend import core


def count(function: Callable[..., Any], *args: Any) -> float:
    """Count the operations of the matrix products and convolutions in `function(*args)`.

    A multiply-add counts as two, as accelerators' peak rates do. The body of a loop of fixed length
    counts as often as it runs (XLA's own analysis counts it once), and of several branches the most
    expensive counts. Elementwise work is bound by memory and not counted. Nor are kernels from
    outside JAX, such as cuDNN's attention: 0.3 % for 26 tokens of width 1536.

    Args:
        function: anything that JAX can trace.
        *args: its arguments; only shapes and dtypes matter, so jax.ShapeDtypeStruct will do.
    """
    return of(jax.make_jaxpr(function)(*args).jaxpr)


def of(jaxpr: core.Jaxpr) -> float:
    """Count the same for a traced program."""
    return math.fsum(_equation(equation) for equation in jaxpr.eqns)


def _equation(equation: core.JaxprEqn) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = _shape(equation.invars[0])
        each = math.prod(left[axis] for axis in contracted)
        return 2.0 * math.prod(_shape(equation.outvars[0])) * each
    if name == "conv_general_dilated":
        kernel = _shape(equation.invars[1])
        outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
        return 2.0 * math.prod(_shape(equation.outvars[0])) * math.prod(kernel) / outputs
    inner = [of(jaxpr) for jaxpr in _inner(params)]
    if name == "cond":
        return max(inner)
    return params.get("length", 1) * sum(inner) if name == "scan" else sum(inner)


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(x.aval.shape)


def _inner(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    """Yield the programs that an equation calls."""
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, core.ClosedJaxpr):
                yield part.jaxpr
            elif isinstance(part, core.Jaxpr):
                yield part

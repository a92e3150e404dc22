"""What this machine can do, how to time on it, and where results go."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import files
from mole_jax.core.provenance import environment

RESULTS = Path(__file__).parent / "results"


def in_turn(sides: Mapping[str, Callable[[], Any]], rounds: int = 5) -> dict[str, float]:
    """Seconds of each function: the fastest of several rounds, after one to warm up.

    A round runs every side once, so that a machine whose speed drifts is as fast for one as for
    the other. What JAX returns is waited for.
    """
    best = dict.fromkeys(sides, float("inf"))
    for function in sides.values():
        jax.block_until_ready(function())
    for _ in range(rounds):
        for name, function in sides.items():
            began = time.perf_counter()
            jax.block_until_ready(function())
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def product_rates(n: int = 2048) -> dict[str, float]:
    """FLOP/s of products [n, n] x [n, n], the ceiling of everything else."""
    numbers = np.random.default_rng(0).normal(size=(n, n))
    x = jnp.asarray(numbers, jnp.float32)
    low = x.astype(jnp.bfloat16)
    product = jax.jit(lambda a: jax.lax.dot(a, a, preferred_element_type=jnp.float32))
    sides: dict[str, Callable[[], Any]] = {
        "jax float32": lambda: product(x),
        "jax bfloat16 -> float32": lambda: product(low),
    }
    torch = torch_or_none()
    if torch is not None:
        t = torch.tensor(numbers, dtype=torch.float32)
        t_low = t.bfloat16()
        sides["torch float32"] = lambda: t @ t
        sides["torch bfloat16"] = lambda: t_low @ t_low
    return {name: 2 * n**3 / s for name, s in in_turn(sides).items()}


def torch_or_none() -> Any:
    """PyTorch on all cores that this process may use, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch


def facts() -> dict[str, Any]:
    """Hardware, versions and date of a measurement."""
    found = environment()
    torch = torch_or_none()
    if torch is not None:
        found["packages"]["torch"] = torch.__version__
    return found


def write(name: str, **results: Any) -> Path:
    """Leave results in benchmarks/results/NAME.json, with where they come from."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    files.write_json(path, {"benchmark": name, **results, "environment": facts()})
    print(f"written: {path}")
    return path


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; numbers to three figures."""
    cells = [list(head), *([_shown(x) for x in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(x.ljust(w) for x, w in zip(r, widths, strict=True)) + " |"
             for r in cells]  # fmt: skip
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def _shown(x: Any) -> str:
    if not isinstance(x, float):
        return str(x)
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"

"""What this machine can do, how to time on it, and where results go."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.storage import files
from mole_jax.core.storage.provenance import environment

RESULTS = Path(__file__).parent / "results"
Side = TypeVar("Side")  # the type of a side's name


def in_turn(sides: Mapping[Side, Callable[[], Any]], rounds: int = 5) -> dict[Side, float]:
    """Time each function in seconds: the fastest of several rounds, after one to warm up.

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


def product_rates(n: int = 0) -> dict[str, float]:
    """Measure FLOP/s of products [n, n] x [n, n], the ceiling of everything else.

    0: large enough for the device. On GPUs float32 products are as each program has them by
    default: JAX's are in TF32, PyTorch's are not.
    """
    n = n or (2048 if jax.default_backend() == "cpu" else 8192)
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
        t = torch.tensor(numbers, dtype=torch.float32, device=torch_device(torch))
        t_low = t.bfloat16()
        sides["torch float32"] = waited_for(torch, lambda: t @ t)
        sides["torch bfloat16"] = waited_for(torch, lambda: t_low @ t_low)
    return {name: 2 * n**3 / s for name, s in in_turn(sides).items()}


def torch_or_none() -> Any:
    """Import PyTorch for all cores this process may use; None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    return torch


def torch_device(torch: Any) -> str:
    """Return PyTorch's device: the GPU that JAX uses, or else the CPU."""
    return "cuda" if torch.cuda.is_available() and jax.default_backend() == "gpu" else "cpu"


def waited_for(torch: Any, function: Callable[[], Any]) -> Callable[[], None]:
    """Wrap a function of PyTorch's so that it returns when its work is done, on a GPU too."""

    def run() -> None:
        function()
        if torch_device(torch) == "cuda":
            torch.cuda.synchronize()

    return run


def facts() -> dict[str, Any]:
    """Return hardware, versions and date of a measurement."""
    found = environment()
    torch = torch_or_none()
    if torch is not None:
        found["packages"]["torch"] = torch.__version__
    return found


def path_of(name: str) -> Path:
    """Return where results go: NAME.json, or NAME_gpu.json and such on accelerators."""
    backend = jax.default_backend()
    return RESULTS / (f"{name}.json" if backend == "cpu" else f"{name}_{backend}.json")


def known(name: str, part: str) -> dict[str, Any]:
    """Return a part of what an earlier run left, to which this one adds; {} where there is none."""
    path = path_of(name)
    return dict(json.loads(path.read_text()).get(part, {})) if path.exists() else {}


def write(name: str, **results: Any) -> Path:
    """Leave results in benchmarks/results/NAME.json, with where they come from.

    Those of an accelerator are in NAME_gpu.json or NAME_tpu.json, next to those of CPUs.
    """
    RESULTS.mkdir(exist_ok=True)
    path = path_of(name)
    write_rows(path, {"benchmark": name, **results, "environment": facts()})
    print(f"written: {path}")
    return path


def write_rows(path: Path, results: Mapping[str, Any]) -> None:
    """Write JSON in which a list of numbers takes one line, not one for each of them."""
    text = files.to_json(results, indent=2)
    lists = re.sub(
        r"\[\n[^\[\]{}\"]*\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", text
    )
    files.write_bytes(path, lists.encode() + b"\n")


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a Markdown table; numbers to three figures."""
    cells = [list(head), *([shown(x) for x in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(x.ljust(w) for x, w in zip(r, widths, strict=True)) + " |"
             for r in cells]  # fmt: skip
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def shown(x: Any) -> str:
    """Return a number to three figures, anything else as text."""
    if not isinstance(x, float):
        return str(x)
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.3g}"

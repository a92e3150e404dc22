"""Training steps of the meta-model's transformer against PyTorch, at equal architecture.

Blocks with modulation by a condition (adaLN, Peebles & Xie 2023), forward, backward and AdamW, one
step at a time. PyTorch's side is written plainly, with scaled_dot_product_attention, and run as it
is and through torch.compile; both sides in float32 and with bfloat16 products. What is particular
to MOLE - probes, inner steps, the set encoder - is left out: PyTorch has nothing to compare with.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import machine
from mole_jax.core.devices import flops
from mole_jax.core.program.command import explained, leave
from mole_jax.metamodel.networks.block import Block, Carry
from mole_jax.metamodel.networks.shape import Shape

LENGTH = 26


class Stack(nn.Module):
    """The blocks of the meta-model, without probes."""

    shape: Shape

    @nn.compact
    def __call__(self, x: jax.Array, condition: jax.Array) -> jax.Array:
        """Apply to tokens [B, L, W] and conditions [B, W]."""
        batch, length, width = x.shape
        probe_gradient: Any = None
        block = nn.remat(Block, prevent_cse=False) if self.shape.remat else Block
        stack = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True},
            in_axes=(nn.broadcast,) * 3,
            length=self.shape.layers,
            unroll=min(self.shape.unroll, self.shape.layers),
        )(self.shape, length, probe_gradient, name="blocks")
        carry = Carry(x.reshape(-1, width), jnp.zeros((batch, 1, 1)), condition)
        nothing: Any = None
        return stack(carry, nothing, (), None)[0].x.reshape(x.shape)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no_compile", action="store_true", help="leave torch.compile out")
    flags = parser.parse_args()
    peak = machine.product_rates()
    print("products, GFLOP/s: " + ", ".join(f"{k} {v / 1e9:.0f}" for k, v in peak.items()))

    sides: dict[str, Callable[[], Any]] = {}
    operations = 0.0
    for dtype in ("float32", "bfloat16"):
        sides[f"MOLE, {dtype}"], operations = our_side(flags, dtype)
    torch = machine.torch_or_none()
    if torch is None:
        print("PyTorch is not installed: only MOLE is measured (requirements-bench.txt)")
    else:
        from benchmarks import torch_transformer

        for dtype in ("float32", "bfloat16"):
            for compiled in (False,) if flags.no_compile else (False, True):
                name = f"PyTorch {'torch.compile' if compiled else 'eager'}, {dtype}"
                sides[name] = torch_transformer.trainer(
                    flags.width, flags.layers, flags.heads, flags.batch, LENGTH, dtype, compiled
                )
    seconds = machine.in_turn(sides, flags.rounds)
    ours = min(s for name, s in seconds.items() if name.startswith("MOLE"))
    rows = [
        [name, 1e3 * s, operations / s / 1e9, s / ours, operations / s / peak["jax float32"]]
        for name, s in seconds.items()
    ]
    print(
        f"{flags.layers} blocks of width {flags.width}, {flags.heads} heads, {LENGTH} tokens, "
        f"batch {flags.batch}: {operations / 1e9:.0f} GFLOP a step"
    )
    head = ("side", "ms a step", "GFLOP/s", "time / MOLE's best", "of the float32 product rate")
    print(machine.table(head, rows))
    machine.write(
        "meta_training",
        sizes={**vars(flags), "tokens": LENGTH},
        product_flops_per_second=peak,
        flops_per_step=operations,
        seconds_per_step=seconds,
    )


def our_side(flags: Any, dtype: str) -> tuple[Callable[[], Any], float]:
    """Return a function that takes one training step, and the FLOP of its products."""
    shape = Shape(
        width=flags.width,
        layers=flags.layers,
        heads=flags.heads,
        mlp_ratio=4,
        conditioning="adaln",
        features="dense",
        feature_width=1,
        support_queries=0,
        pairwise=False,
        probes=0,
        inner_steps=0,
        dtype=dtype,
        remat=False,
        unroll=flags.layers,
    )
    stack, rng = Stack(shape), np.random.default_rng(0)
    x, y = rng.normal(size=(2, flags.batch, LENGTH, flags.width)).astype(np.float32)
    condition = rng.normal(size=(flags.batch, flags.width)).astype(np.float32)
    batch = jax.tree.map(jnp.asarray, (x, condition, y))
    params = jax.jit(stack.init)(jax.random.key(0), *batch[:2])
    tx = optax.adamw(1e-4)

    def step(params: Any, state: Any, x: jax.Array, c: jax.Array, y: jax.Array) -> tuple[Any, Any]:
        def loss(params: Any) -> jax.Array:
            found: Any = stack.apply(params, x, c)
            return jnp.mean((found.astype(jnp.float32) - y) ** 2)

        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))
    kept = [params, tx.init(params)]
    operations = flops.count(step, *kept, *batch)

    def train() -> Any:
        kept[:] = compiled(*kept, *batch)
        return kept[1]

    return train, operations


if __name__ == "__main__":
    leave(explained(main))

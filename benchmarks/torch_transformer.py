"""The meta-model's blocks in plain PyTorch: the other side of `benchmarks.meta_training`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import machine


class Block(nn.Module):
    """Attention and MLP, each modulated by a condition (adaLN)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(width, 6 * width)
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_in, self.mlp_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        nn.init.zeros_(self.modulation.weight)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        b, n, w = x.shape
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(F.silu(condition))[
            :, None
        ].chunk(6, -1)
        h = self.norm1(x) * (1 + scale1) + shift1
        q, k, v = (
            y.reshape(b, n, self.heads, w // self.heads).transpose(1, 2)
            for y in self.qkv(h).chunk(3, -1)
        )
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, w)
        x = x + (1 + gate1) * self.out(h)
        h = self.norm2(x) * (1 + scale2) + shift2
        h = self.mlp_out(F.gelu(self.mlp_in(h), approximate="tanh"))
        return x + (1 + gate2) * h


class Stack(nn.Module):
    """Blocks, one after the other."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([Block(width, heads) for _ in range(layers)])

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x, condition)
        return x


def trainer(
    width: int, layers: int, heads: int, batch: int, tokens: int, dtype: str, compiled: bool
) -> Callable[[], None]:
    """Return a function that takes one training step; bfloat16 by autocast, as usual in PyTorch."""
    device = machine.torch_device(torch)
    stack = Stack(width, layers, heads).to(device)
    x, y = torch.randn(2, batch, tokens, width, device=device)
    condition = torch.randn(batch, width, device=device)
    optimizer = torch.optim.AdamW(stack.parameters(), lr=1e-4, fused=True)
    run = torch.compile(stack) if compiled else stack

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
            out = run(x, condition)
        ((out.float() - y) ** 2).mean().backward()
        optimizer.step()

    return machine.waited_for(torch, step)

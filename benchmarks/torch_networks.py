"""The target networks in PyTorch, trained one by one and with torch.func: the other side."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn import functional as F

from benchmarks import machine

IMAGES = 200


class ViT(nn.Module):
    """Patches, positions, pre-norm blocks, mean, linear: as in mole_jax/tasks/networks/vit.py."""

    def __init__(self, shape: tuple[int, ...], patch: int, width: int, layers: int, heads: int,
                 mlp: int, classes: int) -> None:  # fmt: skip
        super().__init__()
        self.embed = nn.Conv2d(shape[2], width, patch, patch)
        self.positions = nn.Parameter(
            0.02 * torch.randn((shape[0] // patch) * (shape[1] // patch), width)
        )
        self.blocks = nn.ModuleList([ViTBlock(width, heads, mlp) for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.output(self.norm(x).mean(1))


class ViTBlock(nn.Module):
    """Attention through scaled_dot_product_attention, then an MLP."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_in, self.mlp_out = nn.Linear(width, mlp), nn.Linear(mlp, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, n, w = x.shape
        q, k, v = (
            y.reshape(b, n, self.heads, w // self.heads).transpose(1, 2)
            for y in self.qkv(self.norm_attention(x)).chunk(3, -1)
        )
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, w)
        x = x + self.out(y)
        return x + self.mlp_out(F.gelu(self.mlp_in(self.norm_mlp(x)), approximate="tanh"))


def build(network: dict[str, Any], shape: tuple[int, ...], classes: int) -> nn.Module:
    """Return the module of a network's config."""
    if network["name"] == "mlp":
        sizes = [shape[0] * shape[1] * shape[2], *network["hidden"]]
        layers: list[nn.Module] = [nn.Flatten()]
        for a, b in itertools.pairwise(sizes):
            layers += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], classes))
    if network["name"] == "cnn":
        before, layers = shape[2], []
        for channels, stride in zip(network["channels"], network["strides"], strict=True):
            layers += [nn.Conv2d(before, channels, 3, stride, 1, bias=network["bias"]), nn.ReLU()]
            before = channels
        return nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, classes)
        )
    return ViT(shape, network["patch"], network["width"], network["layers"], network["heads"],
               network["mlp"], classes)  # fmt: skip


def _images(shape: tuple[int, ...], classes: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(IMAGES, shape[2], shape[0], shape[1], device=device)
    return images, torch.arange(IMAGES, device=device) % classes


def one_by_one(
    network: dict[str, Any], shape: tuple[int, ...], classes: int, batch: int, steps: int
) -> Callable[[], None]:
    """Train one network for some steps: a module, autograd, fused Adam."""
    device = machine.torch_device(torch)
    images, labels = _images(shape, classes, device)
    net = build(network, shape, classes).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3, fused=True)

    def train() -> None:
        for _ in range(steps):
            rows = torch.randint(0, IMAGES, (batch,), device=device)
            optimizer.zero_grad()
            F.cross_entropy(net(images[rows]), labels[rows]).backward()
            optimizer.step()

    return machine.waited_for(torch, train)


def vmapped(
    network: dict[str, Any],
    shape: tuple[int, ...],
    classes: int,
    batch: int,
    width: int,
    steps: int,
    shared: bool,
) -> Callable[[], None]:
    """Train `width` networks at once: vmap(grad) of torch.func, fused Adam on stacked weights."""
    device = machine.torch_device(torch)
    images, labels = _images(shape, classes, device)
    nets = [build(network, shape, classes).to(device) for _ in range(width)]
    params, _ = stack_module_state(nets)
    base = nets[0].to("meta")
    optimizer = torch.optim.Adam(params.values(), lr=3e-3, fused=True)

    def loss(p: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(functional_call(base, p, (x,)), y)

    gradient = vmap(grad(loss), in_dims=(0, None, None) if shared else (0, 0, 0))

    def train() -> None:
        for _ in range(steps):
            size = (batch,) if shared else (width, batch)
            rows = torch.randint(0, IMAGES, size, device=device)
            found = gradient({k: p.detach() for k, p in params.items()}, images[rows], labels[rows])
            for name, p in params.items():
                p.grad = found[name]
            optimizer.step()

    return machine.waited_for(torch, train)

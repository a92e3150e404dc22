"""A G.pt model's weights: PyTorch's names and layouts <-> our parameters."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.interop.gpt.gpt_settings import Settings
from mole_jax.metamodel.networks.sharding import STACK
from mole_jax.tasks.networks.state_dict import listed, weights

FREQUENCIES = "scalar_embedder.frequencies"
_LINEAR = {
    "query": "attn.query",
    "key": "attn.key",
    "value": "attn.value",
    "attention_out": "attn.proj",
    "mlp_in": "mlp.0",
    "mlp_out": "mlp.2",
}
_NORMS = {"norm_attention": "ln1", "norm_mlp": "ln2"}


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a tensor is in PyTorch's model and in ours."""

    name: str  # PyTorch's
    shape: tuple[int, ...]  # PyTorch's: linear weights are [out, in]
    path: tuple[str, ...]  # ours
    ours: tuple[int, ...]  # our shape, without the axis of layers
    layer: int | None = None  # of the stack


def places(settings: Settings) -> Iterator[Place]:
    """Return every trained tensor of a model, in PyTorch's order except within blocks."""
    s, w = settings, settings.n_embd
    sizes = s.tokens().sizes(s.parameter_sizes)
    yield Place("decoder.pos_emb", (1, len(sizes.inputs), w), ("position",), (len(sizes.inputs), w))
    for layer in range(s.n_layer):
        at = f"decoder.blocks.{layer}"
        for ours, theirs in _NORMS.items():
            yield from _norm(f"{at}.{theirs}", (STACK, ours), w, layer)
        for ours, theirs in _LINEAR.items():
            n_in, n_out = w * (4 if ours == "mlp_out" else 1), w * (4 if ours == "mlp_in" else 1)
            heads = (s.n_head, w // s.n_head) if ours in ("query", "key", "value") else (n_out,)
            path = (STACK, ours)
            kernel = (*path, "kernel")
            yield Place(f"{at}.{theirs}.weight", (n_out, n_in), kernel, (n_in, *heads), layer)
            yield Place(f"{at}.{theirs}.bias", (n_out,), (*path, "bias"), heads, layer)
    for i, size in enumerate(sizes.inputs):
        for depth in range(s.encoder_depth):
            n_in, name = w if depth else size, f"token_in_{i}_{depth}"
            theirs = f"decoder.input_parameter_projections.{i}.{2 * depth}.weight"
            yield Place(theirs, (w, n_in), (name, "kernel"), (n_in, w))
    yield from _norm("decoder.ln_in", ("norm_in",), w)
    yield from _norm("decoder.ln_f", ("norm_out",), w)
    for i, size in enumerate(sizes.outputs):
        for depth in range(s.decoder_depth):
            n_out = size if depth == s.decoder_depth - 1 else w
            theirs = f"decoder.output_parameter_projections.{i}.{2 * depth}.weight"
            yield Place(theirs, (n_out, w), (f"token_out_{i}_{depth}", "kernel"), (w, n_out))


def _norm(
    name: str, path: tuple[str, ...], width: int, layer: int | None = None
) -> Iterator[Place]:
    yield Place(f"{name}.weight", (width,), (*path, "scale"), (width,), layer)
    yield Place(f"{name}.bias", (width,), (*path, "bias"), (width,), layer)


def check(settings: Settings, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise UserError unless names and shapes are exactly those that the settings imply."""
    wanted = {place.name: place.shape for place in places(settings)}
    wanted[FREQUENCIES] = (settings.num_frequencies,)
    for what, names in (
        ("has no", [n for n in wanted if n not in shapes]),
        ("has, and its settings do not imply,", [n for n in shapes if n not in wanted]),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(
                f"the model {what} {names[0]}{more}: are these its settings? It has "
                f"{listed(shapes)}"
            )
    for name, shape in wanted.items():
        if tuple(shapes[name]) != shape:
            raise UserError(
                f"{name} has shape {list(shapes[name])}, but its settings imply {list(shape)}"
            )


def load(settings: Settings, state: Mapping[str, Any]) -> dict[str, Any]:
    """Convert PyTorch's tensors by name to our parameters, float32.

    Raises:
        UserError: for tensors that are missing, unexpected, of another shape, not weights or not
            finite.
    """
    check(settings, {name: np.shape(x) for name, x in state.items()})
    weights(FREQUENCIES, state[FREQUENCIES])
    found: dict[str, Any] = {}
    for place in places(settings):
        value = weights(place.name, state[place.name])
        value = (value.T if place.path[-1] == "kernel" else value).reshape(place.ours)
        node = found
        for part in place.path[:-1]:
            node = node.setdefault(part, {})
        if place.layer is None:
            node[place.path[-1]] = np.ascontiguousarray(value)
        else:
            node.setdefault(place.path[-1], []).append(value)
    stack = found[STACK]
    for part in stack.values():
        for kind in part:
            part[kind] = np.stack(part[kind])
    return found


def save(settings: Settings, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Convert our parameters to PyTorch's tensors by name, without the frequencies."""
    found = {}
    for place in places(settings):
        value: Any = params
        for part in place.path:
            value = value[part]
        value = np.asarray(value if place.layer is None else value[place.layer], np.float32)
        if place.path[-1] == "kernel":
            value = value.reshape(place.ours[0], -1).T
        found[place.name] = np.ascontiguousarray(value).reshape(place.shape)
    return found


def frequencies(state: Mapping[str, Any]) -> tuple[float, ...]:
    """Return the frequencies of scalars as a model's file has them."""
    return tuple(float(x) for x in np.asarray(state[FREQUENCIES], np.float32))

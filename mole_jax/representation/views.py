"""Tensors of a network as rectangles of its tokens: slices, where a table would have to gather.

Every codec here lays tensors out in order. So each copy of a tensor is a rectangle of rows and
columns of the tokens [L, C], or fills consecutive rows. Such pieces of tokens are tensors up to
transposes, which matrix products absorb.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.parameters import ParameterField, ParameterSpec


class View(NamedTuple):
    """Where a copy of a tensor stands."""

    rows: tuple[int, int]  # the first one, and the one after the last
    columns: tuple[int, int]  # the same; for a run, as if its rows were one long row
    run: bool  # it fills whole rows, except perhaps the end of the last one
    grid: tuple[int, ...]  # sizes of the tensor's axes, in their order in the tokens
    axes: tuple[int, ...]  # the grid's axes, in the tensor's order


class TensorViews(NamedTuple):
    """Where the tensors of a network stand."""

    shape: tuple[int, int]  # L, C
    n_tensors: int
    pieces: tuple[tuple[int, View], ...]  # all copies, row by row: a tensor's number and its view


Pieces = tuple[jax.Array, ...]  # tokens, taken apart


def find(table: np.ndarray, spec: ParameterSpec) -> TensorViews:
    """Find the views of a table [L, C] of flat indices, -1 for padding.

    Raises:
        ValueError: for a table that leaves out a parameter, or is not made of such rectangles.
    """
    places = np.argsort(table.reshape(-1), kind="stable")
    places = places[np.count_nonzero(table < 0) :]  # of parameters, in their order
    counts = np.bincount(table[table >= 0], minlength=spec.size)
    if not counts.all():
        raise ValueError("the codec's table leaves out a parameter")
    begins, found = np.cumsum(counts) - counts, []
    for number, field in enumerate(spec.fields):
        if np.ptp(counts[field.slice]):
            raise ValueError(f"the codec's table has parts of {field.path} more often than others")
        begin, n = begins[field.offset], counts[field.offset]
        each = places[begin : begin + n * field.size].reshape(*field.shape, n)
        found += [(number, _view(each[..., i], table.shape[1], field)) for i in range(n)]
    pieces = tuple(sorted(found, key=lambda piece: (piece[1].rows, piece[1].columns)))
    rows = list(_by_rows(pieces))
    if [begin for begin, _ in rows] != [0, *(end for _, end in rows[:-1])]:
        raise ValueError("the codec's table has tensors that share only some of their rows")
    return TensorViews((table.shape[0], table.shape[1]), len(spec.fields), pieces)


def _view(places: np.ndarray, width: int, field: ParameterField) -> View:
    """Return the view of a tensor whose entries have these places (row * width + column)."""
    first = int(places.reshape(-1)[0])
    long = [axis for axis, size in enumerate(places.shape) if size > 1]
    strides = {axis: int(np.take(places, 1, axis).reshape(-1)[0]) - first for axis in long}
    order = [
        *(a for a in range(places.ndim) if a not in long),
        *sorted(long, key=lambda axis: -strides[axis]),
    ]
    expected = sum((s * np.indices(places.shape)[a] for a, s in strides.items()), np.array(first))
    grid = tuple(places.shape[axis] for axis in order)
    axes = tuple(order.index(axis) for axis in range(places.ndim))
    row, column = divmod(first, width)
    down = [axis for axis in order if axis in long and strides[axis] % width == 0]
    along = [axis for axis in order if axis in long and axis not in down]

    def dense(of: Sequence[int], unit: int) -> bool:
        for axis in reversed(of):
            if strides[axis] != unit:
                return False
            unit *= places.shape[axis]
        return True

    if (expected == places).all():
        n_down, n_along = (math.prod(places.shape[a] for a in part) for part in (down, along))
        if dense(down, width) and dense(along, 1) and column + n_along <= width:
            columns = (column, column + n_along)
            return View((row, row + n_down), columns, False, grid, axes)
        if dense([*down, *along], 1) and column == 0:
            rows = (row, row + math.ceil(places.size / width))
            return View(rows, (0, places.size), True, grid, axes)
    raise ValueError(f"the codec's table has no rectangle of {field.path} {field.shape}")


def _by_rows(pieces: Sequence[tuple[int, View]]) -> dict[tuple[int, int], list[View]]:
    """Group views by the rows that they stand in, from the first column on."""
    found: dict[tuple[int, int], list[View]] = {}
    for _, view in pieces:
        found.setdefault(view.rows, []).append(view)
    return found


# Splitting and joining are each other's transpose. Left to itself, JAX would add up padded slices.
@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def split(views: TensorViews, tokens: jax.Array) -> Pieces:
    """Tokens [..., L, C] -> the rectangles of all copies, each [..., rows, columns]."""
    cut = (slice(*view.rows) for _, view in views.pieces)
    rows = [tokens[..., of, :] for of in cut]
    each = zip(rows, views.pieces, strict=True)
    return tuple(x if v.run else x[..., slice(*v.columns)] for x, (_, v) in each)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def join(views: TensorViews, pieces: Pieces) -> jax.Array:
    """Invert `split`: rectangles -> tokens [..., L, C], zero in the padding."""
    width, blocks, left = views.shape[1], [], list(pieces)
    for group in _by_rows(views.pieces).values():
        parts, at = [], 0
        for view in group:
            part = left.pop(0)
            gap = (*part.shape[:-1], 0 if view.run else view.columns[0] - at)
            parts += [jnp.zeros(gap, part.dtype), part] if gap[-1] else [part]
            at += gap[-1] + part.shape[-1]
        block = jnp.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]
        blocks.append(_padded(block, width))
    return jnp.concatenate(blocks, axis=-2) if len(blocks) > 1 else blocks[0]


split.defvjp(
    lambda views, tokens: (split(views, tokens), None),
    lambda views, _, pieces: (join(views, pieces),),
)
join.defvjp(
    lambda views, pieces: (join(views, pieces), None),
    lambda views, _, tokens: (split(views, tokens),),
)


def tensors(views: TensorViews, pieces: Pieces) -> list[jax.Array]:
    """Return the tensors [..., *shape] that rectangles hold; copies of a tensor are averaged."""
    found: list[list[jax.Array]] = [[] for _ in range(views.n_tensors)]
    for (number, view), piece in zip(views.pieces, pieces, strict=True):
        batch = piece.shape[:-2]
        x = piece.reshape(*batch, -1)[..., : view.columns[1]] if view.run else piece
        axes = (*range(len(batch)), *(len(batch) + axis for axis in view.axes))
        found[number].append(x.reshape(*batch, *view.grid).transpose(axes))
    return [functools.reduce(jnp.add, each) / len(each) for each in found]


def pieces(views: TensorViews, tensors: Sequence[jax.Array]) -> Pieces:
    """Return the rectangles of tensors [..., *shape], all copies alike."""
    found = []
    for number, view in views.pieces:
        x, n = tensors[number], tensors[number].ndim - len(view.axes)
        x = x.transpose(*range(n), *(n + axis for axis in np.argsort(view.axes)))
        n_rows = view.rows[1] - view.rows[0]
        if view.run:
            x = _padded(x.reshape(*x.shape[:n], -1), n_rows * views.shape[1])
        found.append(x.reshape(*x.shape[:n], n_rows, -1))
    return tuple(found)


def _padded(x: jax.Array, width: int) -> jax.Array:
    missing = width - x.shape[-1]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)]) if missing else x

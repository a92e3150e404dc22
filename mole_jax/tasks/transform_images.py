"""The transformations of a family's tasks as tables on device, and their application to images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.tasks.transformation import BANK, IDENTITY, Transformation, n_symmetries

_RADIUS = 14  # strokes and blur reach one pixel for this many pixels of an image's side
_ORDER, _MATRIX = 0x0DE2, 0x3A72  # streams of random numbers


class Tone(NamedTuple):
    """How the brightness of pixels changes, [T] each; see `Transformation`."""

    changed: jax.Array  # bool
    stroke: jax.Array
    blur: jax.Array
    middle: jax.Array
    contrast: jax.Array
    level: jax.Array
    inverted: jax.Array  # bool


class Order(NamedTuple):
    """Places that pixels change to: symmetries and permutations."""

    of: jax.Array  # [T] row of `places`
    places: jax.Array  # [R, F] int: output i is input places[i]; row 0 is the identity


class Linear(NamedTuple):
    """Products with matrices."""

    of: jax.Array  # [T] matrix; 0: none
    matrices: jax.Array  # [B, F, F]


class Transformations(NamedTuple):
    """The transformations of T tasks; a kind that no task has is None and costs nothing."""

    low: jax.Array  # [] range of the training images' pixels
    high: jax.Array  # []
    tone: Tone | None
    order: Order | None
    linear: Linear | None


def tables(
    each: Sequence[Transformation | None],
    image_shape: tuple[int, int, int],
    pixel_range: tuple[float, float],
) -> Transformations | None:
    """Return the tables of every task's transformation; None where no task has any.

    Args:
        each: of every task; None changes nothing.
        image_shape: height, width, channels.
        pixel_range: the smallest and the largest pixel of the training images.
    """
    chosen = [x or IDENTITY for x in each]
    if all(x == IDENTITY for x in chosen):
        return None
    low, high = (jnp.float32(x) for x in pixel_range)
    return Transformations(
        low, high, _tone(chosen), _order(chosen, image_shape), _linear(chosen, image_shape)
    )


def rows(transformations: Transformations, task: jax.Array) -> Transformations:
    """Return the tables of tasks [B] in this order."""
    low, high, tone, order, linear = transformations
    return Transformations(
        low,
        high,
        None if tone is None else Tone(*(x[task] for x in tone)),
        None if order is None else order._replace(of=order.of[task]),
        None if linear is None else linear._replace(of=linear.of[task]),
    )


def change_brightness(
    transformations: Transformations,
    task: jax.Array,
    images: jax.Array,
    image_shape: tuple[int, int, int],
) -> jax.Array:
    """Change the brightness of a task's images, before they are standardised.

    The curve through 0, `middle` and 1 is a quotient of lines (Schlick 1994), which is cheaper than
    a power.

    Args:
        transformations: of all tasks.
        task: [] position in the task table.
        images: [n, F] float32 pixels as the source has them, clipped to the range of the training
            images.
        image_shape: height, width, channels.

    Returns:
        [n, F] on the same scale.
    """
    if transformations.tone is None:
        return images
    tone = Tone(*(x[task] for x in transformations.tone))
    low, high = transformations.low, transformations.high
    x = jnp.clip((images - low) / (high - low), 0.0, 1.0)  # [n, F]
    x = x.reshape(-1, *image_shape)
    radius = max(1, round(min(image_shape[:2]) / _RADIUS))
    for _ in range(radius):
        x = jnp.maximum(x + tone.stroke * (_brightest(x) - x), 0.0)
    x = _blurred(x, tone.blur, radius)
    x = x / ((1 / tone.middle - 2) * (1 - x) + 1)
    x = tone.level + (x - tone.level) * tone.contrast
    x = jnp.where(tone.inverted, 1 - x, x)
    changed = low + (high - low) * x.reshape(images.shape)
    return jnp.where(tone.changed, changed, images)


def move_and_mix(transformations: Transformations, task: jax.Array, inputs: jax.Array) -> jax.Array:
    """Put the pixels of a task's standardised images in their order and mix them: [n, F]."""
    if transformations.order is not None:
        order = transformations.order
        inputs = inputs[:, order.places[order.of[task]]]
    if transformations.linear is not None:
        linear = transformations.linear
        row = linear.of[task]
        matrix = linear.matrices[jnp.maximum(row - 1, 0)]
        mixed = jnp.matmul(inputs, matrix, precision=jax.lax.Precision.HIGHEST)
        inputs = jnp.where(row > 0, mixed, inputs)
    return inputs


def symmetries(image_shape: tuple[int, int, int]) -> np.ndarray:
    """Return the symmetries of a square as orders of pixels, or the four of a rectangle: [8, F].

    The bits of a symmetry's number say what happens, one after another: 1 top and bottom change
    places, 2 left and right, 4 rows and columns.
    """
    places = np.arange(np.prod(image_shape)).reshape(image_shape)
    found = []
    for number in range(n_symmetries(image_shape)):
        x = places[::-1] if number & 1 else places
        x = x[:, ::-1] if number & 2 else x
        x = x.swapaxes(0, 1) if number & 4 else x
        found.append(x.reshape(-1))
    return np.array(found, np.int32)


def permutation(seed: int, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Return a random order of pixels [F], whose channels stay together; 0 changes nothing."""
    n = image_shape[0] * image_shape[1]
    pixels = np.random.default_rng([_ORDER, seed]).permutation(n) if seed else np.arange(n)
    places = np.arange(np.prod(image_shape)).reshape(n, -1)
    return places[pixels].reshape(-1).astype(np.int32)


def matrices(size: int) -> np.ndarray:
    """Return the random orthogonal matrices of linear maps: [B, F, F] float32.

    Uniform among all orthogonal ones (Mezzadri 2007). They keep the length of an input.
    """
    found = np.empty((BANK, size, size), np.float32)
    for number in range(BANK):
        rng = np.random.default_rng([_MATRIX, number])
        q, r = np.linalg.qr(rng.normal(size=(size, size)))
        found[number] = q * np.sign(np.diag(r))
    return found


def _tone(chosen: Sequence[Transformation]) -> Tone | None:
    fields = [name for name in Tone._fields if name != "changed"]
    rows = [tuple(getattr(x, name) for name in fields) for x in chosen]
    nothing = tuple(getattr(IDENTITY, name) for name in fields)
    if all(row == nothing for row in rows):
        return None
    changed = jnp.array([row != nothing for row in rows])
    columns = dict(zip(fields, zip(*rows, strict=True), strict=True))
    numbers = {n: jnp.asarray(np.array(x, np.float32)) for n, x in columns.items()}
    return Tone(changed, **(numbers | {"inverted": jnp.array(columns["inverted"])}))


def _order(chosen: Sequence[Transformation], image_shape: tuple[int, int, int]) -> Order | None:
    numbers = {(0, 0): 0}  # (symmetry, permutation) -> row
    of = [numbers.setdefault((x.symmetry, x.permutation), len(numbers)) for x in chosen]
    if len(numbers) == 1:
        return None
    turned = symmetries(image_shape)
    places = [turned[s][permutation(p, image_shape)] for s, p in numbers]
    return Order(jnp.asarray(of, jnp.int32), jnp.asarray(np.array(places, np.int32)))


def _linear(chosen: Sequence[Transformation], image_shape: tuple[int, int, int]) -> Linear | None:
    of = [x.linear for x in chosen]
    if not any(of):
        return None
    size = int(np.prod(image_shape))
    return Linear(jnp.asarray(of, jnp.int32), jnp.asarray(matrices(size)))


def _brightest(x: jax.Array) -> jax.Array:
    """Return the brightest of each pixel and the four next to it, in [n, H, W, channels]."""
    padded = jnp.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])  # with the darkest there is
    rows = jnp.maximum(padded[:, :-2, 1:-1], padded[:, 2:, 1:-1])
    columns = jnp.maximum(padded[:, 1:-1, :-2], padded[:, 1:-1, 2:])
    return jnp.maximum(jnp.maximum(rows, columns), x)


def _blurred(x: jax.Array, share: jax.Array, times: int) -> jax.Array:
    """Mix each pixel of [n, H, W, channels] with the binomial mean around it, along both axes.

    Products with small matrices, which on a CPU are far faster than sums of shifted images.
    """
    for axis in (1, 2):
        n = x.shape[axis]
        once = (1 - share) * jnp.eye(n) + share * _binomial(n)
        matrix = once
        for _ in range(times - 1):
            matrix = jnp.matmul(matrix, once, precision=jax.lax.Precision.HIGHEST)
        mixed = jnp.tensordot(x, matrix, (axis, 1), precision=jax.lax.Precision.HIGHEST)
        x = jnp.moveaxis(mixed, -1, axis)
    return x


def _binomial(n: int) -> np.ndarray:
    """Return the matrix [n, n] of the mean of a row's neighbours; its border repeats itself."""
    padded = np.pad(np.eye(n, dtype=np.float32), [(1, 1), (0, 0)], mode="edge")
    return 0.25 * padded[:-2] + 0.5 * padded[1:-1] + 0.25 * padded[2:]

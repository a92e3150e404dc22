"""How pixels become inputs of networks: inputs = pixels * scale + shift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.sources import ImageData


def scale_and_shift(
    config: Mapping[str, Any], data: ImageData, train: np.ndarray
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Return scale and shift of a data set's images: numbers, or [F] where channels differ.

    Args:
        config: the section `data`, whose `pixel_mean` and `pixel_std` are used where there are any.
        data: all images.
        train: training images, whose statistics are used otherwise: [n, H, W, channels].

    Raises:
        UserError: for an invalid mean or deviation, and where pixels would be infinite.
    """
    mean, std = tuple(config.get("pixel_mean", ())), tuple(config.get("pixel_std", ()))
    given = bool(mean or std)
    scale, shift = _given(mean, std, data.images.shape[1:]) if given else _measured(train)
    _check_finite(data, scale, shift)
    return scale, shift


def _measured(train: np.ndarray) -> tuple[float, float]:
    """Return scale and shift of training images: one for all pixels, as G.pt has it for MNIST."""
    train = train.astype(np.float32)
    with np.errstate(over="ignore"):  # of the smallest floats; see _check_finite
        one = np.float32(1 / train.std(dtype=np.float64))
        return float(one), float(np.float32(-train.mean(dtype=np.float64) * one))


def _check_finite(data: ImageData, scale: float | np.ndarray, shift: float | np.ndarray) -> None:
    """Raise UserError where finite pixels are not finite once standardised."""
    low, high = float(data.images.min()), float(data.images.max())
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.array([[low], [high]], np.float32) * np.float32(scale)
        finite = np.isfinite(scaled).all() and np.isfinite(scaled + np.float32(shift)).all()
    if not finite:
        raise UserError(
            f"{data.name}: its pixels, {low:g} to {high:g}, are infinite in float32 once they are "
            "standardised: bring the images to another scale, or set data.pixel_mean and "
            "data.pixel_std to theirs"
        )


def _given(
    mean: tuple[float, ...], std: tuple[float, ...], shape: tuple[int, int, int]
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """Return scale and shift of a mean and a standard deviation: numbers, or [F] for channels.

    Raises:
        UserError: for wrong numbers of them, or a deviation that is not above 0.
    """
    channels = shape[-1]
    if len(mean) not in (1, channels) or len(std) != len(mean) or min(std, default=0.0) <= 0:
        raise UserError(
            f"data.pixel_mean={mean} and data.pixel_std={std} must have one number each, or one "
            f"for each of {channels} channel(s), and deviations above 0"
        )
    with np.errstate(over="ignore"):  # see _check_finite
        scales = (1 / np.array(std, np.float64)).astype(np.float32)
        shifts = (-np.array(mean) / np.array(std)).astype(np.float32)
    if len(mean) == 1:
        return float(scales[0]), float(shifts[0])
    pixels = shape[0] * shape[1]  # channels come last in an image
    return np.tile(scales, pixels), np.tile(shifts, pixels)

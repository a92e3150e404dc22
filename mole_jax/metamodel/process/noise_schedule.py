"""Noise schedules: the share of data and of noise at each time of a grid.

Ho et al. 2020 (linear), Nichol & Dhariwal 2021 (cosine); Lipman et al. 2023 and Liu et al. 2023
(flow). To add one: a function and a line in SCHEDULES.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# The flow's smallest alpha and sigma. At 0 some read-outs would divide by zero.
_EDGE = 1e-3


class Grid(NamedTuple):
    """Noisy data are alpha * data + sigma * noise, at T times from least to most noise."""

    alpha: np.ndarray  # [T] float64, falling, in (0, 1)
    sigma: np.ndarray  # [T] float64, rising, in (0, 1)


def linear(n_steps: int) -> Grid:
    """Return the schedule of Ho et al. 2020, rescaled if there are not 1,000 steps."""
    return _variance_preserving(np.linspace(1e-4, 0.02, n_steps) * (1000 / n_steps))


def cosine(n_steps: int) -> Grid:
    """Return the schedule of Nichol & Dhariwal 2021."""
    s = 0.008
    f = np.cos((np.arange(n_steps + 1) / n_steps + s) / (1 + s) * np.pi / 2) ** 2
    return _variance_preserving(1 - f[1:] / f[:-1])


def flow(n_steps: int) -> Grid:
    """Return straight lines from data to noise (Liu et al. 2023): alpha = 1 - sigma."""
    sigma = np.linspace(_EDGE, 1 - _EDGE, n_steps)
    return Grid(1 - sigma, sigma)


def _variance_preserving(beta: np.ndarray) -> Grid:
    """Return the grid whose steps add noise of variance beta [T]."""
    alpha_bar = np.cumprod(1 - np.clip(beta, 0, 0.999))
    return Grid(np.sqrt(alpha_bar), np.sqrt(1 - alpha_bar))


SCHEDULES = {"cosine": cosine, "linear": linear, "flow": flow}

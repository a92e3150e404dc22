"""The sections `diffusion` and `sampling` of a config: the process, and how it is run backwards."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class DiffusionConfig:
    """The section `diffusion`."""

    schedule: str = "linear"  # or cosine, or flow
    steps: int = 1000
    prediction: str = "edm"  # or x0, eps, v, flow; flow matching: both are flow


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """The section `sampling`."""

    # ddim, heun (second order: two evaluations of the model a step, but one for the last),
    # ancestral, or ancestral_large (with the forward process's variance, as in G.pt)
    name: str = "ddim"
    steps: int = 1
    guidance: float = 1.0  # 1: none; above, away from the estimate without support and target
    # The same of one condition alone: away from the estimate that lacks it and has the others.
    guidance_support: float = 1.0
    guidance_target: float = 1.0  # of prompts with a number
    guidance_best: float = 1.0  # of those that ask for the best
    guidance_start: float = 1.0
    eta: float = 0.0  # ddim's share of fresh noise

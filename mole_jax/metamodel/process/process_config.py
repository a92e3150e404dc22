"""The sections `diffusion` and `sampling` of a config: the process, and how it is run backwards."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class DiffusionConfig:
    """The process by which noise is added to weights: the section `diffusion`."""

    schedule: str = "linear"  # of noise: linear, cosine or flow
    steps: int = 1000  # levels of noise
    # What the model's output means: edm, x0, eps, v or flow. Flow matching has flow here and as its
    # schedule.
    prediction: str = "edm"


@dataclasses.dataclass(frozen=True)
class SamplingConfig:
    """How networks are sampled from a trained model: the section `sampling`."""

    # The sampler: ddim, heun (second order: two evaluations of the model per step, one for the
    # last), ancestral, or ancestral_large (with the forward process's variance, as in G.pt).
    name: str = "ddim"
    steps: int = 1  # steps from noise to data
    guidance: float = 1.0  # 1: none; above: away from the estimate without support and target
    # Guidance by a single condition: away from the estimate that lacks only that one.
    guidance_support: float = 1.0  # by the support set
    guidance_target: float = 1.0  # by the number that a prompt asks for
    guidance_best: float = 1.0  # by asking for the best
    guidance_start: float = 1.0  # by the start
    eta: float = 0.0  # share of fresh noise in ddim

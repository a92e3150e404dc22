"""The regression ablation: the same network without noise, which answers in one step.

It tells whether diffusion pays. Of several answers that are equally good it gives the mean.
"""

from __future__ import annotations

import dataclasses

from mole_jax.learners.diffusion import Diffusion


def of(learner: Diffusion) -> Diffusion:
    """Return the ablation of a diffusion learner."""
    return dataclasses.replace(
        learner,
        name="regression",
        model=dataclasses.replace(learner.model, objective="regression"),
        uses=learner.uses._replace(samples=False),
    )

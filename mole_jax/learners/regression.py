"""The regression ablation: the same network without noise, which answers in one step.

It shows whether diffusion pays off. Where several answers are equally good, it gives their mean.
"""

from __future__ import annotations

import dataclasses

from mole_jax.learners.diffusion import Diffusion
from mole_jax.training.learner import Label

LABEL = Label(
    "Regression",
    "The same transformer trained to predict the weights directly, without diffusion.",
)


def of(learner: Diffusion) -> Diffusion:
    """Return the ablation of a diffusion learner."""
    return dataclasses.replace(
        learner,
        name="regression",
        label=LABEL,
        model=dataclasses.replace(learner.model, noiseless=True),
        uses=learner.uses._replace(samples=False),
    )

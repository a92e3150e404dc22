"""The learner of Peebles et al. 2022, Learning to Learn with Generative Models of Neural Networks.

Its transformer cuts networks into tokens by itself and does not look at the support set.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mole_jax.learners import diffusion
from mole_jax.learners.diffusion import Diffusion
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Label, Uses

LABEL = Label(
    "G.pt",
    "The diffusion transformer of Peebles et al. 2022, which does not look at the support set.",
)


def build(
    config: Mapping[str, Any], network: Network, normaliser: Normaliser, plan: Plan
) -> Diffusion:
    """Build the learner of a config; raises UserError as `diffusion.build` does."""
    found = diffusion.build(config, network, normaliser, plan)
    return dataclasses.replace(found, label=LABEL, uses=Uses(support=False))

"""The learner of Peebles et al. 2022, Learning to Learn with Generative Models of Neural Networks.

Its transformer tokenises networks itself and ignores the support set.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.learners import diffusion
from mole_jax.learners.diffusion import Diffusion
from mole_jax.metamodel import metamodel_config
from mole_jax.metamodel.networks.gpt_transformer import GPT, Tokens
from mole_jax.metamodel.process.noising import Process
from mole_jax.metamodel.process.sampler import Plan
from mole_jax.representation import flat
from mole_jax.representation.fitted import Fitted
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Label, Uses

LABEL = Label(
    "G.pt",
    "The diffusion transformer of Peebles et al. 2022, which does not look at the support set.",
)


def build(config: Mapping[str, Any], network: Network, fitted: Fitted, plan: Plan) -> Diffusion:
    """Build the learner of a config; raises UserError as `diffusion.build` does."""
    if share := compat.get(config, "training.best_prompts"):
        raise UserError(
            f"training.best_prompts={share}: metamodel.name='gpt' only learns prompts with a "
            "number; set it to 0"
        )
    if network.frame is not None:
        raise UserError(
            f"metamodel.name='gpt' is for networks of one size, but network.name={network.name!r} "
            "has several: set it to 'dit'"
        )
    make = functools.partial(_module, config, network)
    found = diffusion.build(config, network, fitted, plan, make)
    return dataclasses.replace(found, label=LABEL, uses=Uses(support=False))


def _module(config: Mapping[str, Any], network: Network, process: Process) -> GPT:
    shape = metamodel_config.shape_of(config)
    shape.check()
    name = config["representation"]["name"]
    if name != "flat":
        raise UserError(
            f"metamodel.name='gpt' tokenises networks itself, as metamodel.gpt.split says: set "
            f"representation.name={name!r} to 'flat'"
        )
    tokens = Tokens.of(compat.get(config, "metamodel.gpt"))
    module = GPT(shape, tokens, process, flat.sizes(network))
    _ = module.token_sizes  # raises UserError if they are invalid
    return module

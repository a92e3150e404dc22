"""The section `population` of a config: how the networks are trained that histories are of."""

from __future__ import annotations

import dataclasses

from mole_jax.core.program.sections import Tagged
from mole_jax.tasks.networks import KINDS
from mole_jax.tasks.task_config import DATA, NETWORK


@dataclasses.dataclass(frozen=True)
class PopulationConfig:
    """The section `population` of a config whose networks are classifiers."""

    members: int = 8  # runs of each data subset
    held_out_members: int = 1  # of them kept from training: split S0
    steps: int = 400  # of training; of PPO, iterations
    snapshots: int = 24
    snapshot_power: float = 2.0  # above 1: more snapshots early, where the loss falls fast
    snapshot_spacing: str = "power"  # or random: any steps, the same for all members
    max_weight: float = 0.0  # runs with a weight beyond it are not used; 0: no limit
    batch_size: int = 64
    # Members of a data subset may share minibatches, which is faster on wide inputs. Where each has
    # its own, the meta-model cannot learn a subset's minibatch noise by heart.
    share_minibatches: bool = False
    optimizers: tuple[str, ...] = ("adam",)  # or sgd, with Nesterov's momentum of 0.9
    schedule: str = "constant"  # or cosine
    epoch_steps: int = 0  # above 0: a schedule changes the rate only after this many steps
    coupled_decay: bool = False  # weight decay in the gradient, as in PyTorch's SGD
    # Ranges (low, high) from which each member draws; equal ends fix the value.
    learning_rate: tuple[float, float] = (3e-3, 3e-3)
    weight_decay: tuple[float, float] = (0.0, 0.0)
    init_scale: tuple[float, float] = (1.0, 1.0)
    # Begin all training runs from one network, so that units mean the same in all of them. Runs
    # that are held out begin from networks of their own, and so does training the meta-model.
    shared_start: bool = False
    # How many train side by side in each thread (a core of a CPU, or else a device), the others
    # after them; 0: what a measurement of a few seconds finds fastest here. No result depends on it
    # beyond rounding.
    at_once: int = 0


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """How policies are trained (`population/ppo.py`); the defaults are those of G.pt."""

    environments: int = 512  # side by side
    rollout: int = 16  # steps of each environment in an iteration
    epochs: int = 8
    minibatches: int = 2
    clip: float = 0.2
    discount: float = 0.99
    gae_lambda: float = 0.95
    value_coefficient: float = 2.0
    entropy_coefficient: float = 0.0
    gradient_norm: float = 2.0  # larger gradients are clipped to it
    evaluation_episodes: int = 8  # of validation, and of test


@dataclasses.dataclass(frozen=True)
class PolicyPopulationConfig(PopulationConfig):
    """The section `population` of a config whose networks are policies."""

    ppo: PPOConfig = PPOConfig()


def _kind(network: str) -> str:
    if network not in KINDS:
        return ""
    return "classifiers" if KINDS[network].classifies else "policies"


POPULATION = Tagged(
    "network.name", {"classifiers": PopulationConfig, "policies": PolicyPopulationConfig}, _kind
)
# Those that a zoo keeps.
SECTIONS = {"data": DATA, "network": NETWORK, "population": POPULATION}

"""The section `population` of a config: how the networks of a zoo are trained."""

from __future__ import annotations

import dataclasses

from mole_jax.core.program.sections import Tagged
from mole_jax.tasks.networks import KINDS
from mole_jax.tasks.task_config import DATA, NETWORK


@dataclasses.dataclass(frozen=True)
class PopulationConfig:
    """How the classifiers of a zoo are trained: the section `population`."""

    members: int = 8  # runs of each data subset
    held_out_members: int = 1  # those of them kept from meta-training: split S0
    steps: int = 400  # steps of a run; of PPO, iterations
    snapshots: int = 24  # snapshots of a run, its start among them
    snapshot_power: float = 2.0  # above 1: more snapshots early, where the loss falls fast
    snapshot_spacing: str = "power"  # power, or random: any steps, the same for all members
    max_weight: float = 0.0  # runs with a weight beyond it are not used; 0: no limit
    batch_size: int = 64  # examples of a minibatch; PPO has keys of its own
    # Members of a data subset may share minibatches, which is faster on wide inputs. If each has
    # its own, the meta-model cannot memorise a subset's minibatch noise.
    share_minibatches: bool = False
    # Each member draws one of these: adam, or sgd with Nesterov's momentum of 0.9.
    optimizers: tuple[str, ...] = ("adam",)
    schedule: str = "constant"  # of the learning rate: constant, or cosine, to 0
    epoch_steps: int = 0  # above 0: a schedule changes the rate only after this many steps
    coupled_decay: bool = False  # weight decay in the gradient, as in PyTorch's SGD
    # Ranges (low, high) from which each member draws; equal ends fix the value.
    learning_rate: tuple[float, float] = (3e-3, 3e-3)  # of the optimizer, drawn log-uniformly
    weight_decay: tuple[float, float] = (0.0, 0.0)  # of the optimizer, drawn uniformly
    init_scale: tuple[float, float] = (1.0, 1.0)  # factor of initial parameters, log-uniform
    # Begin all training runs from one network, so that units mean the same in all of them. Held-out
    # runs begin from networks of their own, and training the meta-model does, too.
    shared_start: bool = False
    # How many members train at once in each thread (a core of a CPU, or else a device), the others
    # after them; 0: the fastest number in a measurement of a few seconds. No result depends on it
    # beyond rounding.
    at_once: int = 0


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """How policies are trained (`population/ppo.py`); the defaults are those of G.pt."""

    environments: int = 512  # environments side by side
    rollout: int = 16  # steps of each environment in an iteration
    epochs: int = 8  # passes over the transitions of an iteration
    minibatches: int = 2  # minibatches of an epoch, each a share of the environments
    clip: float = 0.2  # how far ratios of probabilities may move from 1
    discount: float = 0.99  # factor of the next step's return
    gae_lambda: float = 0.95  # lambda of generalised advantage estimation
    value_coefficient: float = 2.0  # factor of the value network's loss
    entropy_coefficient: float = 0.0  # factor of the policy's entropy, which is rewarded
    gradient_norm: float = 2.0  # largest norm of a gradient; longer ones are clipped to it
    evaluation_episodes: int = 8  # episodes of validation, and as many of test


@dataclasses.dataclass(frozen=True)
class PolicyPopulationConfig(PopulationConfig):
    """How the policies of a zoo are trained, by PPO: the section `population`."""

    ppo: PPOConfig = PPOConfig()  # keys of PPO alone


def _kind(network: str) -> str:
    if network not in KINDS:
        return ""
    return "classifiers" if KINDS[network].classifies else "policies"


POPULATION = Tagged(
    "network.name", {"classifiers": PopulationConfig, "policies": PolicyPopulationConfig}, _kind
)
# The sections that a zoo keeps.
SECTIONS = {"data": DATA, "network": NETWORK, "population": POPULATION}

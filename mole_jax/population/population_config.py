"""The section `population` of a config: how the networks are trained that histories are of."""

from __future__ import annotations

import dataclasses

from mole_jax.core.program.sections import Tagged
from mole_jax.tasks.networks import NAMES, POLICIES
from mole_jax.tasks.task_config import DATA, NETWORK


@dataclasses.dataclass(frozen=True)
class PopulationConfig:
    """How classifiers are trained, whose histories the zoo keeps: the section `population`."""

    members: int = 8  # runs of each data subset
    held_out_members: int = 1  # of them kept from meta-training: split S0
    steps: int = 400  # steps of a run; of PPO, iterations
    snapshots: int = 24  # snapshots of a run, its start among them
    snapshot_power: float = 2.0  # above 1: more snapshots early, where the loss falls fast
    snapshot_spacing: str = "power"  # power, or random: any steps, the same for all members
    max_weight: float = 0.0  # runs with a weight beyond it are not used; 0: no limit
    batch_size: int = 64  # examples of a minibatch; PPO has keys of its own
    # Members of a data subset may share minibatches, which is faster on wide inputs. Where each has
    # its own, the meta-model cannot learn a subset's minibatch noise by heart.
    share_minibatches: bool = False
    # Of which each member draws one: adam, or sgd with Nesterov's momentum of 0.9.
    optimizers: tuple[str, ...] = ("adam",)
    schedule: str = "constant"  # of the learning rate: constant, or cosine, to 0
    epoch_steps: int = 0  # above 0: a schedule changes the rate only after this many steps
    coupled_decay: bool = False  # weight decay in the gradient, as in PyTorch's SGD
    # Ranges (low, high) from which each member draws; equal ends fix the value.
    learning_rate: tuple[float, float] = (3e-3, 3e-3)  # of the optimizer, drawn log-uniformly
    weight_decay: tuple[float, float] = (0.0, 0.0)  # as above, drawn uniformly
    init_scale: tuple[float, float] = (1.0, 1.0)  # factor of a start, drawn log-uniformly
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

    environments: int = 512  # environments side by side
    rollout: int = 16  # steps of each environment in an iteration
    epochs: int = 8  # passes over what an iteration has met
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
    """The same of policies, which are trained by PPO."""

    ppo: PPOConfig = PPOConfig()  # keys of PPO alone


POPULATION = Tagged(
    "network.name",
    {name: PolicyPopulationConfig if name in POLICIES else PopulationConfig for name in NAMES},
)
# Those that a zoo keeps.
SECTIONS = {"data": DATA, "network": NETWORK, "population": POPULATION}

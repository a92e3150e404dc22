"""Cartpole: predict a policy for a cart, a pole and an actuator never seen.

    python -m mole_jax.main --config=configs/cartpole.py --workdir=runs/cartpole
        G.pt's policy, D = 1,250, and its recipe of PPO, for an accelerator; not run yet
    python -m mole_jax.main --config=configs/cartpole.py:cpu --workdir=runs/cartpole_cpu
        policies 4-16-1: 98.3 % of the largest return on 52 unseen tasks, PPO 98.5 %; 13 min (two
        busy cores of an AMD EPYC)

Seed 0, JAX 0.10.2; docs/notebook has intervals, baselines and how it came about.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment

CONFIG = {
    "data.source": "env:cartpole",
    "data.train_subsets": 1000,
    "data.support_per_class": 64,
    "network.name": "gaussian_policy",
    "network.hidden": (32, 32),
    "network.activation": "selu",
    "population.steps": 500,
    "population.schedule": "cosine",
    "population.learning_rate": (3e-4, 3e-4),
    "population.shared_start": True,
    "zoo.subsets_per_group": 50,
    "metamodel.pairwise": False,  # no classes
    "metamodel.probes": 32,
    # Policies do not tolerate small errors: it helps to learn the answer at full noise well, and to
    # take it in one step.
    "training.time_power": 0.1,
    "sampling.steps": 1,
    "training.permute_labels": 0.0,
    "training.support_min_per_class": 16,
    "evaluation.adam_rates": (3e-4, 1e-3, 3e-3),
    # The loss is the share of the return that is missed, and most of the zoo misses nothing, which
    # counts as 1e-3.
    "evaluation.candidates": (0.2, 0.1, 0.05, 0.01, 0.001),
    "evaluation.table_prompts": (1.0, 0.5, 0.2, 0.1, 0.001),
    "evaluation.support_sizes": (4, 16, 32),
    "evaluation.targets.regret": 0.0,
    "evaluation.targets.score": 0.0,
    "evaluation.targets.r2": 0.0,
    "evaluation.targets.support_gap": 0.0,
    "evaluation.targets.share_of_adam": 0.9,
}
VARIANTS = {
    "": {},
    "full": {},
    "cpu": {
        "data.train_subsets": 200,
        "network.hidden": (16,),
        "population.ppo.environments": 32,
        "population.ppo.rollout": 64,
        "population.ppo.epochs": 4,
        "population.ppo.minibatches": 4,
        "population.ppo.gae_lambda": 0.98,
        "population.steps": 120,
        "population.snapshot_power": 1.5,  # returns rise between iterations 5 and 50
        "population.learning_rate": (2e-2, 5e-2),
        "population.members": 5,
        "zoo.subsets_per_group": 21,
        "evaluation.adam_rates": (2e-2, 4e-2),
        "evaluation.starts": 2,
        "training.steps": 4000,
        "training.regression_steps": 2000,
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """Return G.pt's policy and PPO, for an accelerator; `cpu`: a smaller one, for two cores."""
    return experiment.make(CONFIG, VARIANTS, variant)

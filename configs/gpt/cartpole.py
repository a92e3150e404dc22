"""G.pt for Cartpole, prompted with the mean return (Peebles et al. 2022).

    python -m mole_jax.main --config=configs/gpt/cartpole.py --workdir=runs/gpt_cartpole
        50,026 runs, 347,351,040 parameters, 301 TFLOP a step by the dry run; not run yet
    python -m mole_jax.main --config=configs/gpt/cartpole.py:cpu --workdir=runs/gpt_cartpole_cpu
        6.8 % of the largest return, PPO 84 %; 5 min 6 s (one of two cores, AMD EPYC)

Seed 0, JAX 0.10.2; docs/notebook has the rest. It differs from the reference as
`mole_jax/interop/gpt/gpt_recipe.py` says, and in these points:

- The simulator is ours (Barto, Sutton & Anderson 1983), with observations in units of its region;
  the reference's rewards and dynamics are its simulator's.
- Prompts ask for the mean return in evaluation episodes, where the policy takes its likeliest
  actions; theirs ask for that of the last 200 training episodes, where actions are drawn. Here that
  is `training.metric='train_return'`, but predicted networks are not measured in this way.
- A minibatch is a share of the environments with all their steps, not of all steps.
- Value networks are tanh MLPs of the policy's widths, and rewards are scaled by 1 - discount.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment
from mole_jax.interop.gpt.gpt_recipe import GPT, GPT_SMALL

CONFIG = {
    **GPT,
    "data.source": "env:cartpole",
    "data.settings": "default",
    "network.name": "gaussian_policy",
    "network.hidden": (32, 32),
    "network.activation": "selu",
    "metamodel.gpt.split": "layer_by_layer",
    "training.metric": "test_return",
    "training.gradient_clip": 1e9,  # off
    "evaluation.prompt_range": (500.0, 1.0),
    "evaluation.table_prompts": (50.0, 100.0, 200.0, 350.0, 500.0),
    "evaluation.candidates": (300.0, 400.0, 450.0, 500.0),
}
VARIANTS = {
    "": {
        "population.members": 50_026,
        "population.held_out_members": 2050,
        "population.steps": 500,
        "population.learning_rate": (3e-4, 3e-4),
        "metamodel.width": 1536,
        "metamodel.layers": 12,
        "metamodel.heads": 12,
        "training.batch_size": 8192,
        "training.learning_rate": 2e-4,
        # 2000 epochs, the first 10 to warm up: 16 pairs of each of 47,976 runs, in 93 batches.
        "training.steps": 2000 * 93,
        "training.warmup_steps": 10 * 93,
        "evaluation.adam_rates": (3e-4, 1e-3),
    },
    "cpu": {
        **GPT_SMALL,
        "population.members": 120,
        "population.held_out_members": 12,
        "population.ppo.environments": 64,
        "population.ppo.evaluation_episodes": 4,
        "population.steps": 80,
        "evaluation.s0_tasks": 10,
        "evaluation.curve_points": 12,
        "evaluation.adam_rates": (3e-3, 1e-2),
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """50,026 runs of a policy 4-32-32-1 and 347 million parameters; `cpu`: small."""
    return experiment.make(CONFIG, VARIANTS, variant)

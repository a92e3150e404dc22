"""G.pt for Cartpole, told the mean return (Peebles et al. 2022).

    python -m mole_jax.main --config=configs/gpt/cartpole.py --workdir=runs/gpt_cartpole
    python -m mole_jax.main --config=configs/gpt/cartpole.py:cpu --workdir=runs/gpt_cartpole_cpu

Differs from the reference by what `common.py` says, and in these:

- The simulator is ours (Barto, Sutton & Anderson 1983), with observations in units of its region;
  the reference's rewards and dynamics are its simulator's.
- Prompts speak of the mean return of the policy that takes its likeliest actions, in evaluation
  episodes; theirs of the last 200 episodes of the training, in which actions are drawn. That is
  `training.metric='train_return'` here, but networks that are predicted are not measured so.
- A minibatch is a share of the environments with all their steps, not of all steps.
- Value networks are tanh MLPs of the policy's widths, and rewards are scaled by 1 - discount.

The first has not been run; the dry run says 347,351,040 parameters and 301 TFLOP a step, not
counting what the backward pass computes anew. The second, of 120 runs of 80 iterations in 64
environments, learns next to nothing: from the first snapshots of 10 held-out runs, asked for a
return of 500, its policies reach 6.8 % of it (95 % interval 4.7 - 9.9), where the held-out runs
end at 90 %, PPO reaches 84 % from the same starts (at the largest of two rates, which was best on
training runs), and retrieval, soup and noise 100 %. Prompt alignment R^2 -2.6, rho 0.99, Z_U -0.6.
Seed 0, JAX 0.10.2, one of two cores of an AMD EPYC: zoo 1 min 28 s, training 2 min 8 s, evaluation
1 min 30 s.
"""

from pathlib import Path

from ml_collections import ConfigDict

from mole_jax.core.program import config as configs

VARIANTS = ("", "cpu")


def get_config(variant: str = "") -> ConfigDict:
    """50,026 runs of a policy 4-32-32-1 and 347 million parameters; `cpu`: small."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; there are {VARIANTS}")
    c = configs.load(f"{Path(__file__).with_name('common.py')}:{variant}")
    c.data.update({"source": "env:cartpole", "settings": "default"})
    c.network.update({"name": "gaussian_policy", "hidden": (32, 32), "activation": "selu"})
    # PPO's own settings are those of the digits config, which are G.pt's.
    c.population.update({"members": 50_026, "held_out_members": 2050, "steps": 500})
    c.population.optimizers = ("adam",)
    c.population.update({"learning_rate": (3e-4, 3e-4), "weight_decay": (0.0, 0.0)})
    c.population.coupled_decay = False
    c.metamodel.gpt.split = "layer_by_layer"
    c.metamodel.pairwise = False  # no classes
    c.training.metric = "test_return"
    c.training.gradient_clip = 1e9  # off
    c.evaluation.prompt_range = (500.0, 1.0)
    c.evaluation.table_prompts = (50.0, 100.0, 200.0, 350.0, 500.0)
    c.evaluation.candidates = (300.0, 400.0, 450.0, 500.0)
    c.evaluation.adam_rates = (3e-4, 1e-3)
    if variant == "cpu":
        c.population.update({"members": 120, "held_out_members": 12, "snapshots": 50})
        c.population.ppo.update({"environments": 64, "evaluation_episodes": 4})
        c.population.update({"steps": 80, "learning_rate": (3e-3, 3e-3)})
        c.training.steps = 1500
        c.evaluation.update({"s0_tasks": 10, "curve_points": 12})
        c.evaluation.adam_rates = (3e-3, 1e-2)
        return c
    c.metamodel.update({"width": 1536, "layers": 12, "heads": 12})
    c.training.update({"batch_size": 8192, "learning_rate": 2e-4})
    # 2000 epochs, the first 10 of them to warm up: 16 pairs of each of 47,976 runs, in 93 batches.
    c.training.update({"steps": 2000 * 93, "warmup_steps": 10 * 93})
    return c

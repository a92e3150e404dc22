"""Tiny vision transformers for 5 of 10 classes, for subsets never seen.

    python launch/prepare_data.py cifar10     (once; or --config.data.source=npz:FILE)
    python -m mole_jax.main --config=configs/vit_tiny.py --workdir=runs/vit
        CIFAR-10, D = 20,933, for an accelerator of 80 GB or more; not run yet
    python -m mole_jax.main --config=configs/vit_tiny.py:cpu --workdir=runs/vit_digits
        digits, D = 2,677: 91.9 % on 52 unseen subsets, Adam 96.1 %; 12 min (two busy cores, EPYC)

Seed 0, JAX 0.10.2; docs/notebook has intervals, baselines and what the large one takes.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment

CONFIG = {
    "sampling.steps": 5,  # as its figures were measured; one step has not been compared
    "network.name": "vit",
    "population.shared_start": True,  # as for the CNN
    "metamodel.inner_steps": 4,
    "evaluation.targets.regret": 0.0,
    "evaluation.targets.score": 0.0,
    "evaluation.targets.r2": 0.0,
    "evaluation.targets.support_gap": 0.0,
    "evaluation.targets.share_of_adam": 0.9,
}
FULL = {
    "data.source": "cifar10",
    "data.pools": {"train": 0.7, "support": 0.1, "validation": 0.1, "test": 0.1},
    "data.augment": {"flip": True, "crop": 4},
    "network.width": 32,
    "network.heads": 4,
    "network.mlp": 64,
    "population.members": 16,
    "population.steps": 4000,
    "population.snapshots": 50,
    "population.batch_size": 128,
    "population.learning_rate": (3e-4, 3e-3),
    "population.share_minibatches": True,
    "zoo.subsets_per_group": 50,
    "metamodel.width": 512,
    "metamodel.layers": 6,
    "metamodel.heads": 8,
    "metamodel.dtype": "bfloat16",
    "metamodel.features": "conv",
    # Gradients of gradients of ViTs on probes take the memory: 545 GB for a step of 256 pairs with
    # 16 probes of each class, if nothing is rematerialised.
    "metamodel.remat": True,
    "training.steps": 50_000,
    "training.regression_steps": 50_000,
    "training.batch_size": 64,
    "training.learning_rate": 5e-4,
    "training.warmup_steps": 1000,
    "training.ema_decay": 0.9995,
    "training.checkpoint_every": 2500,
}
VARIANTS = {
    "": FULL,
    "full": FULL,
    "cpu": {
        "network.layers": 1,
        "population.members": 4,
        "training.batch_size": 16,
        "training.steps": 2000,
        "training.regression_steps": 150,
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the experiment: CIFAR-10, for an accelerator; `cpu`: digits, for two cores."""
    return experiment.make(CONFIG, VARIANTS, variant)

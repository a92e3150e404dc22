"""CNNs for 5 of 10 classes, for subsets never seen.

    python launch/prepare_data.py cifar10     (once; or --config.data.source=npz:FILE)
    python -m mole_jax.main --config=configs/cifar10_cnn.py --workdir=runs/cifar10
        CIFAR-10, G.pt's network, D = 5,205, for an accelerator of 80 GB or more; not run yet
    python -m mole_jax.main --config=configs/cifar10_cnn.py:cpu --workdir=runs/cnn
        digits, D = 1,333: 96.2 % on 52 unseen subsets, Adam 97.9 %; 14 min (two busy cores, EPYC)

Seed 0, JAX 0.10.2; docs/notebook has intervals, baselines and what the large one takes.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment

CONFIG = {
    "sampling.steps": 5,  # as its figures were measured; one step has not been compared
    "network.name": "cnn",
    # A channel's token holds the next layer's channels in their order, so these must mean the same
    # in all runs: one start for all training runs ensures that.
    "population.shared_start": True,
    "evaluation.targets.regret": 0.0,
    "evaluation.targets.score": 0.0,
    "evaluation.targets.r2": 0.0,
    "evaluation.targets.support_gap": 0.0,
    "evaluation.targets.share_of_adam": 0.95,
}
FULL = {
    "data.source": "cifar10",
    "data.pools": {"train": 0.7, "support": 0.1, "validation": 0.1, "test": 0.1},
    "data.augment": {"flip": True, "crop": 4},
    "network.channels": (16, 32),
    "network.strides": (2, 1),
    "network.bias": False,
    "population.members": 32,
    "population.steps": 4000,
    "population.snapshots": 50,
    "population.batch_size": 128,
    "population.learning_rate": (1e-3, 1e-2),
    "population.share_minibatches": True,
    "zoo.subsets_per_group": 50,
    "metamodel.width": 512,
    "metamodel.layers": 6,
    "metamodel.heads": 8,
    "metamodel.probes": 16,
    "metamodel.dtype": "bfloat16",
    "metamodel.features": "conv",
    "metamodel.remat": True,  # gradients of gradients of 80 probes take much memory
    "training.steps": 50_000,
    "training.regression_steps": 50_000,
    "training.batch_size": 128,
    "training.learning_rate": 5e-4,
    "training.warmup_steps": 1000,
    "training.ema_decay": 0.9995,
    "training.checkpoint_every": 2500,
}
VARIANTS = {
    "": FULL,
    "full": FULL,
    "cpu": {
        "network.channels": (8, 16),
        "network.strides": (2, 2),
        "population.learning_rate": (1e-2, 1e-2),
        "training.steps": 2000,
        "training.regression_steps": 400,
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the experiment: CIFAR-10, for an accelerator; `cpu`: digits, for two cores."""
    return experiment.make(CONFIG, VARIANTS, variant)

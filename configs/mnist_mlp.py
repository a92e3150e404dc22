"""MNIST: predict a 784-10-5 MLP for 5 of the 10 digits, for subsets never seen.

    python launch/prepare_data.py mnist     (once; or --config.data.source=idx:DIR)
    python -m mole_jax.main --config=configs/mnist_mlp.py --workdir=runs/mnist
        784-32-5, for an accelerator; not run yet
    python -m mole_jax.main --config=configs/mnist_mlp.py:cpu --workdir=runs/mnist_cpu
        93.2 % accuracy on 52 unseen subsets, Adam 94.9 %; 22 min 15 s (two cores, AMD EPYC)

The sizes are those of `fashion_mlp.py`. Seed 0, JAX 0.10.2; docs/notebook has the rest.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment

CONFIG = {
    "data.source": "mnist",
    # The official test images are the test pool; the shares divide the other 60,000.
    "data.pools": {"train": 0.7, "support": 0.1, "validation": 0.1, "test": 0.1},
    "population.shared_start": True,
    "population.batch_size": 128,
    "evaluation.targets.regret": 0.0,
    "evaluation.targets.score": 0.0,
    "evaluation.targets.r2": 0.0,
    "evaluation.targets.support_gap": 0.0,
    "evaluation.targets.share_of_adam": 0.95,
}
FULL = {
    "network.hidden": (32,),
    "population.members": 32,
    "population.steps": 4000,
    "population.snapshots": 50,
    "population.learning_rate": (1e-3, 1e-2),
    "population.share_minibatches": True,
    "zoo.subsets_per_group": 50,
    "metamodel.width": 512,
    "metamodel.layers": 6,
    "metamodel.heads": 8,
    "metamodel.probes": 16,
    "metamodel.dtype": "bfloat16",
    "training.steps": 30_000,
    "training.regression_steps": 30_000,
    "training.batch_size": 256,
    "training.function_images": 128,
    "training.learning_rate": 5e-4,
    "training.warmup_steps": 1000,
    "training.ema_decay": 0.9995,
    "training.checkpoint_every": 2500,
}
VARIANTS = {
    "": FULL,
    "full": FULL,
    "cpu": {
        "data.max_per_class": {"train": 1000, "support": 600, "validation": 200, "test": 400},
        "network.hidden": (10,),
        "zoo.subsets_per_group": 21,
        "training.steps": 2000,
        "training.regression_steps": 400,
        "training.function_images": 32,
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the experiment, for an accelerator; `cpu`: for two cores."""
    return experiment.make(CONFIG, VARIANTS, variant)

"""Fashion-MNIST: predict a 784-10-5 MLP for 5 of the 10 classes, for subsets never seen.

    apt-get install dataset-fashion-mnist     (or put the four IDX files anywhere)
    python -m mole_jax.main --config=configs/fashion_mlp.py --workdir=runs/fashion
        89.3 % accuracy on 52 unseen subsets, Adam 90.3 %; 18 min (two busy cores, AMD EPYC)
    python -m mole_jax.main --config=configs/fashion_mlp.py:full --workdir=runs/fashion_full
        for an accelerator: all images, a wider network, a larger model; not run yet

Seed 0, JAX 0.10.2; docs/notebook has intervals and baselines.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment

CONFIG = {
    "sampling.steps": 5,  # as its figures were measured; one step has not been compared
    "data.source": "idx:/usr/share/datasets/fashion-mnist",
    # The official test images are the test pool; the shares divide the other 60,000.
    "data.pools": {"train": 0.7, "support": 0.1, "validation": 0.1, "test": 0.1},
    "data.max_per_class": {"train": 1000, "support": 600, "validation": 200, "test": 400},
    "network.hidden": (10,),
    "population.shared_start": True,
    "population.batch_size": 128,
    "zoo.subsets_per_group": 21,
    "training.steps": 2000,
    "training.regression_steps": 400,
    "training.function_images": 32,
    "evaluation.targets.regret": 0.0,
    "evaluation.targets.score": 0.0,
    "evaluation.targets.r2": 0.0,
    "evaluation.targets.support_gap": 0.0,
    "evaluation.targets.share_of_adam": 0.95,
}
VARIANTS = {
    "": {},
    "cpu": {},
    "full": {
        "data.max_per_class": {"train": 0, "support": 0, "validation": 0, "test": 0},
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
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the experiment, for two cores; `full`: for an accelerator."""
    return experiment.make(CONFIG, VARIANTS, variant)

"""The meta-model at the size of G.pt's for MNIST (Peebles et al. 2022), and one with a billion.

    python launch/prepare_data.py mnist     (once; or --config.data.source=idx:DIR)
    python -m mole_jax.main --config=configs/paper_mnist.py --dry_run --mesh=data:32,fsdp:8
    python -m mole_jax.main --config=configs/paper_mnist.py:1b --dry_run --mesh=data:32,fsdp:8
    python -m mole_jax.main --config=configs/paper_mnist.py:gpt --dry_run --mesh=data:32,fsdp:8

444 million parameters, 983 million, and G.pt's 378 million. None has been trained; the dry runs say
what it takes (docs/notebook/performance.md, Paper scale).
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment

CONFIG = {
    "data.source": "mnist",
    "data.pools": {"train": 0.7, "support": 0.1, "validation": 0.1, "test": 0.1},
    "data.classes_per_subset": 10,  # all of them: one data subset, as G.pt has
    "data.train_subsets": 1,
    "data.held_out_subsets": 0,
    "network.hidden": (10,),
    "population.members": 10_728,
    "population.held_out_members": 500,
    "population.steps": 11_700,
    "population.snapshots": 200,
    "population.batch_size": 128,
    "population.optimizers": ("sgd",),
    "population.schedule": "cosine",
    "population.learning_rate": (0.1, 0.1),
    "population.weight_decay": (5e-4, 5e-4),
    "metamodel.width": 1536,
    "metamodel.layers": 12,
    "metamodel.heads": 16,
    "metamodel.remat": True,
    "metamodel.unroll": 1,
    "training.steps": 178_000,  # see gpt/mnist_loss.py
    "training.regression_steps": 0,
    "training.batch_size": 1024,
    "training.learning_rate": 4e-4,
    "training.warmup_steps": 445,
    "training.weight_decay": 0.1,
    "training.beta2": 0.999,
    "training.gradient_clip": 0.75,
    "training.ema_decay": 0.9999,
    "training.checkpoint_every": 5000,
}
OURS = {"metamodel.conditioning": "context", "metamodel.dtype": "bfloat16"}
VARIANTS = {
    "": OURS,
    "1b": {**OURS, "metamodel.width": 2048, "metamodel.layers": 16},
    "gpt": {
        "representation.name": "flat",
        "representation.normaliser": "global",
        "metamodel.name": "gpt",
        "diffusion.prediction": "x0",
        "training.spacing": "spacing_first",
        "training.first_start": 0.0,
        "training.permute_units": True,
        "training.permute_labels": 0.0,
        "training.function_weight": 0.0,
        "training.time_power": 1.0,
        "training.ema_warmup": False,
        "training.schedule": "warmup_times_cosine",
        "training.best_prompts": 0.0,
        "training.drop": {"support": 0.0, "target_metric": 0.0, "start": 0.0},
        "sampling.name": "ancestral_large",
        "sampling.steps": 1000,
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """G.pt's zoo of MNIST classifiers, and a meta-model of its size; `1b`: larger; `gpt`: G.pt."""
    return experiment.make(CONFIG, VARIANTS, variant)

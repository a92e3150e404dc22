"""Digits: one model that writes MLPs of many sizes, even sizes that no training network has.

    python -m mole_jax.main --config=configs/digits_mlps.py:cpu --workdir=runs/digits_mlps
        seven sizes never trained on: 96.5 to 98.3 % on 52 unseen subsets, Adam 98.1 to 98.8 %;
        24 min, 10 without regression (two busy cores, AMD EPYC), seed 0

docs/sizes.md has each size, and the larger variants.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment

CONFIG: dict[str, object] = {
    "network.name": "mlps",
    "network.hidden": (64, 64, 64),
    "network.widths": (8, 16, 32, 48),
    "network.depths": (1, 3),
    # First sizes between those trained on, then larger ones.
    "network.unseen": ("12", "24", "16-16", "24-24", "24-24-24", "64", "64-64"),
    "evaluation.targets.regret": 0.0,
    "evaluation.targets.score": 0.0,
    "evaluation.targets.r2": 0.0,
    "evaluation.targets.share_of_adam": 0.9,
    "representation.align": True,
    "training.steps": 4000,
    "training.regression_steps": 4000,
}
VARIANTS: dict[str, dict[str, object]] = {
    "": {},
    "cpu": {
        "network.hidden": (32, 32, 32),
        "network.widths": (8, 16, 24),
        "network.unseen": ("12", "20", "16-16", "12-20", "20-20-20", "32", "32-32"),
        "training.steps": 1500,
        "training.regression_steps": 1500,
    },
    # MLPs, a CNN and a ViT, written by one model.
    "families": {
        "network.name": "several",
        "representation.align": False,  # not with attention among them
        "network.hidden": (24, 24),
        "network.widths": (8, 16, 24),
        "network.depths": (1, 2),
        "network.unseen": ("12", "20"),
        "network.channels": (6, 10),
        "network.strides": (1, 2),
        "network.patch": 4,
        "network.width": 16,
        "network.layers": 1,
        "population.members": 4,
        "training.batch_size": 32,
        "training.steps": 1000,
        "training.regression_steps": 0,
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the experiment; `cpu`: smaller networks, fewer steps; `families`: CNNs, ViTs, too."""
    return experiment.make(CONFIG, VARIANTS, variant)

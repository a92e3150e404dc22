"""G.pt for CIFAR-10, prompted with the test error in percent (Peebles et al. 2022).

    python launch/prepare_data.py cifar10     (once; or --config.data.source=npz:FILE)
    python -m mole_jax.main --config=configs/gpt/cifar10_error.py --workdir=runs/gpt_cifar10_error
        not run yet
    python -m mole_jax.main --config=configs/gpt/cifar10_error.py:cpu --workdir=runs/gpt_cnn_error
        digits: 10.1 % accuracy, which is guessing, Adam 82.5 %; 9 min 44 s (two cores of an AMD
        EPYC, one busy)

Seed 0, JAX 0.10.2. What differs from the reference is in `mole_jax/interop/gpt/gpt_recipe.py`; the
zoo is that of `cifar10_loss.py`.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment
from mole_jax.interop.gpt.gpt_recipe import CIFAR10, CIFAR10_LARGE, CIFAR10_SMALL

CONFIG = {**CIFAR10, "training.metric": "test_error"}
VARIANTS = {
    "": {
        **CIFAR10_LARGE,
        "evaluation.prompt_range": (35.0, 1.0),
        "evaluation.table_prompts": (80.0, 60.0, 50.0, 40.0, 35.0),
        "evaluation.candidates": (50.0, 45.0, 40.0, 35.0, 30.0),
    },
    "cpu": {
        **CIFAR10_SMALL,
        "evaluation.prompt_range": (3.0, 1.0),
        "evaluation.table_prompts": (80.0, 40.0, 20.0, 10.0, 5.0),
        "evaluation.candidates": (15.0, 10.0, 7.0, 5.0, 3.0),
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the experiment of `cifar10_loss`, with another metric."""
    return experiment.make(CONFIG, VARIANTS, variant)

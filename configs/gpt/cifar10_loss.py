"""G.pt for CIFAR-10, prompted with the test loss (Peebles et al. 2022).

    python launch/prepare_data.py cifar10     (once; or --config.data.source=npz:FILE)
    python -m mole_jax.main --config=configs/gpt/cifar10_loss.py --workdir=runs/gpt_cifar10_loss
        639,459,328 parameters, 48 TFLOP a step by the dry run; not run yet
    python -m mole_jax.main --config=configs/gpt/cifar10_loss.py:cpu --workdir=runs/gpt_cnn_loss
        digits: 10.5 % accuracy, which is guessing, Adam 82.5 %; 10 min 9 s (two cores of an AMD
        EPYC, one busy)

Seed 0, JAX 0.10.2. What differs from the reference is in `mole_jax/interop/gpt/gpt_recipe.py`, and
why the small one does not learn in docs/notebook/gpt.md.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment
from mole_jax.interop.gpt.gpt_recipe import CIFAR10, CIFAR10_LARGE, CIFAR10_SMALL

VARIANTS = {
    "": {
        **CIFAR10_LARGE,
        "evaluation.prompt_range": (1.2, 1.0),
        "evaluation.table_prompts": (2.0, 1.6, 1.4, 1.3, 1.2),
        "evaluation.candidates": (1.5, 1.4, 1.3, 1.2, 1.1),
    },
    "cpu": {
        **CIFAR10_SMALL,
        "evaluation.prompt_range": (0.1, 1.0),
        "evaluation.table_prompts": (2.0, 1.0, 0.5, 0.3, 0.2),
        "evaluation.candidates": (0.5, 0.4, 0.3, 0.2, 0.1),
    },
}


def get_config(variant: str = "") -> ConfigDict:
    """56,840 runs of a CNN and 639 million parameters; `cpu`: small, on digits."""
    return experiment.make(CIFAR10, VARIANTS, variant)

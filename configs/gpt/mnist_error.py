"""G.pt for MNIST, prompted with the test error in percent (Peebles et al. 2022).

    python launch/prepare_data.py mnist     (once; or --config.data.source=idx:DIR)
    python -m mole_jax.main --config=configs/gpt/mnist_error.py --workdir=runs/gpt_mnist_error
        not run yet
    python -m mole_jax.main --config=configs/gpt/mnist_error.py:cpu --workdir=runs/gpt_digits_error
        digits: 28.9 % accuracy, Adam 96.7 %; 5 min 30 s (two cores of an AMD EPYC, one busy)

Seed 0, JAX 0.10.2. What differs from the reference is in `mole_jax/interop/gpt/gpt_recipe.py`; the
zoo is that of `mnist_loss.py`.
"""

from __future__ import annotations

from ml_collections import ConfigDict

from mole_jax import experiment
from mole_jax.interop.gpt.gpt_recipe import MNIST, MNIST_LARGE, MNIST_SMALL

CONFIG = {
    **MNIST,
    "training.metric": "test_error",
    "evaluation.prompt_range": (5.0, 0.9),
    "evaluation.table_prompts": (60.0, 40.0, 20.0, 10.0, 5.0),
    "evaluation.candidates": (10.0, 8.0, 6.0, 5.0, 4.0, 3.0),
}
VARIANTS = {
    "": {
        **MNIST_LARGE,
        "training.batch_size": 512,
        "training.steps": 2000 * 179,
        "training.warmup_steps": 5 * 179,
    },
    "cpu": MNIST_SMALL,
}


def get_config(variant: str = "") -> ConfigDict:
    """Return the experiment of `mnist_loss`, with another metric and batch."""
    return experiment.make(CONFIG, VARIANTS, variant)

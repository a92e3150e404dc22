"""MNIST: predict a 784-10-5 MLP for 5 of the 10 digits, for subsets never seen.

    python launch/prepare_data.py mnist     (once; or --config.data.source=idx:DIR)
    python -m mole_jax.main --config=configs/mnist_mlp.py --workdir=runs/mnist
    python -m mole_jax.main --config=configs/mnist_mlp.py:cpu --workdir=runs/mnist_cpu

The first is `fashion_mlp.py:full` on MNIST, for an accelerator, and has not been run. The second is
`fashion_mlp.py` on MNIST, run from its IDX files. On 52 unseen subsets (seed 0, two cores of an AMD
EPYC, JAX 0.10.2) it gives 93.2 % accuracy (95 % interval 92.8 - 93.7), where Adam reaches 94.9 %
from the same starts, retrieval 85.2 % (83.9 - 86.4), noise 85.2 %, soup 74.4 %, Adam on the support
set 80.4 %, regression 93.5 % (400 steps, not 2,000): regret 1.6 points (1.4 - 1.8), prompt
alignment R^2 0.39. It took 22 min 15 s: zoo 3 min 36 s, training 15 min 14 s, evaluation 3 min 26
s. Run once; nothing was chosen on it.
"""

from pathlib import Path

from ml_collections import ConfigDict

from mole_jax.core.program import config as configs

VARIANTS = ("", "cpu", "full")  # full: the same as none


def get_config(variant: str = "") -> ConfigDict:
    """For an accelerator, or with `cpu` for two cores."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; there are {VARIANTS}")
    size = "cpu" if variant == "cpu" else "full"
    c = configs.load(f"{Path(__file__).with_name('fashion_mlp.py')}:{size}")
    c.data.source = "mnist"
    return c

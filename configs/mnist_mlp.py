"""MNIST: predict a 784-10-5 MLP for 5 of the 10 digits, for subsets never seen.

    python launch/prepare_data.py mnist     (once; or --config.data.source=idx:DIR)
    python -m mole_jax.main --config=configs/mnist_mlp.py --workdir=runs/mnist
    python -m mole_jax.main --config=configs/mnist_mlp.py:cpu --workdir=runs/mnist_cpu

The first is `fashion_mlp.py:full` on MNIST, for an accelerator, the second `fashion_mlp.py` on
MNIST. Neither has been run.
"""

from pathlib import Path

from ml_collections import ConfigDict

from mole_jax.core import config as configs

VARIANTS = ("", "cpu", "full")  # full: the same as none


def get_config(variant: str = "") -> ConfigDict:
    """For an accelerator, or with `cpu` for two cores."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; there are {VARIANTS}")
    size = "cpu" if variant == "cpu" else "full"
    c = configs.load(f"{Path(__file__).with_name('fashion_mlp.py')}:{size}")
    c.data.source = "mnist"
    return c

"""Tiny vision transformers for 5 of 10 classes, for subsets never seen.

    python launch/prepare_data.py cifar10     (once; or --config.data.source=npz:FILE)
    python -m mole_jax.main --config=configs/vit_tiny.py --workdir=runs/vit
    python -m mole_jax.main --config=configs/vit_tiny.py:cpu --workdir=runs/vit_digits

The first takes CIFAR-10 and is meant for one accelerator of 80 GB or more; it has not been run. It
was sized by counting: 4,032 runs of ViTs with D = 20,933 (20 PFLOP; 17 GB of snapshots, of which
training keeps 13 GB on device), and 5.8 TFLOP in each of 50,000 training steps, as many again for
the twin without noise: 0.6 EFLOP in all, 1.7 hours at 100 TFLOP/s, a tenth of an H200's peak in
bfloat16. A training step asks for 60 GB beside that when compiled for a CPU, which fuses less.

The second is the same line on digits, with ViTs of one block, for two CPU cores: on 52 unseen
subsets (AMD EPYC, JAX 0.10.2, seed 0) it gives 91.3 % (90.7 - 91.9) test accuracy, where Adam
reaches 96.1 % and retrieval, the best copy, 84.4 % (83.2 - 85.6), in 14 min 44 s (zoo 2 min 23 s,
training 7 min 35 s, evaluation 4 min 45 s): R^2 0.936. All training runs begin from one network;
see docs/results.md.
"""

from pathlib import Path

from ml_collections import ConfigDict

from mole_jax.core.program import config as configs

VARIANTS = ("", "cpu", "full")  # full: the same as none


def get_config(variant: str = "") -> ConfigDict:
    """CIFAR-10 for an accelerator, or with `cpu` digits for two cores."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; there are {VARIANTS}")
    # What is not set below is as for the CNN, and as for digits before it.
    c = configs.load(f"{Path(__file__).with_name('cifar10_cnn.py')}:{variant}")
    c.network.name = "vit"
    c.evaluation.targets.share_of_adam = 0.9
    c.metamodel.descents = 4
    if variant == "cpu":
        c.network.update({"patch": 4, "width": 16, "layers": 1, "heads": 2, "mlp": 32})
        c.population.members = 4
        c.population.learning_rate = (3e-3, 3e-3)
        c.training.batch_size = 16
        c.training.steps = 2000
        c.training.regression_steps = 150
        return c
    c.network.update({"patch": 4, "width": 32, "layers": 2, "heads": 4, "mlp": 64})
    c.population.members = 16
    c.population.learning_rate = (3e-4, 3e-3)
    # Gradients of gradients of ViTs on probes are what takes memory: 545 GB for a step of 256 pairs
    # with 16 probes of each class and nothing computed anew.
    c.metamodel.probes = 8
    c.training.batch_size = 64
    return c

"""G.pt for MNIST, told the test error in percent (Peebles et al. 2022).

    python launch/prepare_data.py mnist     (once; or --config.data.source=idx:DIR)
    python -m mole_jax.main --config=configs/gpt/mnist_error.py --workdir=runs/gpt_mnist_error
    python -m mole_jax.main --config=configs/gpt/mnist_error.py:cpu --workdir=runs/gpt_digits_error

What differs from the reference is in `common.py`. The first has not been run. The second does not
get far: from the first snapshots of 20 held-out runs, 28.9 % test accuracy (95 % interval 26.4 -
31.5), where Adam reaches 96.7 % from the same starts and retrieval 96.9 %; prompt alignment R^2
-1.7, rho 1.13, Z_U +6.5. Seed 0, JAX 0.10.2, one of two cores of an AMD EPYC, the other one busy:
zoo as that of `mnist_loss.py:cpu`, training 3 min 2 s, evaluation 1 min 18 s.
"""

from pathlib import Path

from ml_collections import ConfigDict

from mole_jax.core.program import config as configs

VARIANTS = ("", "cpu")


def get_config(variant: str = "") -> ConfigDict:
    """As `mnist_loss`, but for the metric and the batch; the zoo is the same."""
    if variant not in VARIANTS:
        raise ValueError(f"variant {variant!r} is unknown; there are {VARIANTS}")
    c = configs.load(f"{Path(__file__).with_name('mnist_loss.py')}:{variant}")
    c.training.metric = "test_error"
    c.evaluation.prompt_range = (5.0, 0.9)
    c.evaluation.table_prompts = (60.0, 40.0, 20.0, 10.0, 5.0)
    c.evaluation.candidates = (10.0, 8.0, 6.0, 5.0, 4.0, 3.0)
    if variant == "":
        c.training.update({"batch_size": 512, "steps": 2000 * 179, "warmup_steps": 5 * 179})
    return c

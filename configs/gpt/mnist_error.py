"""G.pt for MNIST, told the test error in percent (Peebles et al. 2022).

    python launch/prepare_data.py mnist     (once; or --config.data.source=idx:DIR)
    python -m mole_jax.main --config=configs/gpt/mnist_error.py --workdir=runs/gpt_mnist_error
    python -m mole_jax.main --config=configs/gpt/mnist_error.py:cpu --workdir=runs/gpt_digits_error

Neither has been run. What differs from the reference is in `common.py`.
"""

from pathlib import Path

from ml_collections import ConfigDict

from mole_jax.core import config as configs

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
        c.training.update({"batch_size": 512, "steps": 393_750, "warmup_steps": 984})
    return c

"""Every file in configs/ can be run as it stands, once its data is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.program import config as configs
from mole_jax.validate import validate
from tests import tiny

FOLDER = tiny.DEMO.parent
PATHS = sorted(FOLDER.rglob("*.py"))
# Of data that has to be fetched: what it looks like.
SHAPES = {"idx": (28, 28, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
NAMES = [
    f"{path.relative_to(FOLDER)}:{variant}" if variant else str(path.relative_to(FOLDER))
    for path in PATHS
    for variant in ("", "full", "cpu", "few", "live", "gpt", "gpu", "1b", "28", "28gpu")
    if not variant or f'"{variant}"' in path.read_text()
]


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_valid(name: str, tmp_path: Path) -> None:
    config = configs.load(str(FOLDER / name))
    kind = config.data.source.partition(":")[0]
    if kind in SHAPES:
        n = 1000
        images = np.random.default_rng(0).integers(0, 256, (n, *SHAPES[kind])).astype(np.uint8)
        np.savez(tmp_path / "data.npz", image=images, label=np.arange(n) % 10)
        config.data.source = f"npz:{tmp_path / 'data.npz'}"
    if kind.startswith("glyphs"):  # drawing thousands of classes takes minutes
        side = 28 if ":28" in config.data.source else 8
        images = np.random.default_rng(0).integers(0, 256, (49_000, side, side)).astype(np.uint8)
        np.savez(tmp_path / "glyphs.npz", image=images, label=np.arange(49_000) % 700)
        held_out = config.data.held_out_sources
        np.savez(tmp_path / f"{held_out}.npz", image=images[:1000], label=np.arange(1000) % 10)
        config.data.source = f"npz:{tmp_path / 'glyphs.npz'}+npz:{tmp_path / held_out}.npz"
    config.lock()
    validate(config)


@pytest.mark.parametrize(
    ("name", "pairs", "epochs", "warmup"),
    [
        ("mnist_loss", 100_800, 2000, 5),
        ("mnist_error", 100_800, 2000, 5),
        ("cifar10_loss", 100_800, 15_000, 5),
        ("cifar10_error", 100_800, 15_000, 5),
        ("cartpole", 806_400, 2000, 10),
    ],
)
def test_epochs_of_the_reference(name: str, pairs: int, epochs: int, warmup: int) -> None:
    """Of so many pairs, in whole turns over the training runs, and then in whole batches."""
    config = configs.load(str(FOLDER / "gpt" / f"{name}.py"))
    runs = config.population.members - config.population.held_out_members
    batches = pairs // runs * runs // config.training.batch_size
    assert config.training.steps == epochs * batches
    assert config.training.warmup_steps == warmup * batches


def test_a_config_opens_with_its_command() -> None:
    for path in PATHS:
        head = path.read_text().split('"""')[1]
        assert f"python -m mole_jax.main --config=configs/{path.relative_to(FOLDER)}" in head

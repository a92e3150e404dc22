"""Zoos that were imported from what `torch_data` makes up, and what they must hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mole_jax.zoo.importing.import_torch import TorchOptions, import_torch
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.verify import verify
from tests.zoo.importing import torch_data

MLP = TorchOptions(torch_data.NETWORK)


def imported(data: Path, options: TorchOptions = MLP, name: str = "zoo") -> Zoo:
    import_torch(data, data.parent / name, options)
    return open_zoo(data.parent / name)


def assert_whole(zoo: Zoo, n: int = 4) -> None:
    """Every run, snapshot and metric is that which was made up."""
    torch = torch_data.torch_layout()
    runs = [f"r{run}" for run in range(n)]
    assert sorted(zoo.names()) == runs
    assert zoo.schema.steps == torch_data.NUMBERS
    assert zoo.schema.metrics == ("test_acc", "test_loss")
    for row, name in enumerate(zoo.names()):
        run = runs.index(name)
        for i, number in enumerate(torch_data.NUMBERS):
            flat = torch.from_state_dict(torch_data.state(run, number), "here")
            np.testing.assert_array_equal(zoo.parameters([row], [i])[0, 0], flat)
            for metric, value in torch_data.metrics(run, number).items():
                assert zoo.metric(metric, [row])[0, i] == value
        assert zoo.runs["learning_rate"][row] == pytest.approx(0.01 * (run + 1))
        assert zoo.runs["optimizer"][row] == "adam"
    np.testing.assert_array_equal(zoo.snapshot_field("iteration")[0], torch_data.NUMBERS)
    assert verify(zoo.path) == []


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])

"""What a checkpoint data set's folders hold, in the order of time and of names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.interop.lmdb.lmdb_runs import RunReader, scan
from mole_jax.zoo.importing.foreign import UnusableRunError
from tests.interop.lmdb import gpt_data

SIZES = list(gpt_data.SIZES["mlp:4,3,2"])


def test_checkpoints_come_in_the_order_of_time(tmp_path: Path) -> None:
    # Iterations begin anew with each epoch, and the JSON is in no order.
    keys = ["a/ep010_it00002.pt", "a/ep000_it00000.pt", "a/ep002_it00030.pt", "a/ep002_it00004.pt"]
    values = np.arange(4 * 23, dtype=np.float32).reshape(4, 23)
    content = {
        "values": values,
        "checkpoints": {key: {"loss": float(i)} for i, key in enumerate(keys)},
        "sizes": SIZES,
    }
    gpt_data.write(tmp_path / "a", {"a": content})
    data = scan(tmp_path)
    assert data.iterations == (0, 4, 30, 2)
    with RunReader(data, SIZES) as reader:
        history = reader.history(data.runs[0])
        assert [(c.epoch, c.iteration) for c in history] == [(0, 0), (2, 4), (2, 30), (10, 2)]
        assert [c.metrics["loss"] for c in history] == [1, 3, 2, 0]
        np.testing.assert_array_equal(reader.parameters(data.runs[0]), values[[1, 3, 2, 0]])


def test_runs_are_called_what_their_keys_call_them(tmp_path: Path) -> None:
    gpt_data.write(tmp_path / "job_7", {"x": gpt_data.run("seven")})
    data = scan(tmp_path)
    assert [(run.name, run.folder, run.problem) for run in data.runs] == [("seven", "job_7", None)]


def test_most_runs_say_what_is_usual(tmp_path: Path) -> None:
    gpt_data.make(tmp_path / "data", 3)
    for name, options in (
        ("000003", {"n": 4}),
        ("000004", {"metrics": ("avg_test_loss",)}),
        ("000005", {"epochs": False}),
    ):
        gpt_data.write(tmp_path / "data" / name, {name: gpt_data.run(name, **options)})
    data = scan(tmp_path / "data")
    assert data.usable == [0, 1, 2]
    assert (data.n_snapshots, data.metrics, data.fields) == (
        5,
        ("avg_test_err", "avg_test_loss"),
        ("epoch", "iteration"),
    )
    problems = [run.problem or "" for run in data.runs[3:]]
    for problem, words in zip(
        problems,
        ("has 4 checkpoints", "has the metrics avg_test_loss, but most", "have no epoch"),
        strict=True,
    ):
        assert words in problem


def test_a_run_that_vanishes_between_scan_and_reading_is_no_good(tmp_path: Path) -> None:
    data = scan(gpt_data.make(tmp_path / "data", 2))
    (tmp_path / "data" / "000001" / "runs.json").unlink()
    with RunReader(data, SIZES) as reader:
        reader.parameters(data.runs[0])
        with pytest.raises(UnusableRunError, match=r"no longer in runs\.json"):
            reader.parameters(data.runs[1])


def test_a_metric_that_cannot_name_a_folder_is_refused(tmp_path: Path) -> None:
    gpt_data.make(tmp_path / "data", 1, metrics=("../loss",))
    with pytest.raises(UserError, match="cannot name a folder"):
        scan(tmp_path / "data")

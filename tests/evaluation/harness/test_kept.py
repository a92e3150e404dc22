"""Kept results are read where they are as this version writes them, and refused elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import write_npz
from mole_jax.evaluation.harness.kept import read_all
from mole_jax.evaluation.harness.measure import jobs
from mole_jax.evaluation.measures import timing
from tests.evaluation.conftest import Prepared


def test_results_of_another_form_are_refused_like_missing_ones(
    prepared: Prepared, tmp_path: Path
) -> None:
    alone = dataclasses.replace(timing.MEASURE, needs=(), likes=())
    with pytest.raises(UserError, match="is missing"):
        read_all(tmp_path, prepared.context, [alone])
    (job,) = jobs(prepared.context, [alone])
    path = tmp_path / f"{job.name}.npz"
    fields = {
        name: np.array(4.0)
        for name in timing.Timing._fields
        if name not in timing.Timing._field_defaults
    }
    write_npz(path, **fields, of_another_version=np.array(2.0))
    before = path.read_bytes()
    with pytest.raises(UserError, match="is of another format: another version"):
        read_all(tmp_path, prepared.context, [alone])
    assert path.read_bytes() == before
    write_npz(path, **fields)
    assert read_all(tmp_path, prepared.context, [alone]).found[job].batch == 4

"""Every training of the study of media can be built, and is of the size of all others."""

from __future__ import annotations

import functools

import pytest

from benchmarks.representations import cells, one_cell, tables
from benchmarks.representations.cells import EXPERIMENTS, MEDIA, Cell
from mole_jax.learners import registry
from mole_jax.tasks import family as families
from mole_jax.tasks.family import TaskFamily
from tests import tiny

QUICK = ("mlp", "cnn", "cartpole")  # whose tasks are there at once


@functools.cache
def family_of(experiment: str, shared: bool) -> TaskFamily:
    (cell,) = [
        c
        for c in cells.all_of(experiment, 0)
        if c == Cell(experiment, "neuron", True, shared, "edm", 0)
    ]
    return families.build(one_cell._config(cell, cells.changes(cell)))


@pytest.mark.parametrize("experiment", QUICK)
def test_every_cell_can_be_trained(experiment: str) -> None:
    names = set()
    for cell in cells.all_of(experiment, 0):
        config = one_cell._config(cell, cells.changes(cell) | one_cell._steps(cell, 100))
        network = family_of(experiment, cell.shared_start).network
        registry.check(config, network, tiny.mesh_of(1))
        names.add(cell.name)
    assert len(names) == len(list(cells.all_of(experiment, 0)))  # no file of two cells
    assert {cell.medium for cell in cells.all_of(experiment, 0)} == set(MEDIA)


@pytest.mark.parametrize("medium", ["cut", "probes"])
def test_meta_models_are_of_one_size(medium: str) -> None:
    cell = Cell("cartpole", medium, True, False, "edm", 0)
    family, changes = family_of("cartpole", False), cells.changes(cell)
    base = one_cell._config(cell, cells.changes(cell._replace(medium="neuron")))
    wanted = one_cell._size(base, family)
    changes["metamodel.width"] = one_cell.width(cell, changes, family)
    found = one_cell._size(one_cell._config(cell, changes), family)
    assert abs(found / wanted - 1) < 0.15


def test_rows_are_a_table() -> None:
    row = {
        **Cell("mlp", "pca", True, False, "edm", 0)._asdict(),
        "tokens": [2, 64],
        "parameters": 1_000_000,
        "steps": 1200,
        "reconstruction": {"as they are": 0.98, "decoded": 0.5},
        "splits": {"S1": {"mean": 0.9, "r2": None, "rho": 1.0, "z_u": 0.1, "diversity": 1.0}},
        "cost": {"seconds_per_task": 0.002},
    }
    found = tables.of([row])
    assert "principal components, one basis" in found and "50.0 of 98.0" in found
    assert set(EXPERIMENTS) >= set(QUICK)

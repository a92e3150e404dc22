"""Every training of the study of media can be built, and is of the size of all others."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from benchmarks.representations import cells, figure, one_cell, tables
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
    media = {cell.medium for cell in cells.all_of(experiment, 0)}
    assert media == set(EXPERIMENTS[experiment].media)
    assert set(MEDIA) - media <= {"weight"}  # which is for small networks
    asked = [cells.all_of(experiment, 0, [question]) for question in cells.QUESTIONS]
    assert [c for own in asked for c in own] == list(cells.all_of(experiment, 0))


@pytest.mark.parametrize("medium", ["cut", "probes"])
def test_meta_models_are_of_one_size(medium: str) -> None:
    cell = Cell("cartpole", medium, True, False, "edm", 0)
    family, changes = family_of("cartpole", False), cells.changes(cell)
    base = one_cell._config(cell, cells.changes(cell._replace(medium="neuron")))
    wanted = one_cell._size(base, family)
    changes["metamodel.width"] = one_cell.width(cell, changes, family)
    found = one_cell._size(one_cell._config(cell, changes), family)
    assert abs(found / wanted - 1) < 0.15


def row_of(cell: Cell, score: float, size: int = 1125) -> dict[str, Any]:
    own = {"mean": score, "ci95": [score - 0.01, score + 0.01], "adam": 0.98, "r2": None}
    return {
        **cell._asdict(),
        "tokens": [2, 64],
        "parameters": 1_000_000,
        "network_size": size,
        "steps": 1200,
        "reconstruction": {"as they are": 0.98, "decoded": 0.5},
        "splits": {"S1": {**own, "rho": 1.0, "z_u": 0.1, "diversity": 1.0}},
        "cost": {"seconds_per_task": 0.002},
    }


def test_rows_are_a_table() -> None:
    found = tables.of([row_of(Cell("mlp", "pca", True, False, "edm", 0), 0.9)])
    assert "principal components, one basis" in found and "50.0 of 98.0" in found
    assert set(EXPERIMENTS) >= set(QUICK)


def test_the_page_has_means_over_seeds_and_each_switch() -> None:
    units = Cell("mlp", "neuron", True, False, "edm", 0)
    rows = [row_of(units._replace(seed=seed), 0.9 + 0.02 * seed) for seed in (0, 1)]
    rows += [
        row_of(units._replace(follows=False), 0.7),
        row_of(units._replace(parametrisation="v"), 0.6),
        row_of(units._replace(shared_start=True), 0.8),
    ]
    found = tables.pages(rows)
    assert "| units | 2 x 64 | 50.0 | 91.0 / 70.0 |" in found
    assert "| v | 60.0 |" in found and "| units | 80.0 / 91.0 |" in found


def test_the_figure_has_a_dot_for_each_training() -> None:
    units = Cell("mlp", "neuron", True, False, "edm", 0)
    rows = [row_of(units, 0.9), row_of(units._replace(follows=False), 0.7)]
    rows.append(row_of(units._replace(parametrisation="v"), 0.6))  # is of another table
    wide = [row_of(units._replace(experiment=f"mlp-{h}"), 0.9, 70 * h + 5) for h in (64, 256)]
    drawn = figure.draw([*rows, *wide])
    media, growth = (part.axes for part in drawn.subfigs)
    dots = [line for line in media[0].lines if line.get_marker() == "o"]
    assert sorted(float(line.get_xdata()[0]) for line in dots) == [70.0, 90.0]
    assert list(growth[0].lines[0].get_xdata()) == [4485, 17925]

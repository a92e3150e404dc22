"""How many members train at once is measured, kept, and has no effect."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import pytest

from mole_jax.population import autotune
from mole_jax.tasks.images import ImageFamily


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return autotune.cache_file()


@pytest.mark.parametrize(
    ("most", "expected"),
    [(1, [1]), (2, [2, 1]), (8, [8, 1]), (100, [8, 64, 100, 1]), (512, [8, 64, 512, 1])],
)
def test_candidates_grow_to_all(most: int, expected: list[int]) -> None:
    assert autotune.candidates(most) == expected


def test_lanes_share_what_there_is(population: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autotune.engine, "cpu_threads", lambda mesh: 2)
    monkeypatch.setattr(
        autotune, "measure", lambda network, recipe, data, at_once, members: at_once
    )
    found = choose(population, 3)
    assert (found.at_once, found.cpu_threads) == (3, 2)
    assert "3 members at once in each of 2 threads" in str(found)


def choose(population: Any, groups: int, runs: int = 10**9) -> autotune.Tuned:
    family: ImageFamily = population.family
    return autotune.choose(family.network, population.recipe, family.device_data, groups, 2, runs)


@pytest.mark.parametrize(
    ("rates", "runs", "expected", "tried"),
    [
        ({8: 10.0, 64: 30.0, 512: 20.0}, 10**9, 64, [8, 64, 512]),  # a larger one is much slower
        ({8: 30.0, 64: 20.0, 1: 40.0}, 10**9, 1, [8, 64, 1]),  # and a smaller one may be better
        ({8: 10.0, 64: 9.0, 512: 8.5, 1000: 11.0}, 10**9, 1000, [8, 64, 512, 1000]),
        ({8: 10.0}, 0, 8, [8]),  # little to train: what follows would take longer than it saves
    ],
)
def test_the_fastest_is_chosen(
    population: Any,
    rates: dict[int, float],
    runs: int,
    expected: int,
    tried: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def measure(network: Any, recipe: Any, data: Any, at_once: int, members: int) -> float:
        asked.append(at_once)
        return rates[at_once]

    monkeypatch.setattr(autotune, "measure", measure)
    assert choose(population, 500, runs).at_once == expected
    assert asked == tried


def test_a_measurement_is_kept(
    population: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autotune, "SECONDS", 0.01)
    first = choose(population, 2)
    assert set(first.rates) <= {4, 1}
    assert all(rate > 0 for rate in first.rates.values())
    (kept,) = json.loads(cache.read_text()).values()
    assert {int(at_once): rate for at_once, rate in kept.items()} == first.rates
    monkeypatch.setattr(autotune, "measure", None)  # nothing is measured again
    assert choose(population, 2) == first
    for other in ((3, 10**9), (2, 10)):  # other sizes are other questions
        with pytest.raises(TypeError):
            choose(population, *other)


def test_a_damaged_cache_is_measured_anew(
    population: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.parent.mkdir()
    cache.write_text("{")
    monkeypatch.setattr(autotune, "measure", lambda *_: 1.0)
    assert choose(population, 1).at_once == 2
    assert len(json.loads(cache.read_text())) == 1


def test_a_cache_that_cannot_be_written_is_said(
    population: Any, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    cache.parent.write_text("a file where the folder should be")
    monkeypatch.setattr(autotune, "measure", lambda *_: 1.0)
    assert choose(population, 1).at_once == 2
    assert "cannot be written" in capsys.readouterr().err


def test_measuring_counts_steps_of_one_device(population: Any) -> None:
    family: ImageFamily = population.family
    rate = autotune.measure(family.network, population.recipe, family.device_data, 3, 2)
    assert rate > 0
    assert jax.device_count() > 1

"""Settings that differ, by dotted key; what a run lacks is absent."""

from __future__ import annotations

from mole_jax.core import compat
from mole_jax.report.comparison.settings import ABSENT, THERE, Setting, differences, in_short


def test_only_what_differs_is_found_under_its_dotted_name() -> None:
    first = {"seed": 0, "population": {"members": 8, "steps": 400, "rates": (0.1, 0.2)}}
    second = {"seed": 0, "population": {"members": 16, "steps": 400, "rates": [0.1, 0.2]}}
    found = differences([first, second, first])
    assert found.changed == [Setting("population.members", ("8", "16", "8"))]
    assert not found.lacking and not found.older


def test_equal_configs_do_not_differ() -> None:
    config = {"seed": 0, "a": {"b": {"c": [1, [2]]}}}
    assert differences([config, config]) == ([], [], [])


def test_numbers_are_compared_and_not_their_spelling() -> None:
    assert differences([{"rate": 0}, {"rate": 0.0}]).changed == []


def test_what_one_lacks_is_absent() -> None:
    found = differences([{"seed": 0}, {"seed": 0, "data": {"source": "digits", "name": ""}}])
    assert found.lacking == [
        Setting("data.source", (ABSENT, "digits"), "data"),
        Setting("data.name", (ABSENT, '""'), "data"),
    ]
    assert not found.changed


def test_a_key_of_a_later_version_says_nothing_new_at_what_held_before() -> None:
    before = compat.DEFAULTS["metamodel.step_scale"]
    found = differences([{"metamodel": {}}, {"metamodel": {"step_scale": before}}])
    assert found.older == ["metamodel.step_scale"]
    found = differences([{"metamodel": {}}, {"metamodel": {"step_scale": before + 1}}])
    assert not found.older
    assert [s.key for s in found.lacking] == ["metamodel.step_scale"]


def test_a_section_that_runs_lack_is_one_line() -> None:
    learners = {"learners": {"maml": {"steps": 0, "rate": 0.1}, "l2l": {"steps": 0}}}
    found = differences([{"seed": 0}, {"seed": 0, **learners}]).lacking
    assert in_short(found) == [Setting("learners.* (3 keys)", (ABSENT, THERE))]


def test_keys_of_a_section_that_a_run_has_are_all_shown() -> None:
    first = {"network": {"name": "mlp"}}
    second = {"network": {"name": "mlp", "a": 1, "b": 2, "c": 3}}
    found = differences([first, second]).lacking
    assert in_short(found) == found and len(found) == 3


def test_a_section_in_one_line_hides_no_difference() -> None:
    """Of those that have it, some may have other values: these keys are shown."""
    runs = [{"x": {"a": 1, "b": 2, "c": 3, "steps": n}} for n in (0, 5)]
    keys = [s.key for s in in_short(differences([{}, *runs]).lacking)]
    assert keys == ["x.* (3 keys)", "x.steps"]

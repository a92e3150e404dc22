"""Configs that were stored before a key came or got another name."""

from __future__ import annotations

from mole_jax import experiment
from mole_jax.core import compat
from mole_jax.core.program import config as configs


def test_stored_configs_get_todays_names_and_keep_all_values() -> None:
    stored = {
        "seed": 0,
        "zoo": {"dtype": "float32", "reading": "auto", "live": False},
        "metamodel": {"descents": 4, "gpt": {"descents": 1}},
        "descents": {},
    }
    assert compat.renamed(stored) == {
        "seed": 0,
        "zoo": {"dtype": "float32", "placement": "auto", "live": False},
        "metamodel": {"inner_steps": 4, "gpt": {"descents": 1}},
        "descents": {},
    }
    assert list(compat.renamed(stored)["zoo"]) == ["dtype", "placement", "live"]
    assert stored["metamodel"]["descents"] == 4


def test_stored_configs_with_todays_names_stay_as_they_are() -> None:
    stored = experiment.defaults().to_dict()
    assert compat.renamed(stored) == stored


def test_keys_are_renamed_within_their_section_to_keys_that_exist() -> None:
    known = configs.flatten(experiment.defaults())
    for old, new in compat.RENAMED.items():
        assert old.partition(".")[0] == new.partition(".")[0]
        assert new in known
        assert old not in known

"""A zoo says which images it was made from, and is not continued with others."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import family as families
from mole_jax.zoo.making.generation import make_schema
from mole_jax.zoo.rebuild import rebuild
from tests import tiny


def test_images_are_those_that_the_zoo_was_made_from() -> None:
    config = tiny.tiny_config()
    schema = make_schema(config, families.build(config))
    known = schema.provenance

    def rebuilt(provenance: dict[str, Any]) -> None:
        other = dataclasses.replace(schema, provenance=provenance)
        rebuild(config, SimpleNamespace(path="runs/zoo", schema=other))  # type: ignore[arg-type]

    rebuilt(known)
    rebuilt({key: value for key, value in known.items() if key != "images_sha256"})  # older ones
    with pytest.raises(UserError, match=r"runs/zoo was made from other images than .*'digits'"):
        rebuilt(known | {"images_sha256": "0" * 64})


def test_an_older_zoo_whose_s2_has_known_classes_is_refused_with_the_key_that_makes_such() -> None:
    now = {"data__held_out_classes": 3, "data__unseen_class_subsets": 1}
    config = tiny.tiny_config(**now)
    schema = make_schema(config, families.build(config))
    rebuild(config, SimpleNamespace(path="z", schema=schema))  # type: ignore[arg-type]
    any_ = tiny.tiny_config(**now, data__unseen_class_rule="any")
    schema = make_schema(any_, families.build(any_))
    older = tuple(
        dataclasses.replace(task, split=task.split.replace("S2any", "S2")) for task in schema.tasks
    )
    schema = dataclasses.replace(schema, tasks=older)
    with pytest.raises(UserError, match=r"data\.unseen_class_rule='any'"):
        rebuild(config, SimpleNamespace(path="z", schema=schema))  # type: ignore[arg-type]

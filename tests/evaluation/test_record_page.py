"""What evaluate writes is what mole_jax/report/evaluation.schema.json says."""

from __future__ import annotations

import copy

import pytest

from mole_jax.report import evaluation_file
from tests.evaluation.conftest import Evaluated


def faults(record: object) -> list[str]:
    return [f"{fault.json_path}: {fault.message}" for fault in evaluation_file.faults(record)]


def test_every_key_of_a_record_is_described(evaluated: Evaluated) -> None:
    found = faults(evaluated.json())
    assert not found, "describe it in report/evaluation.schema.json, and run " + (
        "python -m mole_jax.reference --write: " + "; ".join(found[:5])
    )


@pytest.mark.parametrize("split", ["S0", "S1"])
def test_every_key_that_is_described_is_of_some_record(evaluated: Evaluated, split: str) -> None:
    """But for those that the tiny experiment has no cause for."""
    described = evaluation_file.schema()["$defs"]["split"]["properties"]
    of_main = {name for name, part in described.items() if "main split" in part.get("x-when", "")}
    absent = set(described) - set(evaluated.json()["splits"][split])
    assert absent == {"return_by_support_size"} | (of_main if split == "S0" else set())


def test_a_key_that_is_not_described_is_found(evaluated: Evaluated) -> None:
    record = evaluated.json()
    for change in ("splits.S1.generated", "splits.S0.cost.adam", "choices", "seconds"):
        other = copy.deepcopy(record)
        node = other
        for name in change.split("."):
            node = node[name]
        node["new"] = 1
        (fault,) = faults(other)
        assert fault.startswith(f"$.{change}: ") and "'new'" in fault
    del record["splits"]["S1"]["generated"]["mean"]
    assert faults(record) == ["$.splits.S1.generated: 'mean' is a required property"]

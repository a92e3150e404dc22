"""The pages of docs/reference are what the code says."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mole_jax import experiment, reference, reference_config, reference_evaluation
from mole_jax.core.program import config as configs
from mole_jax.core.program import sections
from mole_jax.evaluation.harness.measure import nothing
from mole_jax.evaluation.selection import MEASURES
from tests import json_schema

RENEW = "python -m mole_jax.reference --write"
SCHEMA = json.loads((reference.FOLDER / reference_evaluation.SCHEMA).read_text(encoding="utf-8"))
TITLED = [SCHEMA, *(part for part in SCHEMA["$defs"].values() if "title" in part)]


def rows() -> Iterator[reference_evaluation.Row]:
    for part in TITLED:
        yield from reference_evaluation.rows(part, SCHEMA)


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_is_what_the_code_says(name: str) -> None:
    kept = reference.file_of(name).read_text(encoding="utf-8")
    assert kept == reference.made(name), f"docs/reference/{name}.md is old: run {RENEW}"


def every_dataclass() -> Iterator[tuple[str, type]]:
    for name, section in experiment.SECTIONS.items():
        tagged = isinstance(section, sections.Tagged)
        for kind in section.choices.values() if tagged else [section]:
            yield name, kind


def spelled_out(name: str) -> list[str]:
    """The keys that "a.{b,c}.d" stands for."""
    parts = [part.strip("{}").split(",") for part in re.split(r"\.(?![^{]*})", name)]
    return [".".join(key) for key in itertools.product(*parts)]


@pytest.mark.parametrize(("name", "kind"), [*every_dataclass()])
def test_every_key_of_every_choice_has_a_row_with_its_default_and_a_meaning(
    name: str, kind: type
) -> None:
    found = {}
    for key in reference_config.keys(kind, f"{name}."):
        assert len(key.meaning) > 3, f"{key.name} has no comment where {kind.__name__} has it"
        if key.type != "section":
            found |= {own: eval(key.default) for own in spelled_out(key.name)}
    assert found == configs.flatten({name: sections.defaults(kind)})


@pytest.mark.parametrize(("name", "kind"), [*every_dataclass()])
def test_every_section_says_in_a_sentence_what_it_is_about(name: str, kind: type) -> None:
    kept = reference.file_of("config").read_text(encoding="utf-8")
    sentence = (kind.__doc__ or "").partition("\n")[0]
    assert len(sentence) > 30 and f"\n{sentence}\n" in kept.split(f"\n## {name}\n")[1]


def test_words_in_braces_are_spelled_out() -> None:
    assert spelled_out("a.{b,c}.d") == ["a.b.d", "a.c.d"] and spelled_out("a.b") == ["a.b"]


def test_every_key_of_the_record_is_described() -> None:
    for row in rows():
        assert row.meaning, row
        measured = row.type.startswith("number")
        assert row.unit or not measured, f"{row.key} has no unit"


def test_what_is_not_always_there_says_when_it_is() -> None:
    for row in rows():
        last = row.key.rpartition(".")[2]
        assert row.there or last == last.upper() or row.key == "splits.SPLIT", row


def test_measures_with_a_record_are_those_that_keys_name() -> None:
    found = [part.get("x-measure") for part in json_schema.parts(SCHEMA)]
    recording = {name for name, measure in MEASURES.items() if measure.record is not nothing}
    assert set(found) - {None} == recording


def test_the_schema_has_no_keyword_that_tests_leave_unchecked() -> None:
    assert json_schema.strangers(SCHEMA) == set()
    assert json_schema.strangers({"properties": {"a": {"minimum": 0}}}) == {"minimum"}


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({"a": 1}, None),
        ({"a": None, "B1": [0.5]}, None),
        ({}, ": lacks a"),
        ({"a": 1, "c": 0}, ": has c"),
        ({"a": "1"}, ".a: '1' is not ['integer', 'null']"),
        ({"a": True}, ".a: True is not ['integer', 'null']"),
        ({"a": 1.5}, ".a: 1.5 is not ['integer', 'null']"),
        ({"a": 1, "B1": []}, ".B1: has 0 items"),
        ({"a": 1, "B1": ["x"]}, ".B1[0]: 'x' is not number"),
    ],
)
def test_faults_are_found(value: Any, fault: str | None) -> None:
    schema = {
        "type": "object",
        "required": ["a"],
        "additionalProperties": False,
        "properties": {"a": {"type": ["integer", "null"]}},
        "patternProperties": {"^B[0-9]$": {"$ref": "#/$defs/b"}},
        "$defs": {"b": {"type": "array", "minItems": 1, "items": {"type": "number"}}},
    }
    assert json_schema.faults(value, schema, schema) == ([] if fault is None else [fault])


def test_the_command_prints_pages_and_renews_those_that_are_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in reference.FOLDER.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main(["config"]) == 0
    assert capsys.readouterr().out == (tmp_path / "config.md").read_text(encoding="utf-8")
    (tmp_path / "config.md").write_text("old")
    page = tmp_path / "evaluation_json.md"
    page.write_text(page.read_text(encoding="utf-8").replace("| `seconds.zoo` |", "| gone |"))
    assert reference.main(["--write"]) == 0
    assert capsys.readouterr().out.count("wrote ") == 2
    for name in reference.PAGES:
        assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == reference.made(name)
    assert reference.main(["--write"]) == 0 and capsys.readouterr().out == ""


def test_what_cannot_be_made_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reference.main(["configs"]) == 2
    assert "page 'configs' is unknown: choose among config" in capsys.readouterr().err
    monkeypatch.setattr(reference, "FOLDER", tmp_path)
    assert reference.main(["evaluation_json"]) == 2
    assert "the page lacks the line <!-- Keys" in capsys.readouterr().err
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "none")
    assert reference.main([]) == 2 and "in a checkout" in capsys.readouterr().err

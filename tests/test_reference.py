"""The pages of docs/reference are what the code says."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from mole_jax import experiment, reference, reference_config, reference_evaluation
from mole_jax.core.program import config as configs
from mole_jax.core.program import sections
from mole_jax.evaluation.harness.measure import nothing
from mole_jax.evaluation.selection import MEASURES
from mole_jax.report import evaluation_file

RENEW = "python -m mole_jax.reference --write"
SCHEMA = evaluation_file.schema()
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


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema and all that is in it."""
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from parts(part)


def test_measures_with_a_record_are_those_that_keys_name() -> None:
    found = [part.get("x-measure") for part in parts(SCHEMA)]
    recording = {name for name, measure in MEASURES.items() if measure.record is not nothing}
    assert set(found) - {None} == recording


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


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

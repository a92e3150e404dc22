"""Tables of README and docs are what their JSON says, and each has a record that is there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import page_tables, record
from mole_jax.core.errors import UserError


def test_no_page_has_a_table_that_its_json_does_not_give() -> None:
    for path in page_tables.pages():
        text = path.read_text()
        assert page_tables.renewed(text) == text, (
            f"{path.name} differs from its JSON: run python -m benchmarks.page_tables"
        )


def test_a_table_is_made_again_and_what_stands_around_it_stays() -> None:
    page = "before\n<!-- table: shipped -->\nold\n<!-- end of table -->\nafter\n"
    found = page_tables.renewed(page)
    assert found.startswith("before\n<!-- table: shipped -->\n| images |")
    assert found.endswith("|\n<!-- end of table -->\nafter\n") and "old" not in found
    assert page_tables.renewed(found) == found
    with pytest.raises(UserError, match="no table 'ships': choose among headline, "):
        page_tables.renewed(page.replace("shipped", "ships"))


@pytest.mark.parametrize("name", page_tables.TABLES)
def test_every_table_has_rows_as_wide_as_its_head(name: str) -> None:
    head, _, *rows = page_tables.TABLES[name]().splitlines()
    assert rows and {row.count("|") for row in rows} == {head.count("|")}


def test_a_record_is_what_the_evaluation_says(tmp_path: Path) -> None:
    split = {"n_tasks": 3, "generated": {"mean": 0.9}, "achieved_by_prompt": {"1": {}}}
    config = {"seed": 5, "training": {"steps": 7, "regression_steps": 0}}
    evaluation = {"config": config, "seconds": {"zoo": 1.0}, "splits": {"S1": split}}
    (tmp_path / "report").mkdir()
    (tmp_path / "evaluate").mkdir()
    with pytest.raises(UserError, match="run the stages evaluate and report first"):
        record.record(tmp_path, "")
    (tmp_path / "report" / "evaluation.json").write_text(json.dumps(evaluation))
    (tmp_path / "evaluate" / "stage.json").write_text(json.dumps({"environment": {"mole": "1"}}))
    found = record.record(tmp_path, "--config=a.py")
    assert found["command"] == "python -m mole_jax.main --config=a.py" and found["seed"] == 5
    assert found["steps"] == {"steps": 7} and found["environment"] == {"mole": "1"}
    assert found["splits"] == {"S1": {"n_tasks": 3, "generated": {"mean": 0.9}}}


def test_every_record_names_a_config_that_is_there() -> None:
    for path in record.FOLDER.glob("*.json"):
        command = json.loads(path.read_text())["command"]
        config = command.split("--config=")[1].split()[0].partition(":")[0]
        assert (page_tables.ROOT / config).exists(), path.name


def test_headers_of_configs_say_what_the_records_say() -> None:
    """A config opens with its commands; below each that is on record are MOLE's and Adam's."""
    checked = set()
    for path in record.FOLDER.glob("*.json"):
        found = json.loads(path.read_text())
        command = found["command"]
        config = command.split("--config=")[1]
        if " " in config or "S1" not in found["splits"]:
            continue  # of a variation that no header has
        text = (page_tables.ROOT / config.partition(":")[0]).read_text().split('"""')[1]
        below = text.split(f"{command} ")[1].partition("python -m")[0]
        for method in ("generated", "adam"):
            score = f"{100 * found['splits']['S1'][method]['mean']:.1f}"
            if "S4" in "".join(found["splits"]):  # its header is about these splits
                own = [x[method]["mean"] for k, x in found["splits"].items() if k[:2] == "S4"]
                score = f"{100 * min(own):.1f} to {100 * max(own):.1f}"
            assert score in below, f"{config}: {method} {score}"
        checked.add(config)
    assert len(checked) >= 6

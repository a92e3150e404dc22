"""Every measure goes through the same checks, and a config selects some of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json
from mole_jax.evaluation import evaluate as evaluation
from mole_jax.evaluation import selection
from mole_jax.evaluation.evaluate import evaluate
from mole_jax.evaluation.harness import kept
from mole_jax.evaluation.harness.measure import Results, jobs, with_needs
from mole_jax.evaluation.selection import MEASURES
from mole_jax.report.build import build
from mole_jax.report.figures import FIGURES
from tests import tiny
from tests.evaluation.conftest import SETTINGS, Evaluated


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure(name: str, evaluated: Evaluated, tmp_path: Path) -> None:
    measure, stored, context = MEASURES[name], evaluated.results(), evaluated.context
    # It needs what it says and nothing else; `quality` compares the baselines that happen to run.
    needed = {need.name for need in (*measure.needs, *measure.likes)}
    rivals = {baseline.measure.name for baseline in selection.BASELINES}
    assert evaluated.used[name] - (rivals if name == "quality" else set()) <= needed
    assert list(MEASURES).index(name) > max(map(list(MEASURES).index, needed), default=-1)
    assert measure.where != "choice" or not needed

    alone = Results(context)
    for job in jobs(context, with_needs([measure])):
        alone.found[job] = stored.found[job]
    for job in jobs(context, [measure]):
        found = stored.found[job]
        kept.write(tmp_path / "again.npz", found)
        again = kept.read(tmp_path / "again.npz", measure.result)
        for one, other in zip(found, again, strict=True):
            np.testing.assert_array_equal(one, other)
        seen = job.seen_from(context)
        json.dumps(measure.record(seen, job.split, alone), allow_nan=False)
        drawn = measure.arrays(seen, job.split, alone)
        assert all(isinstance(x, np.ndarray | np.generic) for x in drawn.values())


def test_no_two_measures_record_or_draw_under_one_name(evaluated: Evaluated) -> None:
    stored, context = evaluated.results(), evaluated.context
    of_split = [job for job in stored.found if job.split == context.main_split and not job.learner]
    for function in ("record", "arrays"):
        names = [
            key
            for job in of_split
            for key in getattr(job.measure, function)(context, job.split, stored)
        ]
        assert sorted(names) == sorted(set(names))


def test_all_that_figures_need_is_recorded(evaluated: Evaluated) -> None:
    stored, context = evaluated.results(), evaluated.context
    _, splits = evaluation.records(stored)
    there = {*evaluation.arrays(stored), *splits[context.main_split]}
    for name, figure in FIGURES.items():
        assert set(figure.needs) <= there, name


def test_a_config_selects_measures_and_the_report_says_what_is_missing(
    evaluated: Evaluated,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = tiny.tiny_config(**SETTINGS, evaluation__measures=("retrieval", "conditions"))
    monkeypatch.setattr(evaluation, "load_context", lambda *_: evaluated.context)
    results = tmp_path / "evaluate" / "results"
    results.mkdir(parents=True)
    for path in (evaluated.workdir / "evaluate" / "results").iterdir():
        if not path.name.startswith("quality."):  # which depends on what else has run
            (results / path.name).symlink_to(path)
    evaluate(config, tmp_path)
    said = "retrieval, fixed_prompt, adaptation, generated, adam_rate, adam, quality, conditions"
    assert f"evaluate: measures {said}\n" in capsys.readouterr().out
    record = read_json(tmp_path / "report" / "evaluation.json")["splits"]["S1"]
    before = evaluated.json()["splits"]["S1"]
    assert {key: before[key] for key in record if key != "baselines"} == {
        key: value for key, value in record.items() if key != "baselines"
    }
    assert set(record["baselines"]) == {"retrieval", "regression", "maml"}
    assert "condition_use_gap" in record and "novelty" not in record
    build(config, tmp_path)
    page = (tmp_path / "report" / "index.html").read_text()
    drawn = {path.stem for path in (tmp_path / "report" / "figures").glob("*.svg")}
    assert drawn == {"methods", "per_task", "conditions", "adam_curve"}
    assert "How much training does one pass replace?" in page


def test_an_unknown_measure_is_refused_with_the_nearest_name() -> None:
    config = tiny.tiny_config(**SETTINGS, evaluation__measures=("novelity",))
    with pytest.raises(UserError, match=r"evaluation\.measures.*did you mean novelty\?"):
        selection.selected(config)


def test_a_config_of_before_selects_all() -> None:
    config = tiny.tiny_config(**SETTINGS).to_dict()
    del config["evaluation"]["measures"]
    assert selection.selected(config) == list(MEASURES.values())

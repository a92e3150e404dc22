"""The evaluate stage as a whole: complete, resumable, and blind to the test pool when choosing."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json, write_npz
from mole_jax.evaluation import evaluate as evaluation
from mole_jax.evaluation.evaluate import evaluate
from mole_jax.evaluation.harness.context import EvalContext, load_context
from mole_jax.evaluation.harness.kept import kept
from mole_jax.evaluation.harness.measure import Job, Measure, Results, jobs
from mole_jax.evaluation.measures import polishing, timing
from mole_jax.evaluation.selection import MEASURES
from mole_jax.report.build import build
from mole_jax.report.figures import FIGURES
from tests import tiny
from tests.evaluation.conftest import SETTINGS, Evaluated
from tests.report import synthetic

# Measured times differ from run to run; nothing else may.
TIMES = ("seconds", "cost", "learner_costs", "targets")


def timeless(record: Any) -> Any:
    if isinstance(record, Mapping):
        return {key: timeless(value) for key, value in record.items() if key not in TIMES}
    return record


def test_the_record_has_every_key_that_the_report_knows(evaluated: Evaluated) -> None:
    record, known = evaluated.json(), synthetic.evaluation()
    assert set(known) <= set(record)
    assert set(record["splits"]) == {"S0", "S1"}
    for split, result in record["splits"].items():
        for key, value in known["splits"]["S1"].items():
            assert key in result, key
            # In the tiny experiment hardly a prompt asks for better than guessing: it is null.
            if isinstance(value, dict) and key not in (
                "achieved_by_prompt",
                "alignment_to_guessing",
            ):
                of_main = {"adam_support"} if key == "cost" and split != "S1" else set()
                assert set(value) - of_main <= set(result[key]), key
        assert set(synthetic.quality(0.9)) <= set(result["generated"])
        for baseline in result["baselines"].values():
            assert set(result["generated"]) | {"gain_mean", "gain_ci95"} == set(baseline)
            gain = result["generated"]["mean"] - baseline["mean"]
            assert baseline["gain_mean"] == pytest.approx(gain, abs=1e-6)
    assert all(set(t) == {"name", "value", "target", "met"} for t in record["targets"])
    main = record["splits"]["S1"]
    assert {"calibration", "ensembles", "fine_tuning", "accuracy_by_support_size"} <= set(main)
    assert record["seconds"]["zoo"] > 0 and record["seconds"]["evaluate"] > 0


def test_numbers_are_what_their_names_say(evaluated: Evaluated) -> None:
    for split, result in evaluated.json()["splits"].items():
        n_tasks, n_starts = evaluated.context.splits[split].shape
        assert (result["n_tasks"], result["n_networks"]) == (n_tasks, n_tasks * n_starts)
        for quality in (result["generated"], result["adam"], *result["baselines"].values()):
            low, high = quality["ci95"]
            assert 0 <= low <= quality["mean"] + 1e-6 and quality["mean"] - 1e-6 <= high <= 1
        gap = result["adam"]["mean"] - result["generated"]["mean"]
        assert result["regret_mean"] == pytest.approx(gap, abs=1e-6)
        assert 0 < result["cost"]["seconds_per_network"] < 60
        polished = [polishing.name(n) for n in polishing.polished(evaluated.context)]
        assert list(result["learner_costs"]) == [*evaluated.context.learners, *polished]
        for own in result["learner_costs"].values():
            assert 0 < own["seconds_per_task"] < 60 and own["flops_per_task"] > 1e3
            assert own["meta_training_seconds"] is None  # these were not trained


def test_mistakes_are_compared_only_where_the_subset_was_trained_on(evaluated: Evaluated) -> None:
    splits = evaluated.json()["splits"]
    assert splits["S1"]["novelty"]["iou_mean"] is None
    for key in ("iou_mean", "iou_expected", "iou_held_out"):
        assert 0 <= splits["S0"]["novelty"][key] <= 1


def test_networks_of_a_task_are_compared_with_one_another(evaluated: Evaluated) -> None:
    splits = evaluated.json()["splits"]
    assert splits["S0"]["novelty"]["diversity"] is None  # one of each task
    assert splits["S1"]["novelty"]["diversity"] > 0


def test_every_figure_finds_its_arrays_and_the_report_builds(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    workdir = tmp_path / "copy"
    for name in ("report", "evaluate"):
        shutil.copytree(evaluated.workdir / name, workdir / name)
    with np.load(workdir / "evaluate" / "figures.npz", allow_pickle=False) as arrays:
        assert set(synthetic.arrays()) <= set(arrays.files)
        for name, array in synthetic.arrays().items():
            assert arrays[name].ndim == array.ndim, name
    build(evaluated.config, workdir)
    page = (workdir / "report" / "index.html").read_text()
    assert "Not drawn" not in page
    drawn = {path.stem for path in (workdir / "report" / "figures").glob("*.svg")}
    assert drawn == {
        name if not spec.every_split else f"{name}_{split}"
        for name, spec in FIGURES.items()
        for split in ("S0", "S1")
    }


def test_interrupted_and_resumed_gives_the_same_numbers(
    evaluated: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = tmp_path / "copy"
    shutil.copytree(evaluated.workdir, workdir)
    monkeypatch.setattr(evaluation, "load_context", lambda *_: evaluated.context)
    (workdir / "report" / "evaluation.json").unlink()
    lost = ("fixed_prompt.diffusion.choice", "soup.S1", "conditions.S0", "calibration.S1")
    for name in (*lost, "trajectories.S1"):
        (workdir / "evaluate" / "results" / f"{name}.npz").unlink()
    evaluate(evaluated.config, workdir)
    again = read_json(workdir / "report" / "evaluation.json")
    assert json.dumps(timeless(again)) == json.dumps(timeless(evaluated.json()))
    for name in ("figures.npz", *(f"results/{name}.npz" for name in lost)):
        with (
            np.load(evaluated.workdir / "evaluate" / name) as before,
            np.load(workdir / "evaluate" / name) as after,
        ):
            for key in before.files:
                np.testing.assert_array_equal(before[key], after[key], err_msg=f"{name} {key}")


@pytest.mark.parametrize("left_out", ["S0", "S1", "regression"])
def test_a_split_or_the_regression_model_may_be_missing(
    evaluated: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_out: str
) -> None:
    context = dataclasses.replace(
        evaluated.context,
        splits={k: v for k, v in evaluated.context.splits.items() if k != left_out},
        learners={k: v for k, v in evaluated.context.learners.items() if k != left_out},
    )
    monkeypatch.setattr(evaluation, "load_context", lambda *_: context)
    evaluate(evaluated.config, tmp_path)
    record = read_json(tmp_path / "report" / "evaluation.json")
    assert set(record["splits"]) == {"S0", "S1"} - {left_out}
    for result in record["splits"].values():
        assert ("regression" in result["baselines"]) == (left_out != "regression")
    assert "calibration" in record["splits"][context.main_split]
    assert bool(record["targets"]) == (left_out != "S1")
    if left_out == "S1":  # the report then has another main split
        build(evaluated.config, tmp_path)


class Some(NamedTuple):
    numbers: np.ndarray
    number: np.ndarray
    words: np.ndarray
    absent: np.ndarray | None = None


def test_a_result_is_computed_once_and_read_back_as_it_was(
    evaluated: Evaluated, tmp_path: Path
) -> None:
    calls = []

    def compute(context: EvalContext, split: str, results: Results) -> Some:
        calls.append(split)
        return Some(np.arange(3), np.array(0.5), np.array(["x", "yy"]))

    job = Job(Measure("some", Some, compute), "S1", "")
    results = Results(evaluated.context)
    for _ in range(2):
        found = kept(tmp_path, job, evaluated.context, results)
    assert calls == ["S1"] and isinstance(found, Some)
    np.testing.assert_array_equal(found.numbers, [0, 1, 2])
    assert found.number == 0.5 and list(found.words) == ["x", "yy"] and found.absent is None

    # What other code has left under the same name is not taken for it.
    write_npz(tmp_path / "some.S1.npz", numbers=[7], other=[8])
    assert list(kept(tmp_path, job, evaluated.context, results).numbers) == [0, 1, 2]
    (tmp_path / "some.S1.npz").write_bytes(b"not an archive")
    with pytest.raises(UserError, match=r"some\.S1\.npz is damaged"):
        kept(tmp_path, job, evaluated.context, results)


def test_no_choice_depends_on_the_test_pool(evaluated: Evaluated, tmp_path: Path) -> None:
    """With the classes of the test pool mixed up, every choice and every network stays."""
    context = evaluated.context
    data = context.family.device_data
    indices, counts = data.tables["test"]
    order = np.roll(np.arange(len(counts)), 1)
    wrong = dataclasses.replace(
        data, tables={**data.tables, "test": (indices[order], counts[order])}
    )
    family = dataclasses.replace(context.family)
    family.__dict__["device_data"] = wrong
    blind = dataclasses.replace(context, family=family)

    stored, results = evaluated.results(), Results(blind)
    others = ("generated.diffusion.S1", "neighbours.S1", "adam.S1", "retrieval.S1", "soup.S1")
    for job in jobs(blind, list(MEASURES.values())):
        if job.split != "choice" and job.name not in (*others, "noise.S1"):
            continue
        results.found[job] = kept(tmp_path, job, blind, results)
        for key, value in results.found[job]._asdict().items():
            before = getattr(stored.found[job], key)
            if "test" in key:
                assert not np.array_equal(value, before), f"{job.name} {key}"
            elif "seconds" not in key:
                np.testing.assert_array_equal(value, before, err_msg=f"{job.name} {key}")
    assert evaluation.records(results)[0] == evaluated.json()["choices"]


def test_cases_for_choices_are_of_training_subsets(evaluated: Evaluated) -> None:
    context = evaluated.context
    split = {i: s.split for i, s in enumerate(context.family.subsets)}
    assert {split[i] for i in context.choice.tasks} == {"train"}
    assert {split[i] for i in context.splits["S0"].tasks} == {"train"}
    assert {split[i] for i in context.splits["S1"].tasks} == {"S1"}


def test_the_time_paid_back() -> None:
    assert math.isclose(timing.paid_back(0.03, 0.01, {"zoo": 4.0, "train": 6.0}) or 0, 500)
    assert timing.paid_back(0.03, 0.01, {"zoo": 4.0, "train": None}) is None
    assert timing.paid_back(0.01, 0.01, {"zoo": 4.0, "train": 6.0}) is None
    assert timing.paid_back(None, 0.01, {"zoo": 4.0, "train": 6.0}) is None


def test_what_adam_takes_to_a_network_as_good(evaluated: Evaluated) -> None:
    cost = evaluated.json()["splits"]["S1"]["cost"]
    assert cost["flops_per_network"] > 0 and cost["seconds_alone"] > 0
    for name in ("adam", "adam_support"):
        own = cost[name]
        assert own["seconds_per_step"] > 0
        if own["steps"] is None:
            assert own["share_that_never_gets_there"] >= 0.5
            assert own["flops"] is own["seconds_per_network"] is own["seconds_alone"] is None
        else:
            assert own["seconds_per_network"] == own["steps"] * own["seconds_per_step"]
            assert own["flops"] >= 0
    assert set(cost["tasks_until_paid_back"]) == {"adam", "adam_support"}


def test_without_a_zoo_or_a_model_the_error_says_so(tmp_path: Path, evaluated: Evaluated) -> None:
    with pytest.raises(UserError, match="zoo"):
        load_context(evaluated.config, tmp_path)
    shutil.copytree(evaluated.workdir / "zoo", tmp_path / "zoo")
    with pytest.raises(UserError, match="train"):
        load_context(evaluated.config, tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("starts", 0),
        ("starts", 4),
        ("prompt_count", 1),
        ("prompt", "worst"),
        ("candidates", ()),
        ("candidates", (0.1, 0.0)),
        ("outside_prompts", (1.5,)),
        ("support_sizes", (1.5,)),
        ("noise_sigmas", (float("inf"),)),
        ("adam_steps", -1),
        ("sampler_batch", 0),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(key: str, value: Any) -> None:
    from mole_jax.evaluation.harness import evaluation_config

    changes = {**SETTINGS, f"evaluation__{key}": value}
    with pytest.raises(UserError, match=rf"evaluation\.{key}"):
        evaluation_config.check(tiny.tiny_config(**changes))


def test_something_must_be_held_out() -> None:
    from mole_jax.evaluation.harness import evaluation_config

    changes = {**SETTINGS, "data__held_out_subsets": 0, "population__held_out_members": 0}
    with pytest.raises(UserError, match="held out"):
        evaluation_config.check(tiny.tiny_config(**changes))

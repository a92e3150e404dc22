"""Results of some learners do not replace those of all."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import learners, on_zoo
from benchmarks.learners import EXPERIMENTS
from mole_jax import main as command
from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs
from mole_jax.core.program import stages


def test_some_learners_have_an_entry_of_their_own() -> None:
    every = EXPERIMENTS["cartpole"].learners
    assert learners._entry("cartpole", 60, 1, every) == "cartpole 60 s, seed 1"
    some = learners._entry("cartpole", 60, 1, ["diffusion", "maml"])
    assert some == "cartpole 60 s, diffusion maml, seed 1"


def test_speeds_that_are_known_are_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = []

    def train(config: Any, zoo: Path, workdir: Path) -> None:
        own = [name for name, x in config.learners.items() if x.steps] or ["diffusion"]
        trained.append((workdir.name, own))
        for name in {"diffusion", *own}:
            (workdir / "train" / name).mkdir(parents=True)
            lines = workdir / "train" / name / "metrics.jsonl"
            lines.write_text(json.dumps({"steps_per_second": 3.0 + len(trained)}) + "\n")

    monkeypatch.setattr(on_zoo, "train", train)
    base = {**learners.ALIKE, **EXPERIMENTS["cartpole"].changes}
    for asked in (["diffusion", "maml"], ["diffusion"], ["diffusion", "maml", "reptile"]):
        found = learners._speeds("cartpole", base, tmp_path / "zoo", tmp_path / "speeds", asked)
        assert set(asked) <= set(found)
    assert trained == [("speeds_diffusion_maml", ["maml"]), ("speeds_reptile", ["reptile"])]
    assert found == {"diffusion": 4.0, "maml": 4.0, "reptile": 5.0}


def test_a_fast_learner_is_timed_for_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty of its steps take a quarter of a second, and say too little."""
    steps = []

    def train(config: Any, zoo: Path, workdir: Path) -> None:
        steps.append((config.training.steps, config.learners.maml.steps))
        for name in ("diffusion", "maml"):
            (workdir / "train" / name).mkdir(parents=True)
            speeds = {"diffusion": [9.0, 9.0], "maml": [1.0, 200.0, 190.0, 210.0]}[name]
            lines = [json.dumps({"steps_per_second": speed}) + "\n" for speed in speeds]
            (workdir / "train" / name / "metrics.jsonl").write_text("".join(lines))

    monkeypatch.setattr(on_zoo, "train", train)
    base = {**learners.ALIKE, **EXPERIMENTS["cartpole"].changes}
    asked = ["diffusion", "maml"]
    found = learners._speeds("cartpole", base, tmp_path / "zoo", tmp_path / "speeds", asked)
    assert steps == [(50, 50), (50, 2000)]
    assert found == {"diffusion": 9.0, "maml": 200.0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["glyphs", "--seconds=-1"], "--seconds=-1 must be above 0"),
        (["glyphs", "--seconds=nan"], "--seconds=nan must be above 0"),
        (["cartpole", "--learners", "l2l"], "l2l cannot do cartpole: there are diffusion, maml"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["learners", *arguments, f"--folder={tmp_path}"])
    with pytest.raises(SystemExit):
        learners.main()
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_evaluation_of_other_learners_is_not_taken_for_that_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner that is added to a finished run would be trained, and missing in its results."""
    monkeypatch.setattr(stages, "run", lambda *arguments: None)
    base = {**learners.ALIKE, **EXPERIMENTS["cartpole"].changes}
    some = learners._config("cartpole", base | learners._steps({"diffusion": 50}))
    more = learners._config("cartpole", base | learners._steps({"diffusion": 50, "maml": 50}))
    for stage in command.STAGES:
        stages.write_done(tmp_path, stage.name, configs.sections(some, stage.sections))
    on_zoo.train(some, tmp_path, tmp_path)
    with pytest.raises(UserError, match=r"learners.maml.steps.*move .*evaluate"):
        on_zoo.train(more, tmp_path, tmp_path)

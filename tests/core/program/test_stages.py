"""Stages in a workdir: skipped, resumed, refused; never mixed up."""

from __future__ import annotations

import multiprocessing
import re
import time
from dataclasses import make_dataclass
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from mole_jax.core.errors import RefusedError, UserError
from mole_jax.core.program import stages
from mole_jax.core.program.sections import Tagged
from mole_jax.core.storage import files

NAMES = ("zoo", "train", "evaluate")


def make(ran: list[str]) -> tuple[stages.Stage, ...]:
    """Return three stages that note when they run; "fail" in the config stops train half-way."""

    def runner(name: str) -> stages.Stage:
        def run(config: ConfigDict, workdir: Path) -> None:
            ran.append(name)
            if name == "train" and config.fail:
                raise KeyboardInterrupt

        return stages.Stage(name, (*NAMES[: NAMES.index(name) + 1], "fail"), run)

    return tuple(runner(name) for name in NAMES)


def config(**changes: int) -> ConfigDict:
    base = {name: {"steps": 1, "size": 2} for name in NAMES} | {"fail": False}
    result = ConfigDict(base)
    for name, value in changes.items():
        result[name].steps = value
    return result


def test_done_stages_are_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran: list[str] = []
    stages.run(tmp_path, make(ran), ["zoo", "train"], config())
    assert ran == ["zoo", "train"]
    stages.run(tmp_path, make(ran), NAMES, config())
    assert ran == ["zoo", "train", "evaluate"]
    assert "zoo: done before" in capsys.readouterr().err
    record = stages.record(tmp_path, "train")
    assert record["status"] == "done"
    assert set(record["config"]) == {"zoo", "train", "fail"}
    assert record["environment"]["packages"]["jax"]


def test_stages_run_in_their_own_order(tmp_path: Path) -> None:
    ran: list[str] = []
    stages.run(tmp_path, make(ran), ["train", "zoo"], config())
    assert ran == ["zoo", "train"]


def test_an_interrupted_stage_goes_on_and_its_seconds_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 1000, 5))
    monkeypatch.setattr(stages.time, "monotonic", lambda: float(next(clock)))
    ran: list[str] = []
    failing = config()
    failing.fail = True
    with pytest.raises(KeyboardInterrupt):
        stages.run(tmp_path, make(ran), NAMES, failing)
    first = stages.record(tmp_path, "train")
    assert first["status"] == "running"
    assert first["seconds"] > 0
    assert not stages.is_done(tmp_path, "train")

    stages.run(tmp_path, make(ran), NAMES, config())
    assert ran == ["zoo", "train", "train", "evaluate"]
    assert stages.record(tmp_path, "train")["seconds"] > first["seconds"]


def test_a_killed_stage_has_its_time_on_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "HEARTBEAT_SECONDS", 0.01)
    seen: list[float] = []

    def run(config: ConfigDict, workdir: Path) -> None:
        deadline = time.monotonic() + 10
        while not seen and time.monotonic() < deadline:
            time.sleep(0.02)
            if stages.record(workdir, "zoo")["seconds"] > 0:
                seen.append(stages.record(workdir, "zoo")["seconds"])

    stages.run(tmp_path, [stages.Stage("zoo", ("zoo",), run)], ["zoo"], config())
    assert seen


def test_an_earlier_stage_that_is_not_done_is_named(tmp_path: Path) -> None:
    ran: list[str] = []
    with pytest.raises(UserError, match="stage evaluate needs stage train, which is not done"):
        stages.run(tmp_path, make(ran), ["zoo", "evaluate"], config())
    assert ran == []


def test_a_changed_config_is_refused_with_all_keys(tmp_path: Path) -> None:
    table = make([])
    stages.run(tmp_path, table, NAMES, config())
    stages.check(tmp_path, table, config())
    changed = config(train=7)
    changed.train.size = 9
    with pytest.raises(UserError) as caught:
        stages.check(tmp_path, table, changed)
    message = str(caught.value)
    assert "train.steps: 1 -> 7" in message
    assert "train.size: 2 -> 9" in message
    assert f"move {tmp_path / 'train'} and {tmp_path / 'evaluate'} elsewhere" in message
    assert message.count("train.steps") == 1
    assert "\n" not in message


def test_a_running_stage_holds_its_config_too(tmp_path: Path) -> None:
    failing = config()
    failing.fail = True
    with pytest.raises(KeyboardInterrupt):
        stages.run(tmp_path, make([]), NAMES, failing)
    failing.train.steps = 7
    with pytest.raises(UserError, match=r"train\.steps: 1 -> 7"):
        stages.check(tmp_path, make([]), failing)


def test_an_interrupted_stage_goes_on_however_short_it_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = config()
    failing.fail = True
    for word in ("begins", "resumes"):
        with pytest.raises(KeyboardInterrupt):
            stages.run(tmp_path, make([]), NAMES, failing)
        assert f"{NAMES[1]}: {word}" in capsys.readouterr().err


def test_a_change_of_unbegun_stages_passes(tmp_path: Path) -> None:
    stages.run(tmp_path, make([]), ["zoo"], config())
    stages.check(tmp_path, make([]), config(train=7))
    with pytest.raises(UserError, match=r"zoo\.steps: 1 -> 7"):
        stages.check(tmp_path, make([]), config(zoo=7))


def test_keys_that_no_result_depends_on_may_change(tmp_path: Path) -> None:
    stages.run(tmp_path, make([]), ["zoo"], config())
    stages.check(tmp_path, make([]), config(zoo=7), ignored=("zoo.steps",))
    changed = config(zoo=7)
    changed.zoo.size = 3
    with pytest.raises(UserError, match=r"zoo\.size: 2 -> 3") as caught:
        stages.check(tmp_path, make([]), changed, ignored=("zoo.steps",))
    assert "zoo.steps" not in str(caught.value)


def with_parts(**own: dict[str, int]) -> ConfigDict:
    """A config whose learners are parts of the train stage."""
    parts = {name: {"steps": 0, "rate": 1, "try_steps": 1} for name in ("maml", "l2l")}
    for name, changes in own.items():
        parts[name] |= changes
    return ConfigDict({**config().to_dict(), "learners": parts})


def training(ran: list[str], breaks: str = "") -> tuple[stages.Stage, ...]:
    """A train stage that leaves a folder of each part, until one breaks, and what follows."""

    def train(config: ConfigDict, workdir: Path) -> None:
        for name, own in config.learners.items():
            if own.steps and not (workdir / "train" / name / "done").exists():
                ran.append(name)
                (workdir / "train" / name).mkdir(parents=True, exist_ok=True)
                if name == breaks:
                    raise UserError("it diverged")
                (workdir / "train" / name / "done").touch()

    def evaluate(config: ConfigDict, workdir: Path) -> None:
        ran.append("evaluate")

    sections = ("zoo", "train", "learners", "fail")
    return (
        stages.Stage("train", sections, train, parts="learners"),
        stages.Stage("evaluate", (*sections, "evaluate"), evaluate),
    )


def test_parts_of_a_stage_can_be_added_and_left_out(tmp_path: Path) -> None:
    ran: list[str] = []
    stages.run(tmp_path, training(ran), ["train"], with_parts(maml={"steps": 3}))
    more = with_parts(maml={"steps": 3}, l2l={"steps": 3})
    stages.check(tmp_path, training(ran), more)
    stages.run(tmp_path, training(ran), ["train"], more)
    assert ran == ["maml", "l2l"]
    for other in ({"steps": 0}, {"steps": 3, "try_steps": 2}):
        stages.check(tmp_path, training(ran), with_parts(maml=other, l2l={"steps": 3}))
    with pytest.raises(UserError, match=r"learners\.maml\.rate: 1 -> 2"):
        stages.check(tmp_path, training(ran), with_parts(maml={"steps": 3, "rate": 2}))
    stages.run(tmp_path, training(ran), ["evaluate"], more)
    with pytest.raises(UserError, match=r"try_steps: 1 -> 2.*move .*evaluate elsewhere"):
        stages.check(tmp_path, training(ran), with_parts(maml={"steps": 3, "try_steps": 2}))


def test_a_part_that_breaks_costs_no_other(tmp_path: Path) -> None:
    ran: list[str] = []
    both = with_parts(l2l={"steps": 3}, maml={"steps": 3})
    with pytest.raises(UserError, match="diverged"):
        stages.run(tmp_path, training(ran, breaks="maml"), ["train"], both)
    # Left out, or tried again in another way once its folder is moved.
    stages.check(tmp_path, training(ran), with_parts(l2l={"steps": 3}))
    slower = with_parts(l2l={"steps": 3}, maml={"steps": 3, "rate": 2})
    with pytest.raises(UserError, match=r"learners\.maml\.rate: 1 -> 2"):
        stages.check(tmp_path, training(ran), slower)
    (tmp_path / "train" / "maml").rename(tmp_path / "elsewhere")
    stages.check(tmp_path, training(ran), slower)
    stages.run(tmp_path, training(ran), ["train"], slower)
    assert ran == ["l2l", "maml", "maml"]


def test_a_key_deep_in_a_section_has_what_held_before(tmp_path: Path) -> None:
    ran: list[str] = []
    older = with_parts(maml={"steps": 3})
    with older.unlocked():
        del older.learners.maml.rate
        del older.learners.l2l
    stages.run(tmp_path, training(ran), ["train"], older)
    before = {"learners.maml.rate": 1, "learners.l2l.steps": 0, "learners.l2l.rate": 1}
    before |= {"learners.l2l.try_steps": 1}
    stages.check(tmp_path, training(ran), with_parts(maml={"steps": 3}), before=before)
    with pytest.raises(UserError, match=r"learners\.maml\.rate: 1 -> 5"):
        other = with_parts(maml={"steps": 3, "rate": 5})
        stages.check(tmp_path, training(ran), other, before=before)


def test_a_deleted_stage_takes_its_followers_with_it(tmp_path: Path) -> None:
    """Otherwise a later stage would count as done though it was made from another zoo."""
    stages.run(tmp_path, make([]), NAMES, config())
    (tmp_path / "train" / "stage.json").unlink()
    with pytest.raises(UserError, match="was made from a train stage that is gone"):
        stages.check(tmp_path, make([]), config())
    (tmp_path / "evaluate" / "stage.json").unlink()
    stages.check(tmp_path, make([]), config())


def test_a_section_of_no_stage_is_refused(tmp_path: Path) -> None:
    strange = config()
    strange.trianing = 3
    with pytest.raises(UserError, match="section 'trianing' that no stage reads"):
        stages.check(tmp_path, make([]), strange)


def test_a_stage_name_is_checked() -> None:
    table = make([])
    assert stages.select(table, ["evaluate", "zoo"]) == ["zoo", "evaluate"]
    with pytest.raises(UserError, match=re.escape("did you mean train?")):
        stages.select(table, ["trian"])
    with pytest.raises(UserError, match="no stage is selected"):
        stages.select(table, [])


def test_a_record_of_a_stage_not_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="stage zoo has not run"):
        stages.record(tmp_path, "zoo")


def test_a_workdir_of_another_version_is_refused(tmp_path: Path) -> None:
    with stages.open_workdir(tmp_path / "new") as workdir:
        mark = {"format": "mole-workdir", "version": stages.VERSION}
        assert files.read_json(workdir / "workdir.json") == mark
    with stages.open_workdir(tmp_path / "new"):
        pass
    files.write_json(tmp_path / "new" / "workdir.json", mark | {"version": 1})
    with pytest.raises(UserError, match="version 1"), stages.open_workdir(tmp_path / "new"):
        pass
    # Nor is it read: `mole_jax.load` goes by the records.
    files.write_json(tmp_path / "new" / "train" / "stage.json", {"stage": "train"})
    with pytest.raises(UserError, match="version 1"):
        stages.record(tmp_path / "new", "train")
    files.write_json(tmp_path / "new" / "workdir.json", {"some": "thing"})
    with pytest.raises(UserError, match="not a workdir"), stages.open_workdir(tmp_path / "new"):
        pass


def test_a_file_is_no_workdir(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match="cannot be written"),
        stages.open_workdir(tmp_path / "file"),
    ):
        pass


def test_two_processes_cannot_share_a_workdir(tmp_path: Path) -> None:
    with stages.open_workdir(tmp_path):
        assert "another process is at work" in try_to_open(tmp_path)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert "another process is at work" in pool.apply(try_to_open, (tmp_path,))
    assert try_to_open(tmp_path) == "opened"


def try_to_open(workdir: Path) -> str:
    try:
        with stages.open_workdir(workdir):
            return "opened"
    except UserError as problem:
        return str(problem)


def test_keys_that_configs_have_gained_are_compared_with_what_held_before(tmp_path: Path) -> None:
    every, before = make([]), {"train.kind": "plain", "train.parts": {}}
    stages.run(tmp_path, every, ["zoo", "train"], config())
    now = config()
    now.train.kind, now.train.parts = "plain", ConfigDict({"n": 3})
    with pytest.raises(UserError, match=r"train.kind: \(absent\) -> plain"):
        stages.check(tmp_path, every, now)
    stages.check(tmp_path, every, now, before=before)
    stages.check(tmp_path, every, config(), before=before)
    now.train.kind = "new"
    with pytest.raises(UserError, match=r"train.kind: plain -> new"):
        stages.check(tmp_path, every, now, before=before)


def test_keys_of_what_a_record_did_not_choose_are_not_compared(tmp_path: Path) -> None:
    """Records once had the keys of all choices."""
    dense, conv = (make_dataclass(name, [(name, int, 1)], frozen=True) for name in ("n", "m"))
    schema = {"zoo": Tagged("zoo.kind", {"dense": dense, "conv": conv})}
    every = [stages.Stage("zoo", ("zoo",), lambda config, workdir: None)]
    stages.run(tmp_path, every, ["zoo"], ConfigDict({"zoo": {"kind": "dense", "n": 2, "m": 3}}))
    now = ConfigDict({"zoo": {"kind": "dense", "n": 2}})
    with pytest.raises(UserError, match=r"zoo.m: 3 -> \(absent\)"):
        stages.check(tmp_path, every, now)
    stages.check(tmp_path, every, now, schema=schema)
    now.zoo.n = 4
    with pytest.raises(UserError, match=r"\(zoo.n: 2 -> 4\)"):
        stages.check(tmp_path, every, now, schema=schema)


def test_a_stage_whose_results_came_from_elsewhere_is_on_record_as_done(tmp_path: Path) -> None:
    stages.write_done(tmp_path, "train", {"train": {"steps": 1}})
    assert stages.is_done(tmp_path, "train")
    assert stages.record(tmp_path, "train")["config"] == {"train": {"steps": 1}}


def test_a_stage_that_is_refused_leaves_no_record(tmp_path: Path) -> None:
    """Its config was never used: another one may follow."""
    good = stages.Stage("zoo", ("zoo",), lambda config, workdir: None)

    def refuse(config: ConfigDict, workdir: Path) -> None:
        raise RefusedError("another network")

    bad = stages.Stage("zoo", ("zoo",), refuse)
    one, two = (ConfigDict({"zoo": {"steps": steps}}) for steps in (1, 2))
    with stages.open_workdir(tmp_path), pytest.raises(RefusedError):
        stages.run(tmp_path, (bad,), ["zoo"], one)
    assert not stages.is_begun(tmp_path, "zoo")
    with stages.open_workdir(tmp_path):
        stages.check(tmp_path, (good,), two)
        stages.run(tmp_path, (good,), ["zoo"], two)
    assert stages.is_done(tmp_path, "zoo")


@pytest.mark.parametrize(
    "content",
    [
        *("null", "[]", "3", '{"status": "done"}'),
        '{"status": "done", "seconds": 1, "config": 3}',
        '{"status": "done", "seconds": "x", "config": {}}',
    ],
)
def test_a_record_that_says_something_else_is_damaged(content: str, tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "stage.json").write_text(content)
    for ask in (stages.is_done, stages.is_begun, stages.record):
        with pytest.raises(UserError, match=r"zoo/stage\.json is damaged: it has no status, "):
            ask(tmp_path, "zoo")

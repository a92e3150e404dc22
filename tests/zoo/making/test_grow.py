"""A zoo that grows keeps its runs, and what is added could be trained again from it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import files
from mole_jax.population import subset_runs
from mole_jax.tasks import family as families
from mole_jax.zoo.__main__ import main
from mole_jax.zoo.making import generation, grow
from mole_jax.zoo.storage.reader import Zoo, open_zoo
from mole_jax.zoo.storage.store import ZooWriter
from mole_jax.zoo.storage.verify import verify
from tests import tiny


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


@pytest.fixture(scope="module")
def config() -> ConfigDict:
    return tiny.tiny_config(population__optimizers=("adam", "sgd"), population__members=2)


@pytest.fixture(scope="module")
def made(config: ConfigDict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    workdir = tmp_path_factory.mktemp("work")
    generation.generate(config, workdir)
    return workdir / "zoo"


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A zoo of 10 data subsets x 2 runs, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "zoo"))


def rows(zoo: Zoo, runs: np.ndarray | None = None) -> dict[str, np.ndarray]:
    metrics = {name: zoo.metric(name, runs) for name in zoo.schema.metrics}
    table = {name: x if runs is None else x[runs] for name, x in zoo.runs.items()}
    return {"parameters": zoo.parameters(runs), **metrics, **table}


def by_task(zoo: Zoo) -> dict[str, np.ndarray]:
    return rows(zoo, np.lexsort((zoo.runs["member"], zoo.runs["subset"])))


def test_old_runs_stay_and_new_ones_follow(path: Path, config: ConfigDict) -> None:
    before = rows(open_zoo(path))
    assert main(["grow", str(path), "--members=4"]) == 0
    zoo = open_zoo(path)
    assert zoo.n_runs == 40
    assert verify(path) == []
    assert tiny.equal_trees(rows(zoo, np.arange(20)), before)
    new = np.arange(20, 40)
    np.testing.assert_array_equal(zoo.runs["subset"][new], np.repeat(np.arange(10), 2))
    np.testing.assert_array_equal(zoo.runs["member"][new], np.tile([2, 3], 10))
    unseen = np.array([task.split == "S1" for task in zoo.schema.tasks])[zoo.runs["subset"][new]]
    np.testing.assert_array_equal(zoo.runs["split"][new], np.where(unseen, "S1", "train"))
    # All starts differ, those of old and new runs too.
    assert len(np.unique(zoo.parameters()[:, 0], axis=0)) == 40
    assert zoo.schema.config["population"]["members"] == 2
    (growth,) = zoo.schema.provenance["growths"]
    assert (growth["members"], growth["first_run"]) == (4, 20)

    # Any run can be trained again, from what the zoo says.
    again = ConfigDict(zoo.schema.config)
    _, history = subset_runs.train_subsets(
        again, families.build(again), np.array([6]), tiny.mesh_of(8), np.array([2, 3])
    )
    runs = np.flatnonzero((zoo.runs["subset"] == 6) & (zoo.runs["member"] >= 2))
    np.testing.assert_allclose(history.parameters[0], zoo.parameters(runs), atol=1e-5)


def test_growing_in_steps_or_with_breaks_gives_the_same_runs(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = Path(shutil.copytree(path, tmp_path / "at_once"))
    grow.grow(at_once, 4)
    commit = ZooWriter.commit

    def interrupted(writer: ZooWriter, n_runs: int) -> None:
        commit(writer, n_runs)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ZooWriter, "commit", interrupted)
        assert main(["grow", str(path), "--members=3"]) == 130
    assert open_zoo(path).n_runs == 23
    grow.grow(path, 3)
    assert open_zoo(path).n_runs == 30
    grow.grow(path, 4)
    found, expected = by_task(open_zoo(path)), by_task(open_zoo(at_once))
    for name, values in expected.items():
        # Populations of other sizes are compiled anew, which changes rounding.
        if values.dtype.kind == "f":
            np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-4)
        else:
            np.testing.assert_array_equal(found[name], values)
    growths = open_zoo(path).schema.provenance["growths"]
    assert [growth["members"] for growth in growths] == [3, 4]


def test_a_grown_zoo_is_finished_for_the_command_that_made_it(
    path: Path, config: ConfigDict, monkeypatch: pytest.MonkeyPatch
) -> None:
    grow.grow(path, 3)
    monkeypatch.delattr(subset_runs, "train_subsets")
    generation.generate(config, path.parent)
    grow.grow(path, 3)
    assert open_zoo(path).n_runs == 30


def test_members_that_share_a_start_share_it_when_they_are_added(tmp_path: Path) -> None:
    config = tiny.tiny_config(population__members=2, population__shared_start=True)
    generation.generate(config, tmp_path)
    grow.grow(tmp_path / "zoo", 3)
    zoo = open_zoo(tmp_path / "zoo")
    starts = zoo.parameters(zoo.select(split="train"))[:, 0]
    assert len(starts) == 16
    assert len(np.unique(starts, axis=0)) == 1


@pytest.mark.parametrize(
    ("break_it", "members", "message"),
    [
        (lambda path: files.write_json(path / "runs.json", {"n_runs": 19}), 4, "not finished"),
        (lambda path: None, 1, "has 2 runs of a data subset already"),
        (lambda path: (path / "zoo.json").unlink(), 4, "not a zoo"),
    ],
)
def test_what_cannot_grow_is_refused(
    path: Path,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[Path], object],
    members: int,
    message: str,
) -> None:
    break_it(path)
    assert main(["grow", str(path), f"--members={members}"]) == 2
    assert message in capsys.readouterr().err


def test_a_zoo_that_was_trained_on_is_left_alone(path: Path) -> None:
    workdir = path.parent
    with stages.open_workdir(workdir), pytest.raises(UserError, match="another process"):
        grow.grow(path, 3)
    record = {"status": "running", "seconds": 1.0, "config": {}}
    files.write_json(workdir / "train" / "stage.json", record)
    with pytest.raises(UserError, match="was trained on this zoo as it is"):
        grow.grow(path, 3)
    assert open_zoo(path).n_runs == 20

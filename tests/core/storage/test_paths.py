"""`~` means the home folder wherever a user can give a path, and no folder is named so."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import mole_jax
from mole_jax import main
from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs
from mole_jax.core.program import stages
from mole_jax.core.storage.paths import user_path
from mole_jax.population import autotune
from mole_jax.tasks import sources
from mole_jax.tasks.sources import tfds
from mole_jax.zoo.making import grow
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.verify import verify

ROOT = Path(mole_jax.__file__).parents[1]
FOLDERS = ("mole_jax", "launch", "benchmarks")
COMMANDS = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
# Arguments that are texts and no paths, wherever they are.
TEXTS = {
    *("--name", "--only", "--dtype", "--learner", "--command"),  # of benchmarks
    *("--network", "--metric", "--run", "--run-column", "--step-column"),
    *("--support", "--test", "--checkpoint", "--objective", "--sampler", "--split"),
    *("--data", "--clothes"),  # npz:FILE, which is taken apart
    "--compilation_cache",  # a folder, or "off"
    *("names", "pages"),  # of benchmarks, and of mole_jax.reference
    "name",  # of a data set, for launch/prepare_data.py
    "source",  # as in data.source, which takes its own paths apart
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and another one to work in, in which no file may appear."""
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    return home


def arguments(path: Path) -> Iterator[tuple[str, dict[str, ast.expr]]]:
    """Yield (name, keywords) of every argument that a file adds to a parser of argparse."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not node.args:
            continue
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        named = isinstance(node.args[0], ast.Constant) and isinstance(node.args[0].value, str)
        if called == "add_argument" or (called == "add" and named and path.stem == "predict"):
            name = ast.unparse(node.args[0]).strip("'")
            yield name, {k.arg or "**": k.value for k in node.keywords}


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_argument_of_a_command_that_is_a_path_expands_the_tilde(path: Path) -> None:
    """A new argument is read by `type=`, is one of `choices=`, or is a text that is listed here."""
    for name, keywords in arguments(path):
        kind = ast.unparse(keywords["type"]) if "type" in keywords else "str"
        assert "Path" not in kind, f"{name}: give it type=user_path"
        known = kind != "str" or {"choices", "action"} & set(keywords) or name in TEXTS
        assert known, f"{name}: give it type=user_path, or list it in TEXTS"


def test_the_arguments_are_found() -> None:
    found = {(path.name, name) for path in COMMANDS for name, _ in arguments(path)}
    assert {("import_zoo.py", "--out"), ("live_zoo.py", "workdirs")} <= found
    assert len([k for path in COMMANDS for _, k in arguments(path) if "type" in k]) > 40


def test_paths_are_expanded_in_one_place() -> None:
    mine = ROOT / "mole_jax" / "core" / "storage" / "paths.py"
    found = [path for path in COMMANDS if "expanduser" in path.read_text() and path != mine]
    assert found == []


def test_user_path(home: Path) -> None:
    assert user_path("~/x/y") == home / "x" / "y"
    assert user_path("~") == home
    assert user_path(Path("~/x")) == home / "x"
    assert user_path("a/~/b") == Path("a/~/b")
    assert user_path("~root") == Path("~root").expanduser() != Path("~root")
    with pytest.raises(UserError, match=r"no home folder is known for ~no-such-user: write \./~"):
        user_path("~no-such-user/x")
    with pytest.raises(UserError, match=r"aaa\.\.\. is too long for a path"):
        user_path("a" * 5000)
    with pytest.raises(UserError, match="is not a path"):
        user_path(3)  # type: ignore[arg-type]


def test_the_command_takes_config_and_workdir_from_home(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "tiny.py").write_bytes((ROOT / "tests" / "data" / "tiny_config.py").read_bytes())
    stage = stages.Stage("zoo", main.FOR_REPORT, lambda config, workdir: None)
    monkeypatch.setattr(main, "STAGES", (stage,))
    monkeypatch.setattr(main, "validate", lambda config, mesh: None)
    assert main.main(["--config=~/tiny.py:full", "--workdir=~/x"]) == 0
    assert stages.record(home / "x", "zoo")["config"]["training"]["steps"] == 100
    assert list(Path.cwd().iterdir()) == []


def test_config_files_are_found_in_home(home: Path) -> None:
    (home / "config.py").write_text("def get_config(name): return {'name': name}")
    assert configs.load("~/config.py:a").name == "a"
    with pytest.raises(UserError, match=r"did you mean .*/home/config\.py"):
        configs.load("~/confg.py")


def test_data_is_found_in_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = np.random.default_rng(0).integers(0, 9, (6, 4, 4), np.uint8)
    np.savez(home / "a.npz", image=image, label=np.arange(6) % 2)
    np.savez(home / "b.npz", image=image, label=np.arange(6) % 3)
    assert sources.load("npz:~/a.npz").name == "a"
    assert sources.load("npz:~/a.npz+npz:~/b.npz").n_classes == 5
    with pytest.raises(UserError, match=f"idx:{home}/x: no such folder"):
        sources.load("idx:~/x")
    with pytest.raises(UserError, match=f"not prepared in {home}/x"):
        sources.load("tfds:mnist@~/x")
    monkeypatch.setenv("TFDS_DATA_DIR", "~/data")
    assert tfds.default_folder() == home / "data"
    monkeypatch.setenv("XDG_CACHE_HOME", "~/cache")
    assert home / "cache" in autotune.cache_file().parents


def test_zoos_and_workdirs_are_found_in_home(home: Path) -> None:
    for read in (mole_jax.load, open_zoo, verify, lambda path: grow.grow(path, 3)):
        with pytest.raises(UserError) as refused:
            read("~/nowhere")
        assert "~" not in str(refused.value)
        assert str(home / "nowhere") in str(refused.value)
    assert list(Path.cwd().iterdir()) == []

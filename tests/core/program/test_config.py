"""Configs: loaded, overridden with types and spelling checked, and compared."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs

TINY = str(Path(__file__).parents[2] / "data" / "tiny_config.py")


def overridden(*arguments: str) -> list[str]:
    """Return which keys the arguments change, and how."""
    return configs.differing_keys(
        configs.load(TINY), configs.override(configs.load(TINY), arguments)
    )


def test_flatten() -> None:
    config = ConfigDict({"a": 1, "b": {"c": (1, 2), "d": {"e": None}}, "f": {}})
    assert configs.flatten(config) == {"a": 1, "b.c": (1, 2), "b.d.e": None, "f": {}}
    assert configs.flatten({"x": {"y": 1}}) == {"x.y": 1}


def test_differing_keys() -> None:
    old = {"a": 1, "b": {"c": [1, 2], "gone": 3, "same": 0}}
    new = ConfigDict({"b": {"c": (1, 3), "new": None, "same": 0}, "a": 2})
    assert configs.differing_keys(old, new) == [
        "a: 1 -> 2",
        "b.c: [1, 2] -> [1, 3]",
        "b.new: (absent) -> None",
        "b.gone: 3 -> (absent)",
    ]
    assert configs.differing_keys({"a": [1, [2]]}, {"a": (1, (2,))}) == []


def test_load_hands_the_argument_over() -> None:
    assert configs.load(TINY).training.steps == 10
    assert configs.load(f"{TINY}:full").training.steps == 100


def test_sections() -> None:
    config = configs.load(TINY)
    assert configs.sections(config, ("sampling", "seed", "absent")) == {
        "sampling": {"steps": 4},
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("argument", "change"),
    [
        ("--config.population.members=16", "population.members: 8 -> 16"),
        ("--config.population.learning_rate=1", "population.learning_rate: 0.001 -> 1.0"),
        ("--config.population.share_batches=false", "population.share_batches: True -> False"),
        ("--noconfig.population.share_batches", "population.share_batches: True -> False"),
        ("--config.network.hidden=(4, 4)", "network.hidden: [8] -> [4, 4]"),
        ("--config.network.activation=a=b", "network.activation: relu -> a=b"),
        ("--config.training.limit=3", "training.limit: None -> 3"),
        ("--config.seed=-1", "seed: 0 -> -1"),
    ],
)
def test_an_override_takes_the_type_of_the_default(argument: str, change: str) -> None:
    assert overridden(argument) == [change]


def test_later_overrides_win_and_references_follow() -> None:
    assert overridden("--config.training.steps=3", "--config.training.steps=5") == [
        "training.steps: 10 -> 5",
        "training.warmup: 10 -> 5",
    ]


def test_an_overridden_config_is_locked() -> None:
    config = configs.override(configs.load(TINY), [])
    with pytest.raises(AttributeError):
        config.population.memebrs = 3


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.population.memebrs=1", "no key population.memebrs: did you mean population.mem"),
        ("--config.members=1", "did you mean population.members?"),
        ("--config.memberz=1", "did you mean population.members?"),
        (
            "--config.metamodel.descents=4",
            "no key metamodel.descents: it is called metamodel.inner_steps now",
        ),
        ("--config.zoo.reading=host", "no key zoo.reading: it is called zoo.placement now"),
        ("--config.xyz=1", "no key xyz: --help with --config=FILE lists the keys"),
        ("--config.population=1", "population is a section"),
        ("--config.population.members=many", "cannot be 'many': give a whole number like 8"),
        ("--config.population.members=1.5", "cannot be '1.5'"),
        ("--config.population.members=", "cannot be ''"),
        ("--config.population.members", "needs a value"),
        ("--noconfig.population.members", "needs a value"),
        ("--config.population.learning_rate=fast", "give a number like 0.001"),
        ("--config.population.learning_rate=nan", "cannot be 'nan'"),
        ("--config.population.share_batches=2", "give true or false like True"),
        ("--config.network.hidden=(a", "give a tuple like '(8,)'"),
        ("--config.network.hidden=('a',)", "give a tuple like '(8,)'"),
        ("--config.training.limit=x", "placeholder's type"),
        ("--config=x", "is not an override"),
    ],
)
def test_wrong_overrides_are_explained_on_one_line(argument: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        overridden(argument)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "argument", "message"),
    [
        (None, "", "is missing"),
        ("", "", "has no function get_config"),
        ("def get_config(): return {}", ":full", "takes no argument: leave out ':full'"),
        ("def get_config(x): return {'a': {}}[x]", ":b", "does not take ':b'"),
        (
            "def get_config(): return {'zoo': {'reading': 'auto'}}",
            "",
            "config.py: zoo.reading is called zoo.placement now",
        ),
    ],
)
def test_wrong_files_are_explained(
    tmp_path: Path, content: str | None, argument: str, message: str
) -> None:
    path = tmp_path / "config.py"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=re.escape(message)):
        configs.load(f"{path}{argument}")


def test_a_misspelt_file_gets_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "digits_mlp.py").touch()
    with pytest.raises(UserError, match=r"did you mean .*digits_mlp\.py\?"):
        configs.load(str(tmp_path / "digit_mlp.py"))


@pytest.mark.parametrize(
    ("content", "argument", "message"),
    [
        ("\n\ndef get_config(:", "", "line 3: SyntaxError: "),
        ("import nothing_of_the_kind", "", "line 1: ModuleNotFoundError: No module named 'nothing"),
        ("x = 1\n1 / 0", "", "line 2: ZeroDivisionError: division by zero"),
        ("def get_config():\n  import json\n  json.loads('{')", "", "line 3: JSONDecodeError: "),
        ("def get_config():\n  raise SystemExit(3)", "", "line 2: SystemExit: 3"),
        ("def get_config(x):\n  return {}[x]", ":b", "does not take ':b' (line 2: KeyError: 'b')"),
        ("def get_config(x):\n  return 1 / 0", ":b", "line 2: ZeroDivisionError"),
        ("def get_config(): pass", "", "get_config() returns nothing: let it return a ConfigDict"),
        ("def get_config(): return 3", "", "returns a value of type int: let it return a"),
        ("def get_config(): return [('a', 1)]", "", "returns a value of type list"),
        ("async def get_config(): return {}", "", "returns a value of type coroutine"),
        ("get_config = {}", "", "has no function get_config()"),
        (
            "def get_config(x): return {}",
            "",
            "get_config(x) is missing a required argument: 'x': write --config=",
        ),
        ("def get_config(x, y): return {}", ":b", "missing a required argument: 'y'"),
        ("def get_config(): return {'a.b': 2}", "", "fails: "),
        ("\0", "", "fails: "),
    ],
)
def test_a_config_file_that_fails_is_explained_with_the_line(
    tmp_path: Path, content: str, argument: str, message: str
) -> None:
    path = tmp_path / "config.py"
    path.write_text(content)
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        configs.load(f"{path}{argument}")
    assert "\n" not in str(refused.value)
    assert str(path) in str(refused.value)


def test_a_fault_in_a_file_that_a_config_imports_is_laid_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shared_by_configs.py").write_text("\nx = = 1")
    (tmp_path / "config.py").write_text("import shared_by_configs")
    with pytest.raises(UserError, match=r"shared_by_configs\.py, line 2: SyntaxError"):
        configs.load(str(tmp_path / "config.py"))


def test_a_strict_config_names_what_it_lacks_and_is_the_config_otherwise() -> None:
    plain = {"a": {"b": 1, "c": {"d": (2,)}}, "e": 3}
    for config in (plain, ConfigDict(plain)):
        strict = configs.Strict(config)
        assert (strict["a"]["b"], strict["a"]["c"]["d"], strict["e"]) == (1, (2,), 3)
        assert strict["a"].get("x", 7) == 7
        assert "x" not in strict["a"]
        assert dict(strict["a"]["c"]) == {"d": (2,)}
        assert (list(strict["a"]), len(strict)) == (["b", "c"], 2)
        with pytest.raises(UserError, match=r"no key a\.bb \(did you mean a\.b\?\): add it"):
            strict["a"]["bb"]
        with pytest.raises(UserError, match=r"no key population: add it"):
            strict["population"]


def test_a_value_that_no_record_can_keep_is_refused() -> None:
    with pytest.raises(UserError, match=r"config\.a\.f=.* cannot be kept as JSON"):
        configs.override(ConfigDict({"a": {"f": print}}), [])

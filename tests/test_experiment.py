"""The config of an experiment: defaults, differences, variants, and what is printed of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mole_jax import experiment
from mole_jax import main as command
from mole_jax.core.program import config as configs
from mole_jax.core.program import sections
from mole_jax.population.population_config import PPOConfig
from mole_jax.population.ppo import PPORecipe
from mole_jax.tasks.networks import CONFIGS
from tests import tiny

KINDS = [{"network.name": name} for name in CONFIGS] + [
    {"metamodel.name": "gpt"},
    {"data.source": "env:cartpole", "network.name": "gaussian_policy"},
]


def every_dataclass() -> list[type]:
    found = []
    for section in experiment.SECTIONS.values():
        tagged = isinstance(section, sections.Tagged)
        found += list(section.choices.values()) if tagged else [section]
    return found


def test_sections_are_frozen_dataclasses_with_a_default_for_every_key() -> None:
    for kind in every_dataclass():
        assert kind.__dataclass_params__.frozen
        for field in dataclasses.fields(kind):
            assert field.default is not dataclasses.MISSING, f"{kind.__name__}.{field.name}"
        kind()


@pytest.mark.parametrize("tags", KINDS, ids=str)
def test_every_choice_has_its_own_keys_only(tags: dict[str, str]) -> None:
    config = experiment.make(tags)
    for name, kind in sections.chosen(experiment.SECTIONS, config).items():
        own = set(sections.defaults(kind)) | {key.partition(".")[2] for key in tags}
        assert set(config[name]) - {"name", "source"} <= own
        assert set(sections.defaults(kind)) <= set(config[name])


def test_a_variant_changes_what_the_experiment_says() -> None:
    config = {"training.steps": 5, "network.name": "vit", "network.width": 8}
    variants = {"": {}, "long": {"training.steps": 50}, "cnn": {"training.steps": 7}}
    assert experiment.make(config, variants).training.steps == 5
    long = experiment.make(config, variants, "long")
    assert (long.training.steps, long.network.width, long.network.patch) == (50, 8, 4)
    with pytest.raises(ValueError, match=r"variant 'short' is unknown; there are \('', 'long'"):
        experiment.make(config, variants, "short")


def test_a_file_that_misspells_a_key_is_told_the_nearest_one() -> None:
    with pytest.raises(AttributeError, match=r"no key training.stps: did you mean training.steps"):
        experiment.make({"training.stps": 5})
    with pytest.raises(
        AttributeError, match=r"network.patch is a key of vit, several; network.name is 'mlp"
    ):
        experiment.make({"network.patch": 5})
    with pytest.raises(TypeError):
        experiment.make({"training.steps": "many"})


def test_a_file_may_change_the_config_of_another_one_by_hand(tmp_path: Path) -> None:
    """As those of users did, when all files did."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from mole_jax.core.program import config as configs\n"
        "def get_config():\n"
        f"    c = configs.load({str(tiny.DEMO)!r})\n"
        "    c.network.update({'name': 'cnn', 'channels': (4, 4), 'strides': (1, 1)})\n"
        "    c.training.steps = 9\n"
        "    return c\n"
    )
    found = configs.override(configs.load(str(file)), [], experiment.SECTIONS)
    made = {"network.name": "cnn", "network.channels": (4, 4), "network.strides": (1, 1)}
    asked = experiment.make(made | {"training.steps": 9, "representation.align": True})
    assert configs.flatten(found) == configs.flatten(asked)


def test_a_resolved_config_is_printed_line_by_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = [f"--config={tiny.DEMO}:few", "--config.network.name=vit", "--print_config"]
    for more in ([], [f"--workdir={tmp_path}"]):
        assert command.main([*arguments, *more]) == 0
        out, err = capsys.readouterr()
        assert err == "" and max(map(len, out.splitlines()[1:])) <= 140
    assert list(tmp_path.iterdir()) == []
    lines = [line.partition("  #")[0] for line in out.splitlines() if not line.startswith("#")]
    printed = {key: eval(value) for key, _, value in (line.partition(" = ") for line in lines)}
    overrides = ["--config.network.name=vit"]
    config = configs.override(configs.load(f"{tiny.DEMO}:few"), overrides, experiment.SECTIONS)
    assert printed == configs.flatten(config)
    assert printed["network.pooling"] == "mean" and printed["data.imbalance"] == 4.0
    assert "network.patch = 4  # side of a patch in pixels" in out


def test_the_defaults_of_ppo_are_those_of_its_recipe() -> None:
    recipe = PPORecipe(snapshot_steps=(0, 1))
    for field in dataclasses.fields(PPOConfig):
        assert getattr(recipe, field.name) == field.default

"""Networks and data sources of other packages, and of config files."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mole_jax import experiment
from mole_jax import main as command
from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs
from mole_jax.core.program import sections
from mole_jax.population.population_config import PolicyPopulationConfig, PopulationConfig
from mole_jax.tasks import family, networks, sources
from mole_jax.tasks.networks import (
    Network,
    NetworkKind,
    Outputs,
    Permutation,
    mlp,
    shorthand,
)
from mole_jax.tasks.networks.network import Shorthand
from mole_jax.tasks.sources import ImageData
from tests import registries, tiny


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    with registries.restored():
        yield


@dataclasses.dataclass(frozen=True)
class WideConfig:
    """The keys of a network that is an MLP; `hidden` is not of the type that an MLP's has."""

    hidden: int = 3  # units


def build(config: WideConfig, input_shape: tuple[int, ...], n_outputs: int) -> Network:
    found = mlp.build(mlp.MLPConfig((config.hidden,)), input_shape, n_outputs)
    return dataclasses.replace(found, kind=WIDE)


WIDE = NetworkKind(
    name="wide",
    config=WideConfig,
    build=build,
    outputs=Outputs.CLASSES,
    shorthand=Shorthand("wide", "IN,HIDDEN,OUT", lambda hidden: WideConfig(*hidden)),
)


def spots(side: str = "8") -> ImageData:
    """Six classes: a bright spot at one of six places."""
    n, size = 40, int(side)
    labels = np.repeat(np.arange(6), n)
    images = np.random.default_rng(0).integers(0, 99, (len(labels), size, size)).astype(np.uint8)
    images[np.arange(len(labels)), labels, labels] = 255
    return sources.checked("spots", "spots", images, labels, None)


def test_a_registered_network_is_one_of_those_there_are() -> None:
    networks.register(WIDE)
    assert networks.NAMES[-1] == networks.CLASSIFIERS[-1] == "wide"
    config = experiment.make({"network.name": "wide", "network.hidden": 5})
    assert config.network.to_dict() == {"name": "wide", "hidden": 5}
    assert sections.chosen(experiment.SECTIONS, config)["population"] is PopulationConfig
    network = networks.build(config.network, (8, 8, 1), 3)
    stored = json.loads(json.dumps(networks.to_json(config.network.to_dict(), network)))
    assert networks.from_json(stored).spec == network.spec
    assert shorthand.parse("wide:4,6,3").network.kind is WIDE


def test_a_registered_policy_is_trained_as_policies_are() -> None:
    networks.register(dataclasses.replace(WIDE, name="acts", outputs=Outputs.NORMAL))
    assert networks.POLICIES[-1] == "acts" and "acts" not in networks.CLASSIFIERS
    config = experiment.make({"network.name": "acts", "data.source": "env:cartpole"})
    assert sections.chosen(experiment.SECTIONS, config)["population"] is PolicyPopulationConfig
    assert "ppo" in config.population


def test_a_network_that_is_registered_again_takes_the_place_of_the_first() -> None:
    networks.register(WIDE)
    again = dataclasses.replace(WIDE, outputs=Outputs.CATEGORICAL)
    networks.register(again)
    assert networks.KINDS["wide"] is again
    assert networks.NAMES.count("wide") == 1
    assert "wide" in networks.POLICIES and "wide" not in networks.CLASSIFIERS


def test_names_of_others_are_refused() -> None:
    with pytest.raises(UserError, match=r"network\.name='mlp' is taken, by MOLE"):
        networks.register(dataclasses.replace(WIDE, name="mlp"))
    for form in ("digits", "idx", "glyphs:SIDE", "env", "env:NAME"):
        with pytest.raises(UserError, match=r"data\.source='\w+' is taken, by MOLE"):
            sources.register(form, spots)
    assert networks.KINDS["mlp"] is mlp.NETWORK and "env" not in sources.SHORT_NAMES


def test_a_registered_source_is_loaded_by_its_name_and_with_what_follows_it() -> None:
    sources.register("spots", spots)
    sources.register("spots:SIDE", spots)
    assert sources.load("spots").images.shape == (240, 8, 8, 1)
    assert sources.load("spots:9").images.shape == (240, 9, 9, 1)
    assert sources.load("spots+digits").n_classes == sources.load("digits+spots").n_classes == 16
    with pytest.raises(UserError, match="did you mean 'spots'"):
        sources.load("spot")


def test_a_reader_may_be_a_part_of_a_function() -> None:
    sources.register("spots", functools.partial(spots, "9"))
    sources.register("spots", spots)  # the same module's
    assert sources.load("spots").images.shape == (240, 8, 8, 1)


FILE = """
from __future__ import annotations

import dataclasses

from mole_jax import experiment
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network, NetworkKind, Outputs, mlp


@dataclasses.dataclass(frozen=True)
class NarrowConfig:
    hidden: int = 2  # of very few


def build(config: NarrowConfig, input_shape: tuple[int, ...], n_outputs: int) -> Network:
    found = mlp.build(mlp.MLPConfig((config.hidden,)), input_shape, n_outputs)
    return dataclasses.replace(found, kind=KIND)


KIND = NetworkKind(name="narrow", config=NarrowConfig, build=build, outputs=Outputs.CLASSES)
networks.register(KIND)


def get_config():
    return experiment.make({"network.name": "narrow"})
"""


def test_a_config_file_may_register_a_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    for _ in range(2):  # each command reads the file
        arguments = [f"--config={file}", "--config.network.hidden=4", "--print_config"]
        assert command.main(arguments) == 0
        assert "network.hidden = 4  # of very few\n" in capsys.readouterr().out
    config = configs.load(str(file))
    small = {key: x for key, x in tiny.TINY.items() if not key.startswith("network.")}
    made = family.build(experiment.change(config, small))
    assert made.network.name == "narrow" and made.network.sizes["hidden_0"] == 2
    assert command.main([f"--config={file}", "--config.network.name=mlp", "--print_config"]) == 0
    assert "network.hidden = (16,)" in capsys.readouterr().out


class Plain:
    """No dataclass."""


@dataclasses.dataclass(frozen=True)
class BareConfig:
    """A key without a default."""

    hidden: int


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (None, "give a NetworkKind"),
        (WideConfig, "give a NetworkKind"),
        (dataclasses.replace(WIDE, config=Plain), "must be a dataclass"),
        (dataclasses.replace(WIDE, config=BareConfig), "'hidden' of its config needs a default"),
        (dataclasses.replace(WIDE, outputs="classes"), "the outputs of 'wide' must be one of"),  # type: ignore[arg-type]
        (dataclasses.replace(WIDE, name=3), "letters, digits and underscores"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_network_is_refused_and_leaves_no_trace(kind: Any, said: str) -> None:
    before = list(networks.NAMES)
    with pytest.raises(UserError, match=said):
        networks.register(kind)
    assert before == networks.NAMES
    experiment.make({"network.name": "mlp"})


def crooked(change: Callable[[Network], Network]) -> NetworkKind:
    """A kind whose networks are those of `wide`, changed."""

    def made(config: WideConfig, shape: tuple[int, ...], n: int) -> Network:
        return change(build(config, shape, n))

    return dataclasses.replace(WIDE, build=made)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: dataclasses.replace(x, n_outputs=x.n_outputs + 1), "must give"),
        (lambda x: dataclasses.replace(x, symmetries=(Permutation("nope"),)), "no tensor has"),
        (lambda x: dataclasses.replace(x, apply=lambda p, x: p["nope"]), "KeyError"),
    ],
)
def test_networks_that_would_fail_late_are_refused_when_they_are_built(
    change: Callable[[Network], Network], said: str
) -> None:
    networks.register(crooked(change))
    with pytest.raises(UserError, match=said):
        networks.build({"name": "wide"}, (8, 8, 1), 3)


@pytest.mark.parametrize(("form", "read"), [("dots", None), ("dots", "read"), (3, spots)])
def test_what_is_no_reader_is_refused(form: Any, read: Any) -> None:
    with pytest.raises(UserError, match="give a name and a function"):
        sources.register(form, read)

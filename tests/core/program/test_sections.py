"""Sections of a config, and those whose keys depend on what is chosen."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from ml_collections import ConfigDict

from mole_jax.core.errors import UserError
from mole_jax.core.program import config as configs
from mole_jax.core.program import sections
from mole_jax.core.program.sections import NOT_A_KEY, Tagged


@dataclasses.dataclass(frozen=True)
class Inner:
    """A nested section."""

    rate: float = 0.5  # a share
    kept: int = dataclasses.field(default=1, metadata=NOT_A_KEY)


@dataclasses.dataclass(frozen=True)
class Dense:
    """A choice."""

    # Widths
    # of layers.
    hidden: tuple[int, ...] = (16,)
    start: str = "he"  # or zero
    inner: Inner = Inner()  # of both


@dataclasses.dataclass(frozen=True)
class Conv:
    """Another one, which shares a key."""

    channels: tuple[int, ...] = (8,)
    start: str = "normal"


@dataclasses.dataclass(frozen=True)
class Training:
    """A section that depends on nothing."""

    steps: int = 3


SCHEMA = {"net": Tagged("net.name", {"dense": Dense, "conv": Conv}), "training": Training}


def made(name: str = "dense", **changes: Any) -> ConfigDict:
    kind = {"dense": Dense, "conv": Conv}[name]
    net = {"name": name, **sections.defaults(kind), **changes}
    return ConfigDict({"net": net, "training": sections.defaults(Training)})


def overridden(config: ConfigDict, *arguments: str) -> dict[str, Any]:
    return configs.flatten(configs.override(config, arguments, SCHEMA)["net"])


def test_defaults_are_those_of_the_fields_that_are_keys() -> None:
    assert sections.defaults(Dense) == {"hidden": (16,), "start": "he", "inner": {"rate": 0.5}}


def test_another_choice_brings_its_keys_and_takes_the_others_away() -> None:
    assert overridden(made(), "--config.net.name=conv") == {
        "name": "conv",
        "channels": (8,),
        "start": "normal",
    }
    back = overridden(made("conv"), "--config.net.name=dense", "--config.net.hidden=(4, 4)")
    assert back == {"name": "dense", "hidden": (4, 4), "start": "he", "inner.rate": 0.5}


def test_a_key_that_both_have_keeps_what_was_set() -> None:
    assert overridden(made(start="zero"), "--config.net.name=conv")["start"] == "zero"
    asked = ("--config.net.channels=(2,)", "--config.net.name=conv", "--config.net.start=ones")
    assert overridden(made(start="zero"), *asked)["start"] == "ones"


def test_the_last_choice_is_what_counts() -> None:
    """The one between leaves no trace: what was set for the first is still there."""
    there_and_back = ("--config.net.name=conv", "--config.net.name=dense")
    assert overridden(made(hidden=(7,)), *there_and_back)["hidden"] == (7,)


def test_keys_of_other_choices_that_a_file_has_are_left_out() -> None:
    """Config files once had the keys of all networks."""
    assert overridden(made(channels=(3,))) == configs.flatten(made()["net"])
    assert overridden(made(channels=(3,)), "--config.net.name=conv")["channels"] == (3,)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--config.net.channels=(2,)", r"net.channels is a key of conv; net.name is 'dense': "),
        ("--config.net.hiden=(2,)", r"no key net.hiden: did you mean net.hidden\?"),
        ("--config.net.inner.rat=1", r"did you mean net.inner.rate\?"),
        ("--config.net.hidden=x", "net.hidden cannot be 'x'"),
        ("--config.net.name=3.5.1", ""),  # a name of no choice is left to who reads it
    ],
)
def test_keys_that_do_not_exist_are_refused(argument: str, message: str) -> None:
    if not message:
        assert overridden(made(), argument)["name"] == "3.5.1"
        return
    with pytest.raises(UserError, match=message):
        overridden(made(), argument)


def test_a_record_of_before_is_compared_without_what_it_did_not_choose() -> None:
    stored = {"net": {"name": "dense", "hidden": [16], "channels": [8]}, "seed": 0}
    assert sections.relevant(stored, SCHEMA) == {
        "net": {"name": "dense", "hidden": [16]},
        "seed": 0,
    }
    unknown = {"net": {"name": "gone", "hidden": [16]}}
    assert sections.relevant(unknown, SCHEMA) == unknown


def test_a_section_is_read_as_its_dataclass() -> None:
    given = {"hidden": [2, 3], "start": "zero", "inner": {"rate": 0.1}}
    assert sections.read(Dense, given, "net") == Dense((2, 3), "zero", Inner(0.1))
    with pytest.raises(UserError, match=r"no key net\.start"):
        sections.read(Dense, configs.Strict({"net": {"hidden": (1,), "inner": {}}})["net"], "net")


def test_a_section_is_written_with_the_comments_of_its_dataclass() -> None:
    assert sections.written(Dense, sections.defaults(Dense), "net.") == [
        "# Widths",
        "# of layers.",
        "net.hidden = (16,)",
        "net.start = 'he'  # or zero",
        "# net.inner: of both",
        "net.inner.rate = 0.5  # a share",
    ]

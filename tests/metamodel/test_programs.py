"""What is said before the first step, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from mole_jax.core import chips, memory
from mole_jax.core.errors import UserError
from mole_jax.metamodel import state as states
from mole_jax.metamodel import train
from mole_jax.metamodel.pairs import Draw
from mole_jax.metamodel.programs import Programs
from mole_jax.metamodel.state import Hyper
from tests import tiny

ROOT = jax.random.key(0)


@pytest.fixture(scope="module", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with tiny.compilation_cache(tmp_path_factory.mktemp("compiled")):
        yield


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up(metamodel__descents=1)


def programs(setting: tiny.Setting) -> Programs:
    hyper, rules, mesh = Hyper.of(setting.config), Draw.of(setting.config), tiny.mesh_of(1)
    like = states.shapes(setting.model, hyper, rules, mesh)
    inputs = (setting.normaliser, setting.zoo, setting.family.device_data)
    return Programs(setting.model, hyper, rules, mesh, ROOT, like, inputs)


def test_size_and_memory_are_said(
    setting: tiny.Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    made = programs(setting)
    flop = made.prepare(2)
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"diffusion: 0\.\d million parameters, .* GFLOP a step, .*", first)
    assert re.match(r"diffusion: on each of 1 devices [\d.]+ MiB: parameters .*temporary", second)
    assert flop == made.measured(2).flops > 1e6
    found = made.measured(2).memory
    assert found.zoo == memory.on_each(setting.zoo)
    assert found.optimizer == pytest.approx(2 * found.parameters, rel=0.01)
    assert found.temporary is not None and found.temporary > found.gradients
    parts = [found.parameters, found.average, found.optimizer, found.zoo, found.tasks]
    assert found.total == sum(parts) + found.temporary + (found.other or 0)


def test_remat_changes_memory_but_not_what_a_step_needs(setting: tiny.Setting) -> None:
    again = tiny.made_up(metamodel__descents=1, metamodel__remat=True)
    assert programs(again).measured(1).flops == programs(setting).measured(1).flops


@pytest.mark.parametrize("compiled", [False, True])
def test_what_cannot_fit_is_refused_before_anything_is_made(
    compiled: bool, setting: tiny.Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = programs(setting).measured(5).memory
    # What is kept alone may be too much, or only what a step needs beside it.
    limit = found.total - 1 if compiled else found.parameters
    monkeypatch.setattr(memory, "available", lambda device: limit)
    monkeypatch.delattr(train, "fresh_state")
    if not compiled:
        monkeypatch.delattr(jax.stages.Lowered, "compile")
    with pytest.raises(UserError, match=r"cannot fit: each device has .* and needs .*: param") as e:
        train.fit(
            setting.config,
            setting.model,
            setting.normaliser,
            setting.zoo,
            setting.family.device_data,
            tmp_path,
            tiny.mesh_of(1),
        )
    assert ("temporary" in str(e.value)) == compiled
    for mend in ("--mesh=fsdp:N", "training.accumulate", "metamodel.remat=True"):
        assert mend in str(e.value)


def test_speed_counts_tokens_and_the_share_of_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = tiny.mesh_of(8)
    # Nobody says what this CPU can do at most, so no share of it is claimed.
    assert train.speed(2.0, 100, 1e12, mesh) == {"steps_per_second": 2, "tokens_per_second": 200}
    monkeypatch.setattr(chips, "find", lambda kind: chips.CHIPS[0])
    assert train.speed(2.0, 100, 1e12, mesh)["mfu"] == 2 * 1e12 / (8 * 989.5e12)

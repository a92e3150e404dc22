"""What is said before the first step, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import jax
import pytest

from mole_jax.core.devices import chips, flops, memory
from mole_jax.core.errors import UserError
from mole_jax.training import estimate, loop
from mole_jax.training import state as states
from mole_jax.training.programs import Measured, Programs
from tests import tiny

ROOT = jax.random.key(0)
N = 5


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up(metamodel__inner_steps=1)


def programs(setting: tiny.Setting, root: jax.Array = ROOT) -> Programs:
    mesh = tiny.mesh_of(1)
    like = states.shapes(setting.learner, setting.hyper, mesh)
    return Programs(setting.learner, setting.hyper, setting.source, mesh, root, like)


@pytest.fixture(scope="module")
def measured(setting: tiny.Setting) -> Measured:
    """A dispatch of as many steps as `loop.fit` begins with."""
    return programs(setting).measured(N)


def test_size_and_memory_are_said(
    setting: tiny.Setting, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    flop = programs(setting).prepare(N)
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"diffusion: 0\.\d million parameters, .* GFLOP a step, .*", first)
    assert re.match(r"diffusion: on each of 1 devices [\d.]+ MiB: parameters .*temporary", second)
    assert flop == measured.flops > 1e6
    found = measured.memory
    assert found.zoo == memory.on_each(setting.zoo)
    assert found.optimizer == pytest.approx(2 * found.parameters, rel=0.01)
    assert found.temporary is not None and found.temporary > found.gradients
    parts = [found.parameters, found.average, found.optimizer, found.zoo, found.tasks]
    assert found.total == sum(parts) + found.temporary + (found.other or 0)


def test_trainings_with_other_seeds_run_the_same_program(setting: tiny.Setting) -> None:
    """So that it need not be compiled again."""
    texts = [
        programs(setting, jax.random.key(seed)).traced(setting.learner, N).lower().as_text()
        for seed in (0, 1)
    ]
    assert texts[0] == texts[1]


def test_what_remat_computes_twice_is_not_needed(setting: tiny.Setting, measured: Measured) -> None:
    again = tiny.made_up(metamodel__inner_steps=1, metamodel__remat=True)
    made = programs(again)
    twice = made.traced(again.learner, 1)
    assert flops.of(twice.jaxpr.jaxpr) > measured.flops
    found = estimate.flops_of_step(twice, again.learner, lambda other: made.traced(other, 1), 1)
    assert found == measured.flops


@pytest.mark.parametrize("compiled", [False, True])
def test_what_cannot_fit_is_refused_before_anything_is_made(
    compiled: bool,
    setting: tiny.Setting,
    measured: Measured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = measured.memory
    # What is kept alone may be too much, or only what a step needs beside it.
    limit = found.total - 1 if compiled else found.parameters
    monkeypatch.setattr(memory, "available", lambda device: limit)
    monkeypatch.delattr(states, "fresh")
    if not compiled:
        monkeypatch.delattr(jax.stages.Lowered, "compile")
    with pytest.raises(UserError, match=r"cannot fit: each device has .* and needs .*: param") as e:
        setting.fit(tmp_path)
    assert ("temporary" in str(e.value)) == compiled
    for mend in ("--mesh=fsdp:N", "training.accumulate", "metamodel.remat=True"):
        assert mend in str(e.value)


def test_speed_counts_tokens_and_the_share_of_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = tiny.mesh_of(8)
    # Nobody says what this CPU can do at most, so no share of it is claimed.
    assert loop.speed(2.0, 100, 1e12, mesh) == {"steps_per_second": 2, "tokens_per_second": 200}
    monkeypatch.setattr(chips, "find", lambda kind: chips.CHIPS[0])
    assert loop.speed(2.0, 100, 1e12, mesh)["mfu"] == 2 * 1e12 / (8 * 989.5e12)

"""Meta-training: interrupted and resumed gives the same bits; devices do not change the result."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mole_jax.core.console import interrupts
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.core.storage.writers import MetricWriter
from mole_jax.learners import registry
from mole_jax.training import adamw, loop
from mole_jax.training import state as states
from mole_jax.training import step as steps
from mole_jax.training.state import State
from tests import tiny
from tests.core.storage.test_checkpoint import damage

STEPS = 20
# Orbax leaves coroutines behind when a checkpoint is damaged: see tests/core/test_checkpoint.py.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]


@pytest.fixture(scope="module")
def setting() -> tiny.Setting:
    return tiny.made_up(training__checkpoint_every=10, training__steps_per_dispatch=5)


def fit(setting: tiny.Setting, folder: Path) -> State:
    return setting.fit(folder)


def log(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in x.items() if not k.endswith("per_second")} for x in lines]


@pytest.fixture(scope="module")
def whole(setting: tiny.Setting, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, State]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, fit(setting, folder)


def test_an_uninterrupted_training(whole: tuple[Path, State]) -> None:
    folder, state = whole
    assert int(state.step) == STEPS
    lines = log(folder)
    assert [line["step"] for line in lines] == [5, 10, 15, 20]
    assert {"loss", "weights", "function", "gradient_norm"} <= set(lines[0])
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert not tiny.equal_trees(state.params, state.ema)


def stopped(
    setting: tiny.Setting,
    folder: Path,
    at: int,
    stop: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Begin a training, and call `stop` once the metrics of step `at` are written."""
    write = MetricWriter.write

    def written(writer: MetricWriter, step: int, scalars: dict[str, float]) -> None:
        write(writer, step, scalars)
        if step == at:
            stop()

    with monkeypatch.context() as patch:
        patch.setattr(MetricWriter, "write", written)
        with interrupts.handled(), pytest.raises(KeyboardInterrupt):
            fit(setting, folder)


def test_interrupted_and_resumed_gives_the_same_bits(
    setting: tiny.Setting,
    whole: tuple[Path, State],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stopped(setting, tmp_path, 15, interrupt, monkeypatch)  # beyond the checkpoint of step 10
    assert [line["step"] for line in log(tmp_path)] == [5, 10, 15]
    resumed = fit(setting, tmp_path)
    folder, uninterrupted = whole
    assert tiny.equal_trees(resumed, uninterrupted)
    assert log(tmp_path) == log(folder)


def test_a_finished_training_is_left_alone(
    setting: tiny.Setting, whole: tuple[Path, State], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, state = whole
    before = (folder / "metrics.jsonl").read_bytes()
    monkeypatch.delattr(steps, "make")
    assert tiny.equal_trees(fit(setting, folder), state)
    assert (folder / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM])
def test_whoever_asks_to_stop_loses_no_step(
    which: signal.Signals,
    setting: tiny.Setting,
    whole: tuple[Path, State],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask = functools.partial(os.kill, os.getpid(), which)
    stopped(setting, tmp_path, 5, ask, monkeypatch)  # no checkpoint is due before step 10
    with Checkpoints(tmp_path / "checkpoints") as checkpoints:
        assert checkpoints.latest_step() == 5
    folder, uninterrupted = whole
    assert tiny.equal_trees(fit(setting, tmp_path), uninterrupted)
    assert log(tmp_path) == log(folder)


def test_a_damaged_checkpoint_costs_the_steps_since_the_one_before(
    setting: tiny.Setting,
    whole: tuple[Path, State],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, uninterrupted = whole
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    damage(tmp_path / "checkpoints" / str(STEPS))
    assert tiny.equal_trees(fit(setting, tmp_path), uninterrupted)
    assert log(tmp_path) == log(folder)
    assert f"warning: checkpoint {STEPS} in {tmp_path}" in capsys.readouterr().err


def test_a_loss_that_is_no_number_stops_the_training(setting: tiny.Setting, tmp_path: Path) -> None:
    """The pairs of the step are kept, and show what was wrong: here the metric of one snapshot."""
    metric = setting.zoo.metric.at[3, 2].set(jnp.nan)
    broken = dataclasses.replace(setting, zoo=setting.zoo._replace(metric=metric))
    with pytest.raises(
        UserError, match=r"loss of diffusion is not finite at step \d+, or its gradient; that"
    ) as e:
        fit(broken, tmp_path)
    (path,) = tmp_path.glob("batch_*.npz")
    assert str(path) in str(e.value) and f"step {path.stem.split('_')[1]}, or" in str(e.value)
    with np.load(path) as pairs:
        metrics = np.stack([pairs["prompt.start_metric"], pairs["prompt.target_metric"]])
        assert np.isnan(metrics).any()
        assert np.isfinite(pairs["target"]).all()
        assert pairs["images"].shape[0] == len(pairs["target"]) == metrics.shape[1]


def fresh(setting: tiny.Setting) -> State:
    """A state before step 0, from the made-up parameters."""
    copy = jax.tree.map(jnp.copy, (setting.params, setting.params))
    optimizer = adamw.optimizer(setting.hyper).init(setting.params)
    return State(jnp.zeros((), jnp.int32), *copy, optimizer)


def adam_moments(state: State) -> Any:
    """The running mean of the gradients."""
    return optax.tree.get(state.optimizer, "mu")


def first_step(setting: tiny.Setting, n_devices: int) -> tuple[State, dict[str, Any]]:
    """Take one step from the made-up parameters."""
    assert setting.hyper.batch_size % 8 == 0  # so that eight devices share a batch
    mesh, source = tiny.mesh_of(n_devices), setting.source
    like = states.shapes(setting.learner, setting.hyper, mesh)
    step = steps.make(setting.hyper, source, mesh, like, 1)
    inputs = (fresh(setting), setting.learner, source.constants, jax.random.key(0), setting.zoo)
    return jax.device_get(step(*jax.device_put(inputs, mesh_lib.replicated(mesh))))


@pytest.fixture(scope="module")
def one_device(setting: tiny.Setting) -> tuple[State, dict[str, Any]]:
    return first_step(setting, 1)


def test_one_device_and_eight_train_alike(
    setting: tiny.Setting, one_device: tuple[State, dict[str, Any]]
) -> None:
    (one, parts), (eight, others) = one_device, first_step(setting, 8)
    assert one.step == eight.step == 1
    for name, value in parts.items():
        assert math.isclose(value, others[name], rel_tol=1e-4), name
    # Gradients are compared by Adam's moments of them: Adam itself makes a step of full size out
    # of the rounding errors of a gradient that is zero, such as that of a bias of keys.
    gradients = [
        np.concatenate([x.reshape(-1) for x in jax.tree.leaves(adam_moments(state))])
        for state in (one, eight)
    ]
    assert np.linalg.norm(gradients[0]) > 0
    assert np.linalg.norm(gradients[0] - gradients[1]) < 1e-4 * np.linalg.norm(gradients[0])


def test_the_average_follows_the_parameters(
    setting: tiny.Setting, one_device: tuple[State, dict[str, Any]]
) -> None:
    """The first step takes nine tenths of the new parameters: the average starts short."""
    state, _ = one_device
    trees = (state.params, state.ema, setting.params)
    for new, ema, old in zip(*map(jax.tree.leaves, trees), strict=True):
        np.testing.assert_allclose(ema, 0.1 * old + 0.9 * new, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("step", "total", "size", "ends"),
    [
        (0, 20, 5, [5, 10, 15, 20]),
        (10, 20, 5, [15, 20]),
        (0, 12, 5, [5, 10, 12]),
        (7, 12, 5, [10, 12]),
        (0, 3, 5, [3]),
        (12, 12, 5, []),
    ],
)
def test_dispatches_end_at_the_same_steps_wherever_one_resumes(
    step: int, total: int, size: int, ends: list[int]
) -> None:
    assert loop.dispatches(step, total, size) == ends


def test_the_regression_twin_trains_its_own_number_of_steps() -> None:
    config = tiny.tiny_config(training__regression_steps=7, training__warmup_steps=10)
    assert registry.of(config) == ("diffusion", "regression")
    assert registry.train_config(config, "diffusion").steps == STEPS
    assert registry.train_config(config, "regression").steps == 7
    assert registry.of(tiny.tiny_config()) == ("diffusion",)

"""A dry run needs neither data nor zoo nor the devices it is about."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mole_jax import main as command
from mole_jax.core.devices.chips import CHIPS
from mole_jax.core.program import config as configs
from mole_jax.learners import in_shapes
from mole_jax.training import dry_run
from tests import tiny

SMALL = (
    "--config.metamodel.width=32",
    "--config.metamodel.heads=2",
    "--config.metamodel.layers=3",
    "--config.metamodel.unroll=1",
    "--config.metamodel.remat=True",
    "--config.metamodel.probes=1",
    "--config.metamodel.inner_steps=1",
    "--config.training.batch_size=16",
    "--config.training.accumulate=2",
)
PATHS = sorted(tiny.DEMO.parent.rglob("*.py"))
MNIST = str(tiny.DEMO.with_name("paper_mnist.py"))


def test_a_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mesh = "--mesh=data:2,fsdp:2,tensor:2"
    where = f"--workdir={tmp_path / 'new'}"
    assert command.main([f"--config={MNIST}", "--dry_run", mesh, where, *SMALL]) == 0
    out = capsys.readouterr().out
    assert "random images stand in for data.source='mnist'" in out
    assert "data:2,fsdp:2,tensor:2 (8 virtual devices)" in out
    for chip in CHIPS:
        assert f"\n{chip.name} " in out
    found = json.loads((tmp_path / "new" / dry_run.FILE).read_text())["diffusion"]
    assert found["devices"] == 8
    assert found["tokens"] == 16 * 26
    # The zoo's size follows from the config: runs that are trained on, snapshots, parameters.
    assert found["memory"]["zoo"] >= (10_728 - 500) * 200 * 7960 * 4 / 8
    assert found["memory"]["parameters"] < 4 * found["parameters"]
    # Each of two parts of the batch runs three layers, forward and anew in the backward pass, with
    # two sums between halves of a layer's heads and hidden units.
    sums = [row for row in found["collectives"] if row["kind"] == "all-reduce"]
    assert sum(row["times"] for row in sums if row["among"] == 2) >= 2 * 3 * 2 * 2
    for row in found["chips"]:
        assert row["step"] == max(row["seconds"].values()) == row["seconds"][row["bound"]] > 0


def test_every_learner_of_a_config_is_estimated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    learners = {"end_to_end": 7, "maml": 5}
    small = ["training.end_to_end_steps=7", "learners.maml.steps=5", "training.regression_steps=0"]
    changes = [f"--config.{change}" for change in small]
    arguments = [f"--config={tiny.DEMO}", "--dry_run", "--mesh=data:8", f"--workdir={tmp_path}"]
    assert command.main([*arguments, *SMALL, *changes]) == 0
    found = json.loads((tmp_path / dry_run.FILE).read_text())
    assert [*found] == ["diffusion", *learners]
    assert {name: found[name]["steps"] for name in learners} == learners
    assert found["maml"]["parameters"] == 1125 < found["end_to_end"]["parameters"]
    assert found["maml"]["memory"]["zoo"] == 0 < found["diffusion"]["memory"]["zoo"]
    assert "\nlearner     maml\n" in capsys.readouterr().out


def test_virtual_devices_are_made_in_time() -> None:
    """In a process of its own; here JAX has started long ago."""
    code = (
        "from mole_jax.training import dry_run; dry_run.pretend({'data': 3, 'fsdp': 4});"
        "import jax; assert jax.device_count() == 12"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_too_few_devices_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([f"--config={MNIST}", "--dry_run", "--mesh=data:3"]) == 2
    assert (
        "JAX runs on 8 devices of cpu, but --mesh needs 3 virtual ones" in capsys.readouterr().err
    )


def test_a_key_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "lacking.py"
    file.write_text("def get_config(): return {'training': {'steps': 3}}")
    assert command.main([f"--config={file}", "--dry_run", "--mesh=data:8"]) == 2
    assert re.match(r"error: the config has no key [\w.]+: add", capsys.readouterr().err)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_config_has_shapes_without_its_data(path: Path) -> None:
    family = in_shapes.family_of(configs.load(str(path)))
    assert family.network.spec.size > 0
    assert len(family.indices("train")) > 0

"""One tiny meta-model, with random parameters, for all tests of this folder.

These tests ask what the functions compute; compiling them well would take most of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mole_jax
from mole_jax import main as command
from mole_jax.core.program import stages
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.sampling.load import Model, Networks
from mole_jax.training import loop
from mole_jax.training import state as states
from mole_jax.training.state import State
from tests import tiny

CONFIG = tiny.tiny_config(zoo__subsets_per_group=10)
# Networks of a model that was not trained are far from what is asked for.
untrained = pytest.mark.filterwarnings("ignore:predict. .* was asked for:mole_jax.MoleWarning")


@pytest.fixture(scope="package", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


def leave_checkpoints(
    learner: Any, hyper: Any, source: Any, root: Any, folder: Path, mesh: Any
) -> None:
    """Leave checkpoints of a finished training, with parameters that do something.

    The one before the last is the best: all its parameters are half as large.
    """
    like = jax.eval_shape(lambda key: states.init(learner, hyper, key), jax.random.key(0))
    params = tiny.random_like(like.params)
    optimizer = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like.optimizer)
    with Checkpoints(folder / "checkpoints") as checkpoints:
        for step, loss, scale in ((hyper.steps - 1, 1.0, 0.5), (hyper.steps, 2.0, 1.0)):
            kept = jax.tree.map(lambda x, scale=scale: scale * x, params)
            checkpoints.save(step, State(jnp.int32(step), kept, kept, optimizer), loss)


@pytest.fixture(scope="package")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "fit", leave_checkpoints)
        with stages.open_workdir(folder):
            stages.run(folder, command.STAGES[:2], ("zoo", "train"), CONFIG)
    return folder


@pytest.fixture(scope="package")
def model(workdir: Path) -> Model:
    return mole_jax.load(workdir, steps=2)


@pytest.fixture(scope="package")
def support() -> tuple[np.ndarray, np.ndarray]:
    """Seven digits each of three classes, as scikit-learn gives them: pixels 0..16."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    rows = np.concatenate([np.flatnonzero(labels == c)[:7] for c in (3, 5, 8)])
    return images[rows], np.repeat(np.arange(3), 7)


@pytest.fixture(scope="package")
def nets(model: Model, support: tuple[np.ndarray, np.ndarray]) -> Networks:
    """Two predicted networks."""
    with pytest.warns(mole_jax.MoleWarning, match="was asked for"):
        return predict(model, support)


def predict(model: Model, support: tuple[Any, Any], **changes: Any) -> Networks:
    arguments = {"target_loss": 0.1, "n": 2, "key": jax.random.key(0)} | changes
    return model.predict(*support, **arguments)

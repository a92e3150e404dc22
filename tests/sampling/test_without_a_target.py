"""Without a target: as good as the model can, where it has learned that or looks at no target."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.main import STAGES
from mole_jax.sampling.load import Model
from mole_jax.training import loop
from tests import tiny
from tests.sampling.conftest import leave_checkpoints, predict, untrained

CONFIG = tiny.tiny_config(
    training__best_prompts=0.3,
    training__end_to_end_steps=5,
    metamodel__probes=0,  # which take long to compile
    metamodel__inner_steps=0,
    zoo__subsets_per_group=10,
)
Labelled = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    folder = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "fit", leave_checkpoints)
        with stages.open_workdir(folder):
            stages.run(folder, STAGES[:2], ("zoo", "train"), CONFIG)
    with pytest.raises(UserError, match="end_to_end model writes in one pass: leave steps out"):
        mole_jax.load(folder, objective="end_to_end", steps=2)
    return {
        "diffusion": mole_jax.load(folder, steps=2),
        "end_to_end": mole_jax.load(folder, objective="end_to_end"),
    }


@untrained
def test_a_model_that_has_learned_it_gives_its_best(
    models: dict[str, Model], support: Labelled
) -> None:
    model = models["diffusion"]
    assert model.learner.uses.best
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing was asked for that networks could be far from
        best, again = (predict(model, support, target_loss=None, rounds=2) for _ in range(2))
    assert tiny.equal_trees(best, again)
    for loss in (0.01, 0.1):
        asked = predict(model, support, target_loss=loss, rounds=2)
        assert not np.allclose(*(x.params["output"]["kernel"] for x in (best, asked)))


def test_a_model_that_looks_at_no_target_needs_none_and_refuses_one(
    models: dict[str, Model], support: Labelled
) -> None:
    model = models["end_to_end"]
    assert not model.learner.uses.best
    found = predict(model, support, target_loss=None)
    assert np.isfinite(np.asarray(found.predicted_metric)).all()
    with pytest.raises(UserError, match="end_to_end model takes no target: leave target_loss"):
        predict(model, support)

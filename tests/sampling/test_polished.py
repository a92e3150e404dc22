"""`polish`: gradient steps more on the support set, wherever networks are predicted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.learners import polish
from mole_jax.learners.polish import Polish
from mole_jax.sampling.model import Model
from mole_jax.sampling.networks import Networks
from mole_jax.tasks.examples import Examples
from tests import tiny
from tests.sampling.conftest import predict
from tests.sampling.test_estimator import digits, estimator
from tests.sampling.test_estimator import model as one_pass

__all__ = ["digits", "one_pass"]  # fixtures
Labelled = tuple[np.ndarray, np.ndarray]
STEPS = 6
pytestmark = pytest.mark.filterwarnings("ignore:.*was asked for")


def test_networks_follow_the_gradient_once_they_are_written(
    model: Model, nets: Networks, support: Labelled
) -> None:
    network, (x, y) = nets.network, support
    inputs = jnp.asarray(nets.inputs.standardised(nets.inputs.flat("x", x)))[None]
    shown = Examples(inputs, jnp.asarray(y)[None], jnp.ones((1, len(y)), bool))
    flat = network.spec.flatten(nets.params)
    expected = polish.polished(Polish(STEPS), network, flat, shown)
    found = predict(model, support, polish=STEPS)
    np.testing.assert_allclose(network.spec.flatten(found.params), expected, atol=1e-4)
    assert (found.predicted_metric < nets.predicted_metric).all()
    assert tiny.equal_trees(predict(model, support, polish=0).params, nets.params)


def test_only_the_last_round_is_polished(model: Model, support: Labelled) -> None:
    first = predict(model, support, n=1)
    again = predict(model, support, n=1, rounds=2)
    polished = predict(model, support, n=1, rounds=2, polish=1)
    size = np.abs(again.params["output"]["kernel"]).max()
    moved = [
        np.abs(a.params["output"]["kernel"] - b.params["output"]["kernel"]).max() / size
        for a, b in ((again, first), (polished, again))
    ]
    assert 0 < moved[1] < moved[0]


def test_the_estimator_passes_it_on(one_pass: Path, digits: Any) -> None:
    plain, polished = (estimator(one_pass, polish=n).fit(*digits) for n in (0, STEPS))
    losses = [x.networks_.predicted_metric for x in (plain, polished)]
    assert (losses[1] < losses[0]).all()


@pytest.mark.parametrize("steps", [-1, 1.5, "3", None, True, 10**6])
def test_what_is_no_number_of_steps_is_refused(model: Model, support: Labelled, steps: Any) -> None:
    with pytest.raises(UserError, match="polish"):
        predict(model, support, polish=steps)


def test_who_has_steps_of_its_own_is_not_polished(tmp_path: Path) -> None:
    from tests import untrained

    config = tiny.tiny_config(learners__maml__steps=5)
    untrained.write(tmp_path / "run", config, (8, 8, 1), 3, ["maml"])
    maml = mole_jax.load(tmp_path / "run", objective="maml")
    x, y = np.random.default_rng(0).normal(8, 4, (6, 8, 8)), np.arange(6) % 3
    with pytest.raises(UserError, match="polish=3: the maml model has no such steps"):
        maml.predict(x, y, key=jax.random.key(0), polish=3)

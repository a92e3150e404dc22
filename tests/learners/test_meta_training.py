"""The train stage with a latent: fitted once, stored with the learner, resumed, loaded, asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import mole_jax
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.program import stages
from mole_jax.core.storage.writers import MetricWriter
from mole_jax.learners import scales, stored
from mole_jax.learners.stored import Trained
from mole_jax.main import STAGES
from mole_jax.representation import pca
from mole_jax.sampling import load
from tests import tiny

CONFIG = tiny.tiny_config(
    representation__name="pca",
    representation__components=12,
    representation__chunk_size=4,
    training__steps=10,
    metamodel__probes=1,
    # Components are of networks as they are stored.
    training__permute_labels=0.0,
)


def trained(workdir: Path) -> Trained:
    config, network = load.described(workdir)
    return stored.load(workdir, config, network, "diffusion")


def test_a_latent_is_fitted_once_and_belongs_to_the_learner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mesh_lib, "make_mesh", lambda *_: tiny.mesh_of(1))  # compiles faster
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    stages.run(whole, STAGES, ["zoo"], CONFIG)
    shutil.copytree(whole, broken)
    stages.run(whole, STAGES, ["train"], CONFIG)

    write = MetricWriter.write

    def interrupted(writer: MetricWriter, step: int, scalars: dict[str, float]) -> None:
        write(writer, step, scalars)
        if step == 10:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(MetricWriter, "write", interrupted)
        stages.run(broken, STAGES, ["train"], CONFIG)
    fitted = scales.read(broken).fitted
    assert fitted.arrays["components"].shape == (12, fitted.normaliser.mean.size)
    monkeypatch.delattr(pca, "fit")  # a resumed training does not fit again
    stages.run(broken, STAGES, ["train"], CONFIG)
    assert tiny.equal_trees(scales.read(broken).fitted, fitted)
    one, other = trained(whole), trained(broken)
    assert tiny.equal_trees((one.theta, one.last), (other.theta, other.last))

    model = mole_jax.load(broken, steps=2)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 16, (12, 64)).astype(np.float32), np.arange(12) % 3
    nets = model.predict(x, y, target_loss=1.1, n=3, key=jax.random.key(0))
    flat = model.learner.network.spec.flatten(jax.tree.map(lambda x: x[0], nets.params))
    latent = model.learner.model.representation
    again = latent.parameters(latent.tokens(flat))  # answers lie where the components do
    np.testing.assert_allclose(again, flat, atol=1e-4)

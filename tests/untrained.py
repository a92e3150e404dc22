"""A workdir to predict from, made in a second: its meta-model has random parameters."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from mole_jax.core.program import config as configs
from mole_jax.core.program import stages
from mole_jax.core.storage import files
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.learners import registry, scales
from mole_jax.learners.scales import Scales
from mole_jax.main import FOR_TRAIN
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.sampling.load import IMPORTED_NETWORK
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network
from mole_jax.training import state as states
from mole_jax.training.state import State
from tests import tiny


def write(
    workdir: Path,
    config: ConfigDict,
    input_shape: tuple[int, ...],
    n_outputs: int,
    learners: Sequence[str] = ("diffusion",),
) -> Network:
    """Leave there what the train stage leaves, and the network as an imported model has it.

    There is no zoo.

    Args:
        workdir: a folder to make.
        config: the experiment's.
        input_shape: of the networks that the meta-model writes.
        n_outputs: theirs.
        learners: which of them there are.

    Returns:
        The network.
    """
    network = networks.build(config.network, input_shape, n_outputs)
    ones = jnp.ones(network.spec.size)
    mean = 0.1 if network.frame is None else 0.0  # what a network lacks is zero
    normaliser = Normaliser(mean * ones, 0.3 * ones, 0.5 * ones)
    fitted = Fitted(normaliser, {})
    for name in learners:
        learner = registry.build(config, network, name, fitted)
        hyper = registry.train_config(config, name)
        like = jax.eval_shape(functools.partial(states.init, learner, hyper), jax.random.key(0))
        params = tiny.random_like(like.params)
        optimizer = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like.optimizer)
        state = State(jnp.int32(hyper.steps), params, params, optimizer)
        with Checkpoints(workdir / "train" / name / "checkpoints") as checkpoints:
            checkpoints.save(hyper.steps, state, 1.0)
    scales.write(workdir, Scales(fitted, 0.25, -2.0, 1.6))
    description = networks.to_json(config.network.to_dict(), network)
    files.write_json(workdir / IMPORTED_NETWORK, description)
    stages.write_done(workdir, "train", configs.sections(config, FOR_TRAIN))
    return network

"""The demo's tasks, five of ten digits, for ancestors whose papers had none that are at hand."""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mole_jax.core import rng
from mole_jax.core.program import config as configs
from mole_jax.learners import answers, meta_training, query_loss, registry
from mole_jax.tasks import family as families
from mole_jax.tasks.images import ImageFamily
from mole_jax.tasks.networks import Network
from mole_jax.training.episode_source import EpisodeSource
from mole_jax.training.pairs import PairConfig

DEMO = Path(__file__).parents[2] / "configs" / "digits_mlp.py"
TESTS = 256  # episodes on which learners are judged


class Judged(NamedTuple):
    """How good networks are on the query sets of episodes that nobody was trained on."""

    loss: float  # nats
    accuracy: float


def network() -> Network:
    """Return the demo's MLP."""
    return _family().network


def source(batch_size: int) -> EpisodeSource:
    """Return its training tasks as a source of episodes."""
    config = configs.load(str(DEMO))
    hyper = registry.train_config(config, registry.NAMES[0])
    hyper = dataclasses.replace(hyper, batch_size=batch_size)
    found = meta_training.episodes(_family(), PairConfig.of(config), hyper)
    assert isinstance(found, EpisodeSource)
    return found


def judge(learner: Any, theta: Any, seed: int) -> Judged:
    """Judge a learner on TESTS episodes of training tasks, drawn by another key."""
    tests = source(TESTS)
    given = tests.draw(tests.constants, (), rng.named(rng.key(seed), "test"), 0)
    flat = answers.adapt(learner, theta, given, answers.all_of(jnp.zeros(TESTS)), jax.random.key(0))
    _, found = query_loss.of_networks(learner.network, flat, given.query)
    return Judged(float(found["loss"]), float(found["query_accuracy"]))


@functools.cache
def _family() -> ImageFamily:
    family = families.build(configs.load(str(DEMO)))
    assert isinstance(family, ImageFamily)
    return family

"""Noise: the retrieved network plus Gaussian noise, at the level best on training subsets."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.evaluation.baselines import baseline, retrieval
from mole_jax.evaluation.baselines.baseline import Baseline
from mole_jax.evaluation.baselines.retrieval import Retrieval
from mole_jax.evaluation.harness import scoring
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.measure import Measure, Record, Results
from mole_jax.tasks.networks import Network, sizes
from mole_jax.training.learner import Episodes, Label, Request, Uses


class NoiseLevel(NamedTuple):
    """Noise levels, and their validation scores on training subsets."""

    sigmas: np.ndarray  # [sigmas]
    validation_score: np.ndarray  # [sigmas]
    chosen: np.ndarray  # [] in units of each tensor's spread over the zoo


@dataclasses.dataclass(frozen=True, eq=False)
class NoisyRetrieval:
    """Adds noise to the networks that retrieval finds; theta is how much."""

    nearest: Retrieval

    name: ClassVar[str] = "noise"
    label: ClassVar[Label] = Label(
        "Noise", "A training network with random noise added to its weights."
    )
    uses: ClassVar[Uses] = retrieval.USES._replace(samples=True)

    @property
    def network(self) -> Network:
        return self.nearest.network

    def adapt(
        self, theta: NoiseLevel, episodes: Episodes, request: Request, key: jax.Array
    ) -> np.ndarray:
        """Add noise to the nearest network of every episode: [B, D]."""
        best = self.nearest.adapt(None, episodes, request, key)
        return best + np.float32(theta.chosen) * self.draw(key, best)

    def draw(self, key: jax.Array, networks: np.ndarray) -> np.ndarray:
        """Draw noise with each tensor's spread, for the parameters that networks [..., D] have."""
        noise = self.nearest.finals.scale * np.asarray(jax.random.normal(key, networks.shape))
        if self.network.frame is None:
            return noise
        return noise * np.asarray(sizes.there(self.network, jnp.asarray(networks)))


def build(context: EvalContext) -> NoisyRetrieval:
    """Return the solver."""
    return NoisyRetrieval(retrieval.build(context))


def choose(context: EvalContext, split: str, results: Results) -> NoiseLevel:
    """Choose the noise level with the best mean validation score on training subsets."""
    sigmas, solver, episodes = (
        np.array(context.evaluation["noise_sigmas"]),
        build(context),
        context.choice,
    )
    best = baseline.ask(solver.nearest, None, episodes, context.key("noise"))
    noise = solver.draw(context.key("noise level"), best)
    noisy = best[:, :, None] + sigmas.astype(np.float32)[:, None] * noise[:, :, None]
    _, score = scoring.on_own_tasks(context.family, "validation", noisy, episodes.tasks)
    score = score.mean((0, 1))  # [T, N, sigmas] -> [sigmas]
    return NoiseLevel(sigmas, score, sigmas[np.argmax(score)])


def _record(context: EvalContext, split: str, results: Results) -> Record:
    return {"noise_sigma": float(results.of(LEVEL).chosen)}


LEVEL = Measure("noise_level", NoiseLevel, choose, "choice", record=_record)
MEASURE = baseline.of_solver(NoisyRetrieval.name, build, LEVEL)
BASELINE = Baseline(NoisyRetrieval.label, MEASURE)

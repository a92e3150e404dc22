"""Soup: the mean of the nearest training networks, their hidden units aligned to the best one's."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.evaluation.baselines import baseline, retrieval
from mole_jax.evaluation.baselines.baseline import Baseline
from mole_jax.evaluation.baselines.retrieval import Retrieval
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.representation import alignment
from mole_jax.tasks.networks import Network, sizes
from mole_jax.training.learner import Episodes, Label, Request, Uses


@dataclasses.dataclass(frozen=True, eq=False)
class Soup:
    """Averages the networks that retrieval finds."""

    nearest: Retrieval

    name: ClassVar[str] = "soup"
    label: ClassVar[Label] = Label("Soup", "The mean of trained networks, units matched first.")
    uses: ClassVar[Uses] = retrieval.USES

    @property
    def network(self) -> Network:
        return self.nearest.network

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> np.ndarray:
        """Average the nearest networks of every episode: [B, D]; theta is not used.

        Source: Wortsman et al., Model Soups (2022), here with units matched as in Ainsworth et al.,
        Git Re-Basin (2023), since the networks do not share a start.
        """
        final, soups = self.nearest.finals.final, []
        for rows in self.nearest.rank(episodes):
            best, rest = final[rows[0]], rows[1:]
            if self.network.frame is not None:  # only networks with as many units match
                own = np.asarray(sizes.there(self.network, jnp.asarray(final[rows])))
                rest = rest[(own[1:] == own[:1]).all(axis=1)]
            others = [alignment.align(self.network, final[row], best) for row in rest]
            soups.append(np.mean([best, *others], axis=0))
        return np.array(soups, np.float32)


def build(context: EvalContext) -> Soup:
    """Return the solver."""
    return Soup(retrieval.build(context))


MEASURE = baseline.of_solver(Soup.name, build)
BASELINE = Baseline(Soup.label, MEASURE)

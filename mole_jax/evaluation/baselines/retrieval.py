"""Retrieval: the final network that is best on the support set, or of the most similar task."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.evaluation.baselines import baseline
from mole_jax.evaluation.baselines.baseline import Baseline
from mole_jax.evaluation.harness.context import EvalContext
from mole_jax.evaluation.harness.zoo_finals import ZooFinals
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network
from mole_jax.training.learner import Episodes, Label, Request, Uses

USES = Uses(start=False, target_metric=False, samples=False)


@dataclasses.dataclass(frozen=True, eq=False)
class Retrieval:
    """Copies the zoo's network that is nearest to an episode."""

    network: Network
    finals: ZooFinals  # what may be copied
    most: int  # networks in a ranking, at most
    one_task: bool  # whether the zoo has one task
    dynamics: np.ndarray | None  # [T, ...] of every task, if support sets have no labels
    known: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)  # ranks, by `digest`

    name: ClassVar[str] = "retrieval"
    label: ClassVar[Label] = Label(
        "Retrieval", "The final network of the training subset most like the new one."
    )
    uses: ClassVar[Uses] = USES

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> np.ndarray:
        """Copy the nearest network of every episode: [B, D]; theta is not used."""
        return self.finals.final[self.rank(episodes)[:, 0]]

    def rank(self, episodes: Episodes) -> np.ndarray:
        """Rank the final networks of the training runs by their loss on each support set.

        If support sets have no labels, rank by the strangeness of the runs' tasks.

        Only the best run of each data subset is kept, and none of the episode's own: otherwise
        retrieval would find, on a training subset, a network trained on the task itself. In a zoo
        of one task all runs are of the task itself; there retrieval is the best run on the
        validation pool, and the soup averages the best ones.

        Returns:
            [B, n] rows of `finals`, best first, of n different data subsets. The first is
            retrieval, all of them make the soup; n is `most`, or less if the zoo has fewer subsets.
        """
        if self.one_task:
            best = np.argsort(self.finals.selection_loss, kind="stable")[: self.most]
            return np.broadcast_to(best, (len(episodes.task), len(best))).copy()
        # Soup and noise need the same ranks, which take a while for a zoo of many large networks.
        which = digest(episodes)
        if which not in self.known:
            self.known[which] = self._ranked(episodes)
        return self.known[which]

    def _ranked(self, episodes: Episodes) -> np.ndarray:
        apart = self.losses(episodes) if self.dynamics is None else self.strangeness(episodes)
        subset = self.finals.subset
        n = min(self.most, len(np.unique(subset)) - 1)
        rows = zip(apart, episodes.task, strict=True)
        return np.array([_best(row, subset, int(task), n) for row, task in rows], np.int64)

    def losses(self, episodes: Episodes) -> np.ndarray:
        """Measure the loss of the R networks on every support set: [B, R]."""
        support = jax.tree.map(jnp.asarray, episodes.support)
        return np.asarray(_losses(self.network, jnp.asarray(self.finals.final), support))

    def strangeness(self, episodes: Episodes) -> np.ndarray:
        """Measure how far the training runs' tasks are from each episode's own: [B, R].

        Tasks without labels are compared by their dynamics: the mean squared difference of what
        happens in the same situations. Dynamics follow the true parameters, which retrieval knows
        and the model does not. Of the runs of one task, the one with the lower loss counts as
        nearer.
        """
        assert self.dynamics is not None
        flat = self.dynamics.reshape(len(self.dynamics), -1)
        of_runs = flat[self.finals.subset]
        apart = [np.mean((of_runs - flat[task]) ** 2, axis=1) for task in episodes.task]
        return np.array(apart) * (1 + 1e-6 * self.finals.selection_loss)


@functools.lru_cache(maxsize=1)
def build(context: EvalContext) -> Retrieval:
    """Return the solver, one per context: the solvers that build on it share its ranks."""
    family, dynamics = context.family, None
    if not family.labelled:
        dynamics = np.asarray(family.device_data.dynamics(context.key("dynamics")))
    most = context.evaluation["soup_size"]
    return Retrieval(family.network, context.training, most, context.one_task, dynamics)


def _best(losses: np.ndarray, subset: np.ndarray, own: int, n: int) -> np.ndarray:
    ranked = np.argsort(np.nan_to_num(losses, nan=np.inf), kind="stable")
    ranked = ranked[subset[ranked] != own]
    _, first = np.unique(subset[ranked], return_index=True)  # where each subset comes up first
    return ranked[np.sort(first)[:n]]


def digest(episodes: Episodes) -> str:
    """Return a fingerprint of tasks and support sets, on which ranks depend."""
    found = hashlib.sha256()
    for x in jax.tree.leaves((episodes.task, episodes.support)):
        found.update(np.ascontiguousarray(x).tobytes())
    return found.hexdigest()


@functools.partial(jax.jit, static_argnums=0)
def _losses(network: Network, flat: jax.Array, support: Examples) -> jax.Array:
    params = network.spec.unflatten(flat)

    def of_episode(examples: Examples) -> jax.Array:
        logits = jax.vmap(network.apply, (0, None))(params, examples.inputs)  # [R, n, K]
        return loss_and_accuracy(logits, *examples[1:])[0]

    return jax.lax.map(of_episode, support)


MEASURE = baseline.of_solver(Retrieval.name, build)
BASELINE = Baseline(Retrieval.label, MEASURE)

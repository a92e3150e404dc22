"""What a learner is: all that training, prediction and evaluation know of one.

A `Solver` turns the support set of a task into a network. Meta-trained learners do so, and so do
ordinary training and copying from a zoo. A `Learner` is a solver that is meta-trained once, and
then answers for any task. It is a pytree: constants such as a normaliser are its leaves, the rest
is static, and the trained parameters theta are passed in. So compiled functions take a learner like
any other argument.

The interface is a gradient, not a loss: Reptile gives a pseudo-gradient, an evolution strategy an
estimate, an unrolled learner a truncated one, diffusion the gradient of its loss. The three
questions - what is learned, on which tasks, how the gradient is estimated - follow Metz et al. 2022
(learned_optimization).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol, Self

import jax
from jax.sharding import Mesh

from mole_jax.tasks.environments.world import World
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network

# Where the batches of meta-training come from.
SOURCES = ("pairs", "episodes")


class Uses(NamedTuple):
    """Which of its inputs a solver uses; the others change nothing."""

    support: bool = True
    start: bool = True
    target_metric: bool = True
    samples: bool = True  # another key gives another network
    best: bool = False  # a request for the best that it can give, in place of a target metric
    # The task's whole training pool, which an episode does not hold; for policies its `world`.
    pool: bool = False


EVERYTHING = Uses()


class Episodes(NamedTuple):
    """B tasks to learn: what a learner sees of each, and where it may begin."""

    task: jax.Array  # [B] position in the task table
    support: Examples  # leaves [B, n, ...]; `adapt` also takes one set for all, [1, n, ...]
    start: jax.Array  # [B, D] parameters of the network to begin with
    start_metric: jax.Array  # [B] its prompt metric
    query: Examples | None = None  # leaves [B, m, ...]: what meta-training evaluates on
    world: World | None = None  # [B] problems, for solvers of policies with `uses.pool`


class Request(NamedTuple):
    """What is asked for, and which conditions of an episode may be used."""

    target_metric: jax.Array  # [B] the prompt metric asked for
    use: dict[str, jax.Array]  # condition of prompt.CONDITIONS -> [B] bool
    best: jax.Array  # [B] bool: as good as the learner can, in place of the metric


class Label(NamedTuple):
    """A solver's name in reports, and a sentence about it."""

    label: str
    sentence: str


class Solver(Protocol):
    """Anything that answers for tasks, given theta: what was trained or chosen beforehand."""

    @property
    def name(self) -> str:
        """Its name in results."""

    @property
    def label(self) -> Label: ...

    @property
    def uses(self) -> Uses: ...

    @property
    def network(self) -> Network:
        """The architecture that it answers with."""

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> Any:
        """Return networks for B episodes: parameters [B, D]."""


class Learner(Solver, Protocol):
    """A solver that is meta-trained; its `adapt` is a function to be compiled."""

    @property
    def source(self) -> str:
        """One of SOURCES: what `gradient` takes."""

    @property
    def n_tokens(self) -> int:
        """Tokens per example of a batch, for the log."""

    @property
    def writes_networks(self) -> bool:
        """Whether `adapt` answers with networks; else the learner is a `Classifier`."""

    @property
    def setting(self) -> dict[str, Any]:
        """Its setting, one of `choices`, in words and numbers for the record."""

    def init(self, key: jax.Array) -> Any:
        """Return theta before the first step, a function of the key alone."""

    def gradient(self, theta: Any, batch: Any, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        """Return the gradient, with theta's structure, and metrics, `loss` among them."""

    def on(self, mesh: Mesh, parts: int) -> Self:
        """Return the learner that computes gradients on a mesh, in this many parts of a batch."""

    def ready(self, fitted: Any, plan: Any) -> Self:
        """Return the learner with its fitted representation and a sampling plan."""

    def choices(self) -> tuple[Self, ...]:
        """Return the learner in each setting to choose from, all with the same theta.

        Settings are, for example, numbers of gradient steps; one is chosen on training subsets.
        Empty where there is nothing to choose.
        """

    def polished(self, steps: int) -> Self | None:
        """Return the learner whose networks take this many gradient steps more on the support set.

        None where it writes no classifiers, or has steps of its own among its `choices`.
        """

    def check_mesh(self, mesh: Mesh) -> None:
        """Raise UserError if a mesh cannot divide its layers evenly."""

    def without_remat(self) -> Self | None:
        """Return the learner that computes nothing twice; None where it never does."""


class Classifier(Learner, Protocol):
    """A learner that answers with classes instead of networks; its `adapt` raises."""

    def classify(
        self, theta: Any, episodes: Episodes, inputs: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Return logits [B, m, K] of inputs [B, m, F], for B episodes."""

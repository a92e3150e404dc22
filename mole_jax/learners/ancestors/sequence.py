"""Learners that read a task's examples one after another and answer with classes, not with weights.

Their weights do not change for a new task; what they learn about it is in their activations
(Hochreiter, Younger and Conwell 2001). At each example they see its input and the label of the one
before it, so in training every example is also a query.

- `recurrent`: an LSTM, as in that paper.
- `in_context`: its modern form, a causal transformer (Kirsch et al. 2022, General-Purpose
  In-Context Learning by Meta-Learning Transformers).
- `self_referential`: a matrix that rewrites itself (Irie et al. 2022), see self_referential.py.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.learners import query_loss
from mole_jax.learners.ancestors.ancestor import Ancestor, AncestorConfig
from mole_jax.learners.ancestors.readers import READERS
from mole_jax.tasks.classification import cross_entropy, masked
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, Outputs
from mole_jax.training.learner import Episodes, Label, Request, Uses

LABELS = {
    "recurrent": Label(
        "Recurrent", "An LSTM that reads the examples; it learns by its activations alone."
    ),
    "in_context": Label(
        "In context", "A causal transformer that reads the examples; its weights stay the same."
    ),
    "self_referential": Label(
        "Self-referential", "A matrix that reads the examples and rewrites itself."
    ),
}


@dataclasses.dataclass(frozen=True)
class SequenceConfig(AncestorConfig):
    """The section of a learner that reads examples."""

    width: int = 128  # size of every layer
    layers: int = 2  # number of layers
    heads: int = 4  # heads of attention, and of matrices

    def check(self, name: str) -> None:
        """Raise UserError for invalid values, naming the key."""
        super().check(name)
        for key in ("width", "layers", "heads"):
            if getattr(self, key) < 1:
                raise UserError(f"learners.{name}.{key}={getattr(self, key)} must be 1 or more")
        if self.width % self.heads:
            raise UserError(
                f"learners.{name}.width={self.width} must be a multiple of heads={self.heads}"
            )


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[],
    meta_fields=["network", "name", "label", "mesh", "parts", "config"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Sequence(Ancestor):
    """A reader of examples, whose weights are theta.

    `network` gives the shapes of the tasks; no network is written.
    """

    config: SequenceConfig

    # The order of the examples is random.
    uses: ClassVar[Uses] = Uses(start=False, target_metric=False)
    writes_networks: ClassVar[bool] = False

    @property
    def reader(self) -> nn.Module:
        """The module, one of `readers.py`."""
        own = self.config
        return READERS[self.name](own.width, own.layers, own.heads, self.network.n_outputs)

    def init(self, key: jax.Array) -> Any:
        """Return fresh weights."""
        x, y = jnp.zeros((1, self.network.example_size)), jnp.zeros(1, jnp.int32)
        return self.reader.init(key, x, self._said(y), jnp.ones(1, bool), x)["params"]

    def _said(self, labels: jax.Array) -> jax.Array:
        """Encode labels as readers take them: [n] -> [n, channels]."""
        if self.network.outputs is Outputs.VALUES:
            return labels[:, None].astype(jnp.float32)
        return jax.nn.one_hot(labels, self.network.n_outputs)

    def _read(
        self, theta: Any, support: Examples, inputs: jax.Array, key: jax.Array
    ) -> tuple[jax.Array, jax.Array, Examples]:
        """Read one support set in a random order, then each of the inputs [m, F].

        Returns:
            Answers at the examples [n, K], each before its label was seen, answers to the inputs
            [m, K], and the examples in that order.
        """
        # Padding comes last, so nothing stands before the first example.
        order = jnp.argsort(jax.random.uniform(key, support.mask.shape) - support.mask)
        x, y, mask = (part[order] for part in support[:3])
        answers: Any
        found: Any
        answers, found = self.reader.apply({"params": theta}, x, self._said(y), mask, inputs)
        return answers, found, Examples(x, y, mask, support.n_classes)

    def gradient(
        self, theta: Any, batch: Episodes, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the gradient of the loss of all answers: along the way, and to the queries."""
        # Keys are passed as tasks, so that every part of a batch has its own.
        batch = batch._replace(task=jax.random.split(key, len(batch.start)))

        def loss(theta: Any, episodes: Episodes) -> tuple[jax.Array, dict[str, jax.Array]]:
            assert episodes.query is not None
            on_way, at_end, accuracy = jax.vmap(functools.partial(self._losses, theta))(
                episodes.support, episodes.query, episodes.task
            )
            found = jnp.mean(at_end)
            more = {"query_accuracy": jnp.mean(accuracy)} if self.network.classifies else {}
            return found + jnp.mean(on_way), {"loss": found, "on_the_way": jnp.mean(on_way)} | more

        return query_loss.gradient(loss, theta, batch, self.mesh, self.parts)

    def _losses(
        self, theta: Any, support: Examples, query: Examples, key: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        answers, found, read = self._read(theta, support, query.inputs, key)
        of_way, of_end = self._errors(answers, read), self._errors(found, query)
        hit = jnp.argmax(masked(found, query.n_classes), -1) == query.labels
        accuracy = jnp.sum(hit * query.mask) / jnp.maximum(jnp.sum(query.mask), 1)
        return of_way, of_end, accuracy

    def _errors(self, answers: jax.Array, examples: Examples) -> jax.Array:
        """Return the mean loss of answers [n, K]."""
        if self.network.outputs is Outputs.VALUES:
            each = jnp.square(answers[:, 0] - examples.labels)
        else:
            each = cross_entropy(answers, examples.labels, examples.n_classes)
        return jnp.sum(each * examples.mask) / jnp.maximum(jnp.sum(examples.mask), 1)

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Refuse: there is no network to return."""
        raise UserError(f"the {self.name} learner answers with classes, and writes no network")

    def classify(
        self, theta: Any, episodes: Episodes, inputs: jax.Array, key: jax.Array
    ) -> jax.Array:
        """Return logits [B, m, K] of inputs [B, m, F], each a single query after all examples."""
        batch = len(inputs)
        support = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (batch, *x.shape[1:])), episodes.support
        )

        def one(support: Examples, inputs: jax.Array, key: jax.Array) -> jax.Array:
            return masked(self._read(theta, support, inputs, key)[1], support.n_classes)

        keys = jax.random.split(rng.named(key, "order"), batch)
        found: jax.Array = jax.vmap(one)(support, inputs, keys)
        return found


def build(config: SequenceConfig, network: Network, name: str) -> Sequence:
    """Build one of LABELS."""
    return Sequence(network, name, LABELS[name], None, 1, config)

"""Prototypical networks: a learned embedding, and a last layer that is written from class means.

Snell et al. 2017, Prototypical Networks for Few-shot Learning. A class is the mean c of its
embedded examples, and the logits of an embedding h are -|h - c|^2. Up to a term that all classes
share, those are the outputs of a last layer with weights 2 c and biases -|c|^2:
the answer is a network like any other, written without a gradient step.

`proto_maml` takes gradient steps from that network, and is trained through them (Triantafillou et
al. 2020, Meta-Dataset): the last layer keeps depending on the embedding.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.learners import query_loss
from mole_jax.learners.ancestors import descent
from mole_jax.learners.ancestors.ancestor import AncestorConfig
from mole_jax.learners.ancestors.descent import Descending, DescentConfig
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import OUTPUT, Network, fewer_outputs
from mole_jax.training.learner import Episodes, Label, Request

ALONE, STEPPING = "prototypes", "proto_maml"
LABELS = {
    ALONE: Label("Prototypes", "Learns an embedding; a class is the mean of its examples."),
    STEPPING: Label("Proto-MAML", "MAML whose last layer begins with the means of the classes."),
}


@dataclasses.dataclass(frozen=True)
class PrototypesConfig(AncestorConfig):
    """The section of a learner without gradient steps."""

    rate: float = 1e-2  # learning rate of meta-training


# The bias of a class without an example: far below any distance between embeddings.
NEVER = -1e4


class LastLayer(NamedTuple):
    """Where a network keeps the layer that its outputs come from."""

    kernel: slice  # of the parameters [D]
    bias: slice
    n_features: int  # numbers that go into it
    n_outputs: int


def last_layer(network: Network, key: str) -> LastLayer:
    """Return a network's last layer.

    Raises:
        UserError: where it has no single one with weights and biases; `key` is what needs it.
    """
    axes = {field.path: network.axes[field.path] for field in network.spec.fields}
    kernels = [f for f in network.spec.fields if len(axes[f.path]) > 1 and OUTPUT in axes[f.path]]
    biases = [field for field in network.spec.fields if axes[field.path] == (OUTPUT,)]
    if not network.classifies or len(kernels) != 1 or len(biases) != 1:
        raise UserError(
            f"{key} writes the last layer of a classifier, but network.name={network.name!r} has "
            "no single one with weights and biases: choose another network, or leave it out"
        )
    (kernel,), (bias,) = kernels, biases
    assert axes[kernel.path][-1] == OUTPUT
    return LastLayer(kernel.slice, bias.slice, math.prod(kernel.shape[:-1]), kernel.shape[-1])


def features(network: Network, layer: LastLayer, flat: jax.Array, inputs: jax.Array) -> jax.Array:
    """Return what a network [D] gives its last layer for inputs [n, n_inputs]: [n, F].

    An output is linear in the last layer's weights, and its derivative by them is that.
    """

    def first_output(weights: jax.Array, x: jax.Array) -> jax.Array:  # [F], [n_inputs] -> []
        kernel = jnp.zeros((layer.n_features, layer.n_outputs)).at[:, 0].set(weights)
        put = flat.at[layer.kernel].set(kernel.reshape(-1))
        return network.apply(network.spec.unflatten(put), x[None])[0, 0]

    # For each example its own gradient: a derivative along each weight takes F times as long.
    return jax.vmap(jax.grad(first_output), (None, 0))(jnp.zeros(layer.n_features), inputs)


def class_means(
    network: Network, layer: LastLayer, flat: jax.Array, support: Examples
) -> tuple[jax.Array, jax.Array]:
    """Return the last layer of class means for a network [D] and a support set [n].

    A class without an example gets no weights, and a bias with which it is never chosen.

    Returns:
        Weights [F, K] and biases [K].
    """
    inside = features(network, layer, flat, support.inputs)
    of_class = jax.nn.one_hot(support.labels, layer.n_outputs) * support.mask[:, None]
    counts = jnp.sum(of_class, axis=0)[:, None]
    means = of_class.T @ inside / jnp.maximum(counts, 1)
    bias = -jnp.sum(jnp.square(means), axis=1)
    return 2 * means.T, jnp.where(counts[:, 0] > 0, bias, NEVER)


def written(network: Network, flat: jax.Array, support: Examples) -> jax.Array:
    """Return a network [D] whose last layer holds the class means of a support set [n]."""
    layer = last_layer(network, "learners.prototypes")
    kernel, bias = class_means(network, layer, flat, support)
    flat = flat.at[layer.kernel].set(kernel.reshape(-1)).at[layer.bias].set(bias)
    return fewer_outputs.emptied(network, flat, support.n_classes)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["scale"],
    meta_fields=["network", "name", "label", "mesh", "parts", "config", "steps"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Prototypes(Descending):
    """A network, which is theta; its last layer is written for each task."""

    def gradient(
        self, theta: Any, batch: Episodes, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return the gradient of the written networks' loss on unseen examples."""

        def loss(theta: Any, given: Episodes) -> tuple[jax.Array, dict[str, jax.Array]]:
            flat = self.trained._adapted(theta, given, key, second_order=True)
            return query_loss.of_networks(self.network, flat, given.query)

        return query_loss.gradient(loss, theta, batch, self.mesh, self.parts)

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Write the last layer for every support set, and take the steps: [B, D]."""
        return self._adapted(theta, episodes, key)

    def _adapted(
        self, theta: Any, episodes: Episodes, key: jax.Array, *, second_order: bool = False
    ) -> jax.Array:
        def of_one(support: Examples) -> jax.Array:
            begun = written(self.network, theta["start"], support)
            if not isinstance(self.config, DescentConfig):
                return begun
            return descent.descend(
                self.config,
                self.network,
                begun,
                support,
                key,
                rate=self.config.inner_rate * self.scale,
                steps=self.steps,
                second_order=second_order,
            )

        # If one support set is for all, it is looked at once.
        found = jax.vmap(of_one)(episodes.support)
        return jnp.broadcast_to(found, (len(episodes.start), *found.shape[1:]))


def build(config: AncestorConfig, network: Network, name: str) -> Prototypes:
    """Build one of LABELS.

    Raises:
        UserError: for a network without a single last layer of weights and biases.
    """
    last_layer(network, f"learners.{name}")
    steps = config.try_steps[-1] if isinstance(config, DescentConfig) else 0
    return Prototypes(network, name, LABELS[name], None, 1, config, steps, np.float32(1))

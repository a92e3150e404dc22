"""Predicted networks: their parameters, and what they compute."""

from __future__ import annotations

import dataclasses
import functools
import json
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import given
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.sampling import tuning
from mole_jax.sampling.inputs import Inputs
from mole_jax.sampling.tuning import TuningRecipe
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["params", "predicted_metric"],
    meta_fields=["described", "inputs", "recipe"],
)
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Networks:
    """n predicted networks, and what is known about them.

    A pytree of `params` and `predicted_metric`, so jit takes it; it pickles.
    """

    params: dict[str, Any]  # leaves [n, *shape]
    # [n] the prompt metric on the support set, mostly the loss in nats. None for policies and for
    # networks that were trained further.
    predicted_metric: jax.Array | None
    described: str  # JSON of `description`, since jit compares static fields
    inputs: Inputs
    recipe: TuningRecipe = tuning.DEFAULT  # how the zoo's networks were trained

    @property
    def description(self) -> dict[str, Any]:
        """The network, as `tasks.networks.from_json` takes it."""
        return dict(json.loads(self.described))

    @property
    def network(self) -> Network:
        """The network as pure functions; the same object for the same description."""
        return built(self.described)

    def apply(self, x: Any) -> jax.Array:
        """Compute the outputs of every network, [n, m, k]; jit, vmap and grad may trace it.

        They are logits of images; for those of a policy see `mole_jax.tasks.networks.policy`.

        Args:
            x: [m, F], or [m, *network.input_shape] (a single channel may be left out), on the
                source's own scale. No examples give [n, 0, k]; k is the task's number of classes.

        Raises:
            UserError: for another shape, or numbers that are not finite.

        Warns:
            MoleWarning: for inputs on another scale than in training.
        """
        rows = self.inputs.flat("apply: x", x)
        if said := self.inputs.strangeness("apply: x", rows):
            warnings.warn(said, MoleWarning, stacklevel=2)
        network, batch = self.network, self._batch()
        if not len(rows):
            return jnp.zeros((*batch, 0, network.n_outputs), jnp.float32)
        x = jnp.asarray(self.inputs.standardised(rows))
        if not given.is_traced((x, self.params)):
            x = jax.device_put(x, mesh_lib.whole_copies(jax.tree.leaves(self.params)[0]))
        return _outputs(network, len(batch), self.params, x)

    def probabilities(self, x: Any) -> jax.Array:
        """Compute every network's class probabilities, [n, m, k]; x as in `apply`.

        Raises:
            UserError: for policies, and for what `apply` refuses.
        """
        if not self.network.classifies:
            raise UserError(f"a {self.network.name} has no classes: take `apply`")
        return jax.nn.softmax(self.apply(x))

    def mean(self, x: Any) -> jax.Array:
        """Average the networks' probabilities: [m, k]. More often right than any one of them."""
        found = self.probabilities(x)
        return jnp.mean(found, axis=-3) if self._batch() else found

    def spread(self, x: Any) -> jax.Array:
        """Compute the standard deviation of the networks' probabilities, [m, k]; 0 for one."""
        found = self.probabilities(x)
        return jnp.std(found, axis=-3) if self._batch() else jnp.zeros_like(found)

    def confidence(self, x: Any) -> jax.Array:
        """Compute how sure the networks are together, [m]: the largest of `mean`."""
        return jnp.max(self.mean(x), axis=-1)

    def fine_tune(
        self, x: Any, y: Any, steps: int, *, key: jax.Array, learning_rate: float | None = None
    ) -> Networks:
        """Train the networks further, showing the minibatch loss and the time it takes.

        It uses the zoo's optimizer, weight decay and batch size at a constant rate; minibatches
        are drawn uniformly from all examples.

        Args:
            x: examples [m, F] or [m, *network.input_shape], any number of them.
            y: labels [m], integers, as in the support set.
            steps: how many; the optimizer's moments begin at 0.
            key: draws the minibatches, which all networks share.
            learning_rate: None: the zoo's, or the geometric mean if it is a range.

        Returns:
            Networks without a `predicted_metric`, which has not been measured.

        Raises:
            UserError: for policies, for inputs that do not fit, and where a network would hold NaN.

        Warns:
            MoleWarning: for examples on another scale than in training.
        """
        return tuning.fine_tune(self, x, y, steps, key=key, rate=learning_rate)

    def _batch(self) -> tuple[int, ...]:
        """Return (n,), or () for a single network, as under vmap, or more axes."""
        field = self.network.spec.fields[0]
        leaf: Any = functools.reduce(
            lambda node, name: node[name], field.path.split("/"), self.params
        )
        return tuple(leaf.shape[: leaf.ndim - len(field.shape)])

    def __repr__(self) -> str:
        leaves = jax.tree.leaves(self.params)
        known = all(hasattr(leaf, "shape") for leaf in leaves) and leaves
        batch = " x ".join(map(str, self._batch() or (1,))) if known else "?"
        head = f"Networks: {batch} of {title(self.network)}"
        metric = self.predicted_metric
        # Functions on pytrees may leave anything in its place.
        if not isinstance(metric, (jax.Array, np.ndarray)) or given.is_traced(metric):
            return f"<{head}>"
        if not metric.size:
            return f"<{head}>"
        low, high = np.min(metric), np.max(metric)
        return f"<{head}, predicted_metric {low:.4g} to {high:.4g}>"


@functools.partial(jax.jit, static_argnames=("network", "axes"))
def _outputs(network: Network, axes: int, params: Any, x: jax.Array) -> jax.Array:
    """Apply networks, whose leaves have `axes` leading axes, to the same inputs [m, F].

    On a CPU convolutional networks run one after the other: the images of several do not fit into
    its caches, and 64 networks side by side take three times as long.
    """
    by_cache = network.microbatch and jax.default_backend() == "cpu"
    apply: Any = functools.partial(network.apply, x=x)
    for _ in range(axes):
        apply = functools.partial(jax.lax.map, apply) if by_cache else jax.vmap(apply)
    found: jax.Array = apply(params)
    return found


@functools.lru_cache(maxsize=64)
def built(described: str) -> Network:
    """Return the network of a description in JSON, always the same object.

    It may be called inside jit.
    """
    with jax.ensure_compile_time_eval():
        return networks.from_json(json.loads(described))


def title(network: Network) -> str:
    """Describe a network in a few words: "mlp [8, 8, 1] -> 5, D = 1,125"."""
    return (
        f"{network.name} {list(network.input_shape)} -> {network.n_outputs}, "
        f"D = {network.spec.size:,}"
    )

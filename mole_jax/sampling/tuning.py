"""Training predicted networks further, on as many examples as there are."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import given
from mole_jax.core.console.progress import Progress
from mole_jax.core.errors import UserError
from mole_jax.population import optimizer
from mole_jax.population.hyperparameters import OPTIMIZERS, Hyperparameters
from mole_jax.population.population_config import PopulationConfig
from mole_jax.tasks.classification import cross_entropy
from mole_jax.tasks.networks import Network

if TYPE_CHECKING:
    from mole_jax.sampling.networks import Networks

SHOWN = 100  # steps between two numbers that are shown


class TuningRecipe(NamedTuple):
    """How the networks of a zoo were trained; plain values, so that it hashes."""

    optimizer: str = "adam"
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    batch_size: int = 64
    coupled_decay: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> TuningRecipe:
        """Return a config's: of a range of rates its geometric mean, of several optimizers one.

        Older and imported configs may lack keys: these have their defaults.
        """
        own = {**dataclasses.asdict(PopulationConfig()), **config["population"]}
        low, high = own["learning_rate"]
        return cls(
            optimizer=str(own["optimizers"][0]),
            learning_rate=float(np.sqrt(low * high)),
            weight_decay=float(np.mean(own["weight_decay"])),
            batch_size=int(own["batch_size"]),
            coupled_decay=bool(own["coupled_decay"]),
        )


DEFAULT = TuningRecipe()


def fine_tune(nets: Networks, x: Any, y: Any, steps: int, *, key: jax.Array, rate: Any) -> Networks:
    """Train networks on examples; see `Networks.fine_tune`."""
    network, recipe = nets.network, nets.recipe
    if not network.classifies:
        raise UserError(f"fine_tune: a {network.name} has no labelled examples to be trained on")
    steps, key = given.whole("fine_tune: steps", steps, 0), given.prng_key("key", key)
    if rate is not None:
        rate = given.real("fine_tune: learning_rate", rate, 0, given.LARGEST)
        recipe = recipe._replace(learning_rate=rate)
    inputs = np.asarray(nets.inputs.standardised(nets.inputs.flat("fine_tune: x", x)), np.float32)
    labels = _labels(y, len(inputs), network.n_outputs)
    flat = network.spec.flatten(nets.params)
    state = None
    with Progress("fine_tune", steps) as bar:
        for first in range(0, steps, SHOWN):
            n = min(SHOWN, steps - first)
            flat, state, loss = _train(network, recipe, n, flat, state, inputs, labels, key, first)
            bar.update(n, loss=float(loss))
    loss = _losses(network, flat, inputs, labels)
    return dataclasses.replace(nets, params=network.spec.unflatten(flat), predicted_metric=loss)


def _labels(y: Any, m: int, k: int) -> np.ndarray:
    labels = given.array("fine_tune: y", y)
    if labels.shape != (m,) or not m:
        raise UserError(f"fine_tune: {m} images and labels {list(labels.shape)} do not fit")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= k:
        raise UserError(f"fine_tune: labels must be integers in 0..{k - 1}, as the networks have")
    return labels.astype(np.int32)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _train(
    network: Network,
    recipe: TuningRecipe,
    steps: int,
    flat: jax.Array,  # [n, D]
    state: Any,
    inputs: jax.Array,  # [m, F]
    labels: jax.Array,  # [m]
    key: jax.Array,
    first: jax.Array,
) -> tuple[jax.Array, Any, jax.Array]:
    """Take steps, all networks on the same minibatches; step i depends on the key and i alone."""
    update = optimizer.of_names((recipe.optimizer,), recipe.coupled_decay)
    hyper = Hyperparameters(
        jnp.float32(recipe.learning_rate),
        jnp.float32(recipe.weight_decay),
        jnp.float32(1.0),
        jnp.int32(OPTIMIZERS.index(recipe.optimizer)),
    )
    params = jax.vmap(network.spec.unflatten)(flat)
    if state is None:
        state = jax.vmap(functools.partial(update.init, None))(params)

    def step(carry: Any, i: jax.Array) -> tuple[Any, jax.Array]:
        rows = jax.random.randint(jax.random.fold_in(key, i), (recipe.batch_size,), 0, len(labels))

        def loss(params: Any) -> jax.Array:
            return jnp.mean(cross_entropy(network.apply(params, inputs[rows]), labels[rows]))

        def one(params: Any, state: Any) -> tuple[Any, Any, jax.Array]:
            value, gradients = jax.value_and_grad(loss)(params)
            rate = jnp.float32(1.0)
            return *update.apply(None, hyper, state, gradients, params, rate), value

        params, state, value = jax.vmap(one)(*carry)
        return (params, state), jnp.mean(value)

    carry, losses = jax.lax.scan(step, (params, state), first + jnp.arange(steps))
    params, state = carry
    return jax.vmap(network.spec.flatten)(params), state, losses[-1]


@functools.partial(jax.jit, static_argnums=0)
def _losses(network: Network, flat: jax.Array, inputs: jax.Array, labels: jax.Array) -> jax.Array:
    """Return the loss of each of n networks [n, D] on all examples: [n]."""

    def one(flat: jax.Array) -> jax.Array:
        logits = network.apply(network.spec.unflatten(flat), inputs)
        return jnp.mean(cross_entropy(logits, labels))

    return jax.vmap(one)(flat)

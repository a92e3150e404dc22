"""Training predicted networks further, on as many examples as there are."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import given
from mole_jax.core.console.progress import Progress
from mole_jax.core.devices import precision
from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.population import member, optimizer
from mole_jax.population.hyperparameters import OPTIMIZERS, Hyperparameters
from mole_jax.population.population_config import PopulationConfig
from mole_jax.sampling.support import as_integers
from mole_jax.tasks.classification import cross_entropy
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network

if TYPE_CHECKING:
    from mole_jax.sampling.networks import Networks

SHOWN = 100  # steps between progress updates


class TuningRecipe(NamedTuple):
    """How the zoo's networks were trained; plain values, so that it hashes."""

    optimizer: str = "adam"
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    batch_size: int = 64
    coupled_decay: bool = False

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> TuningRecipe:
        """Return a config's recipe: the geometric mean of its rates, the first of its optimizers.

        Keys that older and imported configs lack have their defaults.
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


class _Under(NamedTuple):
    """A training under way: leaves [n, ...], kernels as in `member.transposed_kernels`."""

    params: Any
    state: Any


def fine_tune(nets: Networks, x: Any, y: Any, steps: int, *, key: jax.Array, rate: Any) -> Networks:
    """Train networks on examples; see `Networks.fine_tune`."""
    network, recipe = nets.network, nets.recipe
    if not network.classifies:
        raise UserError(f"fine_tune: a {network.name} has no labelled examples to be trained on")
    if given.is_traced((nets.params, x, y, key)):
        raise UserError("fine_tune: its inputs are traced: call it outside of jit, vmap and grad")
    steps, key = given.whole("fine_tune: steps", steps, 0), given.prng_key("key", key)
    rate = recipe.learning_rate if rate is None else rate
    rate = given.real("fine_tune: learning_rate", rate, 0, given.LARGEST)
    with precision.single():
        examples = jax.device_put(_examples(nets, x, y))
        given_flat = network.spec.flatten(nets.params)  # [..., D]
        hyper = Hyperparameters(
            jnp.float32(rate),
            jnp.float32(recipe.weight_decay),
            jnp.float32(1.0),
            jnp.int32(OPTIMIZERS.index(recipe.optimizer)),
        )
        under = _begin(network, recipe, given_flat.reshape(-1, network.spec.size))
        with Progress("fine_tune", steps) as bar:
            for first in range(0, steps, SHOWN):
                n = min(SHOWN, steps - first)
                under, loss = _train(network, recipe, n, under, examples, hyper, key, first)
                bar.update(n, loss=float(loss))
        flat = _end(network, under)
    if not np.isfinite(flat).all():
        raise UserError(
            "fine_tune: the networks would hold NaN or infinity: take a learning_rate below "
            f"{rate:g}"
        )
    params = network.spec.unflatten(flat.reshape(given_flat.shape))
    return dataclasses.replace(nets, params=params, predicted_metric=None)


def _examples(nets: Networks, x: Any, y: Any) -> Examples:
    """Check examples and labels, and return them as networks take them."""
    rows, k = nets.inputs.flat("fine_tune: x", x), nets.network.n_outputs
    if not len(rows):
        raise UserError("fine_tune: x is empty: give one example or more")
    if said := nets.inputs.strangeness("fine_tune: x", rows):
        warnings.warn(said, MoleWarning, stacklevel=4)
    labels = as_integers(given.array("fine_tune: y", y))
    if labels.shape != (len(rows),):
        raise UserError(f"fine_tune: {len(rows)} images and labels {list(labels.shape)} do not fit")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= k:
        raise UserError(f"fine_tune: labels must be integers in 0..{k - 1}, one for each output")
    inputs: Any = np.asarray(nets.inputs.standardised(np.asarray(rows)), np.float32)
    of_rows: Any = labels.astype(np.int32)
    ones: Any = np.ones(len(rows), bool)
    return Examples(inputs, of_rows, ones)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _begin(network: Network, recipe: TuningRecipe, flat: jax.Array) -> _Under:
    update = optimizer.of_names((recipe.optimizer,), recipe.coupled_decay)

    def one(flat: jax.Array) -> _Under:
        params = member.transposed_kernels(network, network.spec.unflatten(flat))
        return _Under(params, update.init(None, params))

    return jax.vmap(one)(flat)


@functools.partial(jax.jit, static_argnums=0)
def _end(network: Network, under: _Under) -> jax.Array:
    """Return the networks' parameters, [n, D]."""

    def one(params: Any) -> Any:
        return network.spec.flatten(member.transposed_kernels(network, params))

    return jax.vmap(one)(under.params)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _train(
    network: Network,
    recipe: TuningRecipe,
    steps: int,
    under: _Under,
    examples: Examples,
    hyper: Hyperparameters,
    key: jax.Array,
    first: jax.Array,
) -> tuple[_Under, jax.Array]:
    """Take steps, all networks on the same minibatches; step i depends on the key and i alone.

    Returns:
        The networks, and the mean loss of the last minibatch.
    """
    update = optimizer.of_names((recipe.optimizer,), recipe.coupled_decay)
    microbatch = network.microbatch if jax.default_backend() == "cpu" else 0

    def loss(params: Any, batch: Examples) -> jax.Array:
        logits = network.apply(member.transposed_kernels(network, params), batch.inputs)
        return jnp.mean(cross_entropy(logits, batch.labels))

    def step(under: _Under, i: jax.Array) -> tuple[_Under, None]:
        batch = _drawn(examples, recipe, key, i)

        def one(params: Any, state: Any) -> _Under:
            gradients = member.gradient(loss, params, batch, microbatch)
            rate = jnp.float32(1.0)
            return _Under(*update.apply(None, hyper, state, gradients, params, rate))

        return jax.vmap(one)(*under), None

    under, _ = jax.lax.scan(step, under, first + jnp.arange(steps))
    last = _drawn(examples, recipe, key, first + steps - 1)
    return under, jnp.mean(jax.vmap(loss, (0, None))(under.params, last))


def _drawn(examples: Examples, recipe: TuningRecipe, key: jax.Array, i: jax.Array) -> Examples:
    """Draw the minibatch of step i uniformly, with replacement."""
    m = len(examples.labels)
    rows = jax.random.randint(jax.random.fold_in(key, i), (recipe.batch_size,), 0, m)
    return jax.tree.map(lambda a: a[rows], examples)

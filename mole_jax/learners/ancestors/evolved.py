"""An evolved local learning rule: a weight changes by what its own two ends know.

Each weight's change is a polynomial of the activation before it, the activation and the error
signal after it, and the weight itself (Bengio, Bengio and Cloutier 1991; Chalmers 1990). Evolution
finds the coefficients, beginning with a rule that changes nothing. The mutation strength of each
coefficient evolves along with it (Schmidhuber 1987; here by SNES, Schaul et al. 2011).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.learners import query_loss
from mole_jax.learners.ancestors import evolution
from mole_jax.learners.ancestors.ancestor import Ancestor, AncestorConfig, check_tries
from mole_jax.tasks.classification import masked
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network, fewer_outputs
from mole_jax.tasks.networks.mlp import layer_names
from mole_jax.training.learner import Episodes, Label, Request, Uses

NAME = "evolved"
LABEL = Label("Evolved rule", "An evolved local rule says how each weight changes.")
# Factors of a term: from the end before a weight (1, activation), the end after it (1, activation,
# error, their product), and the weight (1, itself).
TERMS = (2, 4, 2)
LARGEST = 10.0  # bounds weights, and the loss of a rule that diverges


@dataclasses.dataclass(frozen=True)
class EvolvedConfig(AncestorConfig):
    """The section of the evolved rule."""

    rate: float = 1.0  # learning rate of the strategy
    batch_size: int = 8  # episodes that every rule of a generation is tried on
    population: int = 32  # rules in a generation
    sigma: float = 0.03  # initial standard deviation of mutations
    evolve_sigma: bool = True  # adapt sigma for each coefficient; False: keep it constant
    inner_steps: int = 20  # steps on a support set
    # Numbers of steps among which the evaluation chooses on training subsets.
    try_steps: tuple[int, ...] = (10, 20, 40)

    knobs: ClassVar[tuple[str, ...]] = ("rate", "sigma")

    def check(self, name: str) -> None:
        """Raise UserError for invalid values, naming the key."""
        super().check(name)
        for key, least in (("population", 4), ("inner_steps", 1)):
            if getattr(self, key) < least:
                raise UserError(
                    f"learners.{name}.{key}={getattr(self, key)} must be {least} or more"
                )
        if self.sigma <= 0:
            raise UserError(f"learners.{name}.sigma={self.sigma} must be above 0")
        check_tries(name, "try_steps", self.try_steps)


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=[],
    meta_fields=["network", "name", "label", "mesh", "parts", "config", "steps"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class Evolved(Ancestor):
    """A rule and its mutation: theta has mean coefficients and their log standard deviations."""

    config: EvolvedConfig
    steps: int  # of an adaptation

    uses: ClassVar[Uses] = Uses(target_metric=False, samples=False)

    def init(self, key: jax.Array) -> dict[str, Any]:
        """Return a rule that changes nothing."""
        rule = {"hidden": jnp.zeros(TERMS), "output": jnp.zeros(TERMS)}
        spread = jax.tree.map(lambda x: jnp.full_like(x, jnp.log(self.config.sigma)), rule)
        return {"mean": rule, "log_std": spread}

    def gradient(
        self, theta: Any, batch: Episodes, key: jax.Array
    ) -> tuple[Any, dict[str, jax.Array]]:
        """Return minus a generation's step, for the mean rule and for its mutation."""

        def losses_of(rules: Any) -> jax.Array:
            losses = jax.vmap(lambda rule: self._loss(rule, batch))(rules)
            return jnp.where(jnp.isfinite(losses), jnp.minimum(losses, LARGEST), LARGEST)

        found = evolution.generation(
            losses_of,
            theta["mean"],
            theta["log_std"],
            rng.named(key, "mutations"),
            population=self.config.population,
            adapt=self.config.evolve_sigma,
        )
        spread = jnp.mean(ravel_pytree(theta["log_std"])[0])
        return {"mean": found.mean, "log_std": found.log_std}, {
            "loss": jnp.mean(found.losses),
            "best": jnp.min(found.losses),
            "mutation": jnp.exp(spread),
        }

    def _loss(self, rule: Any, batch: Episodes) -> jax.Array:
        flat = jax.vmap(functools.partial(self._trained, rule, self.config.inner_steps))(
            batch.start, batch.support
        )
        return query_loss.of_networks(self.network, flat, batch.query)[0]

    def adapt(self, theta: Any, episodes: Episodes, request: Request, key: jax.Array) -> jax.Array:
        """Follow the mean rule on every support set, from its start: [B, D]."""
        batch = len(episodes.start)
        support = jax.tree.map(
            lambda x: jnp.broadcast_to(x, (batch, *x.shape[1:])), episodes.support
        )
        of = functools.partial(self._trained, theta["mean"], self.steps)
        found: jax.Array = jax.vmap(of)(episodes.start, support)
        return found

    def _trained(self, rule: Any, steps: int, start: jax.Array, support: Examples) -> jax.Array:
        spec, layers = self.network.spec, layer_names(self.network)

        def step(params: Any, _: None) -> tuple[Any, None]:
            return _changed(params, rule, layers, support), None

        flat = fewer_outputs.emptied(self.network, start, support.n_classes)
        params, _ = jax.lax.scan(step, spec.unflatten(flat), length=steps)
        return fewer_outputs.emptied(self.network, spec.flatten(params), support.n_classes)

    @property
    def setting(self) -> dict[str, Any]:
        """Return the number of steps."""
        return {"steps": self.steps}

    def choices(self) -> tuple[Evolved, ...]:
        """Return the numbers of steps to be tried."""
        return tuple(dataclasses.replace(self, steps=n) for n in self.config.try_steps)


def _changed(params: Any, rule: Any, layers: list[str], support: Examples) -> Any:
    """Return the layers after one change of every weight, on all examples together."""
    weight = support.mask / jnp.maximum(jnp.sum(support.mask), 1)
    activations = [support.inputs]
    for name in layers[:-1]:
        activations.append(jax.nn.relu(_through(params[name], activations[-1])))
    logits = masked(_through(params[layers[-1]], activations[-1]), support.n_classes)
    answer = jax.nn.softmax(logits)
    error = jax.nn.one_hot(support.labels, logits.shape[-1]) - answer
    after, found = answer, {}
    for name, before in zip(reversed(layers), reversed(activations), strict=True):
        own = params[name]
        terms = rule["output" if name == layers[-1] else "hidden"]
        found[name] = {
            "kernel": _moved(own["kernel"], terms, before, after, error, weight),
            "bias": _moved(own["bias"][None], terms, jnp.ones_like(before[:, :1]), after, error,
                           weight)[0],
        }  # fmt: skip
        # The error signal is passed back through the weights to active units.
        error, after = (error @ own["kernel"].T) * (before > 0), before
    return found


def _through(layer: Any, x: jax.Array) -> jax.Array:
    return x @ layer["kernel"] + layer["bias"][None]


def _moved(
    kernel: jax.Array,
    terms: jax.Array,
    before: jax.Array,
    after: jax.Array,
    error: jax.Array,
    weight: jax.Array,
) -> jax.Array:
    """Return weights [i, o] after a step, of ends [n, i] and [n, o] and shares [n] of examples."""
    ends = jnp.stack([jnp.ones_like(before), before])  # [2, n, i]
    others = jnp.stack([jnp.ones_like(after), after, error, after * error])  # [4, n, o]
    each = jnp.einsum("ani,bno,n,abc->cio", ends, others, weight, terms)
    return jnp.clip(kernel + each[0] + each[1] * kernel, -LARGEST, LARGEST)


def build(config: EvolvedConfig, network: Network, name: str) -> Evolved:
    """Build the learner."""
    return Evolved(network, name, LABEL, None, 1, config, config.inner_steps)

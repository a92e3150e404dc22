"""A learned optimizer's own figures: quadratics of ten dimensions, and MLPs on small images.

Andrychowicz et al. 2016, sections 3.1 and 3.2. Quadratics |W theta - y|^2 with Gaussian W, y and
theta; the MLP has one hidden layer of 20 sigmoid units, minibatches of 128 and 100 steps. Against
SGD, momentum, RMSprop and Adam, each at the rate that was best on other functions of the same kind.

`run` has quadratics and digits; `run_clothes` has Fashion-MNIST in MNIST's place, at its full size.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from sklearn.datasets import load_digits

from benchmarks.ancestors.functions import train
from benchmarks.clothes import SOURCE
from mole_jax.core import rng
from mole_jax.learners.ancestors import learned_optimizer, unrolling
from mole_jax.tasks import sources
from mole_jax.training.learner import Label
from mole_jax.training.source import OnDevice

STEPS, TRUNCATION = 100, 20
RATES = tuple(float(x) for x in np.logspace(-4, 1, 21))
RIVALS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "SGD": optax.sgd,
    "momentum": lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True),
    "RMSprop": optax.rmsprop,
    "Adam": optax.adam,
}


class Problem(NamedTuple):
    """A kind of function to be minimised, of which every key draws one."""

    start: Callable[[jax.Array], Any]  # key -> parameters
    loss: Callable[[Any, jax.Array, jax.Array], jax.Array]  # (parameters, key, key of a step)


def quadratics(size: int = 10) -> Problem:
    """Return quadratics: the function is drawn from the key, and is the same at every step."""

    def loss(theta: jax.Array, key: jax.Array, step: jax.Array) -> jax.Array:
        w = jax.random.normal(rng.named(key, "w"), (size, size))
        y = jax.random.normal(rng.named(key, "y"), (size,))
        return jnp.sum(jnp.square(w @ theta - y))

    return Problem(lambda key: jax.random.normal(rng.named(key, "start"), (size,)), loss)


def classifiers(
    images: jax.Array,
    labels: jax.Array,
    hidden: tuple[int, ...] = (20,),
    activation: Callable[[jax.Array], jax.Array] = jax.nn.sigmoid,
    batch: int = 128,
) -> Problem:
    """Return MLPs for ten classes: the same images for all, other starts and minibatches."""
    sizes = (images.shape[1], *hidden, 10)

    def start(key: jax.Array) -> Any:
        keys = jax.random.split(rng.named(key, "start"), len(sizes) - 1)
        shapes = list(itertools.pairwise(sizes))
        return [
            {"kernel": 0.1 * jax.random.normal(k, shape), "bias": jnp.zeros(shape[1])}
            for k, shape in zip(keys, shapes, strict=True)
        ]

    def loss(params: Any, key: jax.Array, step: jax.Array) -> jax.Array:
        rows = jax.random.choice(step, len(images), (batch,))
        x = images[rows]
        for i, layer in enumerate(params):
            x = x @ layer["kernel"] + layer["bias"]
            x = activation(x) if i < len(params) - 1 else x
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(x, labels[rows]))

    return Problem(start, loss)


def digits() -> tuple[jax.Array, jax.Array]:
    """Return scikit-learn's digits, pixels in [0, 1]: in place of MNIST, which is not at hand."""
    found = load_digits()
    return jnp.asarray(found.data / 16, jnp.float32), jnp.asarray(found.target, jnp.int32)


def clothes() -> tuple[jax.Array, jax.Array]:
    """Return the training images of Fashion-MNIST, pixels in [0, 1]; raise UserError without it."""
    found = sources.load(SOURCE)
    return (
        jnp.asarray(found.images.reshape(len(found.images), -1) / 255, jnp.float32),
        jnp.asarray(found.labels, jnp.int32),
    )


def curve(
    problem: Problem, optimizer: optax.GradientTransformation, key: jax.Array, steps: int
) -> jax.Array:
    """Return the losses [steps] of a function while it is minimised, each before the step."""
    params = problem.start(key)

    def step(carry: Any, i: jax.Array) -> tuple[Any, jax.Array]:
        params, state = carry
        loss, slope = jax.value_and_grad(problem.loss)(params, key, rng.at(key, "step", i))
        update, state = optimizer.update(slope, state, params)
        return (optax.apply_updates(params, update), state), loss

    return jax.lax.scan(step, (params, optimizer.init(params)), jnp.arange(steps))[1]


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=[], meta_fields=["problem", "kind", "scale"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class Optimizer:
    """A learned optimizer in training, as `loop.fit` takes it; a batch are keys of functions."""

    problem: Problem
    kind: str = learned_optimizer.LSTM
    scale: float = 0.1

    name = "l2l"
    label = Label("L2L", "A learned optimizer.")
    n_tokens = 1
    source = "functions"

    def init(self, key: jax.Array) -> Any:
        return learned_optimizer.init(self.kind, key)

    def gradient(self, theta: Any, batch: Any, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        """Return the gradient of the mean loss, cut after every TRUNCATION steps."""
        make = functools.partial(learned_optimizer.transformation, kind=self.kind, scale=self.scale)

        def segment(theta: Any, carry: Any, i: jax.Array) -> tuple[jax.Array, Any]:
            first, optimizer, (params, state) = i * TRUNCATION, make(theta), carry
            carry, losses = jax.vmap(
                lambda params, state, key: self._followed(optimizer, first, params, state, key)
            )(params, state, batch)
            return jnp.mean(losses), carry

        begun = jax.vmap(self.problem.start)(batch)
        state = jax.vmap(make(theta).init)(begun)
        grads, loss = unrolling.truncated(segment, theta, (begun, state), STEPS // TRUNCATION)
        return grads, {"loss": loss}

    def _followed(
        self,
        optimizer: optax.GradientTransformation,
        first: jax.Array,
        params: Any,
        state: Any,
        key: jax.Array,
    ) -> tuple[Any, jax.Array]:
        """Take TRUNCATION steps: (parameters, state) after them, and the losses after each."""

        def step(carry: Any, i: jax.Array) -> tuple[Any, jax.Array]:
            params, state = carry
            drawn = key, rng.at(key, "step", i)
            slope = jax.grad(self.problem.loss)(jax.lax.stop_gradient(params), *drawn)
            update, state = optimizer.update(slope, state, params)
            params = optax.apply_updates(params, update)
            return (params, state), self.problem.loss(params, *drawn)

        return jax.lax.scan(step, (params, state), first + jnp.arange(TRUNCATION))

    def on(self, mesh: Mesh, parts: int) -> Optimizer:
        return self

    def check_mesh(self, mesh: Mesh) -> None:
        pass

    def without_remat(self) -> None:
        return None


@dataclasses.dataclass(frozen=True, eq=False)
class Draws(OnDevice):
    """Keys of functions, a batch for every step."""

    batch_size: int

    constants = ()

    def draw(self, constants: Any, drawn: Any, root: jax.Array, step: int | jax.Array) -> jax.Array:
        return jax.random.split(rng.at(root, "functions", step), self.batch_size)


class Kind(NamedTuple):
    """What an optimizer is trained on, and on what else it is tried."""

    name: str
    trained_on: Problem
    tried_on: dict[str, Problem]
    batch_size: int
    steps: int
    scale: float
    tests: int  # functions


def kinds() -> tuple[Kind, ...]:
    """Return the two of the paper."""
    images = digits()
    mlps = {
        "20 units": classifiers(*images),
        "40 units": classifiers(*images, hidden=(40,)),
        "two layers": classifiers(*images, hidden=(20, 20)),
        "ReLU": classifiers(*images, activation=jax.nn.relu),
    }
    return (
        Kind("quadratics", quadratics(), {"10 dimensions": quadratics()}, 128, 1500, 0.1, 256),
        Kind("MLPs on digits", mlps["20 units"], mlps, 2, 1500, 0.1, 64),
    )


def kinds_of_clothes() -> tuple[Kind, ...]:
    """Return MLPs 784-20-10; a step of meta-training takes twelve times as long, so: 200 steps."""
    images = clothes()
    tried = {
        "20 units": classifiers(*images),
        "40 units": classifiers(*images, hidden=(40,)),
        "digits": classifiers(*digits()),
    }
    return (Kind("MLPs on clothes", tried["20 units"], tried, 2, 200, 0.1, 64),)


def run_clothes(folder: Path, seed: int, shorter: int = 1) -> list[dict[str, Any]]:
    """Do what `run` does, on Fashion-MNIST."""
    return run(folder, seed, shorter, kinds_of_clothes)


def run(
    folder: Path, seed: int, shorter: int = 1, of: Callable[[], tuple[Kind, ...]] = kinds
) -> list[dict[str, Any]]:
    """Train an optimizer of each kind, tune the others, and let all minimise new functions."""
    rows = []
    for kind in of():
        learner = Optimizer(kind.trained_on, scale=kind.scale)
        own = folder / f"l2l_{kind.name.split()[-1].lower()}_{seed}"
        steps = kind.steps // shorter
        state = train(learner, Draws(kind.batch_size), own, seed=seed, steps=steps, rate=3e-3,
                      gradient_clip=1.0)  # fmt: skip
        learned = learned_optimizer.transformation(state.ema, learner.kind, learner.scale)
        for name, problem in kind.tried_on.items():
            tests = jax.random.split(rng.named(rng.key(seed), "test"), kind.tests)
            tuned_on = jax.random.split(rng.named(rng.key(seed), "tuning"), kind.tests // 4)
            found: dict[str, Any] = {"L2L": (None, _curves(problem, learned, tests))}
            for rival, make in RIVALS.items():
                ends = _curves_of_rates(problem, make, tuned_on)[:, :, STEPS - 1].mean(1)
                best = RATES[int(np.nanargmin(ends))]
                found[rival] = best, _curves(problem, make(best), tests)
            for method, (rate, losses) in found.items():
                for at in (STEPS, 2 * STEPS):
                    own_losses = losses[:, at - 1]
                    rows.append(
                        {
                            "trained on": kind.name, "tried on": name, "method": method,
                            "rate": rate, "steps": at, "loss": float(own_losses.mean()),
                            "half": float(1.96 * own_losses.std() / np.sqrt(len(own_losses))),
                            "sum": float(losses[:, :STEPS].sum(1).mean()), "seed": seed,
                            "meta_steps": steps,
                        }
                    )  # fmt: skip
    return rows


def _curves_of_rates(
    problem: Problem, make: Callable[[Any], optax.GradientTransformation], keys: jax.Array
) -> np.ndarray:
    def of_rate(rate: jax.Array) -> jax.Array:
        return jax.vmap(lambda key: curve(problem, make(rate), key, STEPS + 1))(keys)

    return np.asarray(jax.lax.map(jax.jit(of_rate), jnp.array(RATES)))[:, :, 1:]


def _curves(
    problem: Problem, optimizer: optax.GradientTransformation, keys: jax.Array
) -> np.ndarray:
    of = jax.jit(jax.vmap(lambda key: curve(problem, optimizer, key, 2 * STEPS + 1)))
    return np.asarray(of(keys))[:, 1:]  # after each step

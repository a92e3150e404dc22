"""Readers on functions: quadratics of two variables (Hochreiter et al. 2001), and sinusoids.

The paper says that an LSTM of about 5,000 weights predicts any such quadratic after some 30
examples. Its coefficients, as far as they could be found, lie in [-1, 1], and so do inputs. The
error is shown against the number of examples, in units of the functions' variance.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.ancestors.functions import Functions, regressor, train
from benchmarks.ancestors.sinusoids import sines
from mole_jax.core import rng
from mole_jax.learners.ancestors import sequence
from mole_jax.learners.ancestors.sequence import Sequence, SequenceConfig

SHOWN = (1, 2, 3, 5, 6, 10, 20, 30, 50)
TESTS = 1000


@dataclasses.dataclass(frozen=True)
class Kind:
    """Functions, and how their readers are trained."""

    name: str
    n_inputs: int
    draw: Any
    batch_size: int = 64


def quadratics(n: int) -> Any:
    """Return a function that draws n points of a quadratic function of two variables."""

    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        c = jax.random.uniform(rng.named(key, "coefficients"), (6,), minval=-1, maxval=1)
        x = jax.random.uniform(rng.named(key, "x"), (n, 2), minval=-1, maxval=1)
        return x, monomials(x) @ c

    return draw


def monomials(x: jax.Array) -> jax.Array:
    """Return what quadratics of two variables are made of: [n, 2] -> [n, 6]."""
    a, b = x[:, 0], x[:, 1]
    return jnp.stack([a * a, b * b, a * b, a, b, jnp.ones_like(a)], axis=1)


KINDS = (
    Kind("quadratics of two variables", 2, quadratics(SHOWN[-1] + 1)),
    Kind("MAML's sinusoids", 1, sines((1.0, 1.0), SHOWN[-1] + 1)),
)
STEPS = {"recurrent": 20_000, "in_context": 2_000, "self_referential": 5_000}  # about as long
# About as many weights as the LSTM of the paper; the others have as many as they need.
SIZES = {
    "recurrent": SequenceConfig(width=24, layers=1, heads=1),
    "in_context": SequenceConfig(width=32, layers=2, heads=4),
    "self_referential": SequenceConfig(width=32, layers=1, heads=4),
}


def run(folder: Path, seed: int, shorter: int = 1) -> list[dict[str, Any]]:
    """Train every reader on every kind; errors by number of examples."""
    rows = []
    for kind in KINDS:
        network = regressor(kind.n_inputs, (1,))
        source = Functions(network, kind.draw, SHOWN[-1], kind.batch_size)
        tests = source.episodes(rng.named(rng.key(seed), "test"), TESTS)
        variance = float(jnp.var(tests.support.labels))
        for name, size in SIZES.items():
            learner = sequence.build(size, network, name)
            own = folder / f"{name}_{kind.name.split()[0].lower().strip(chr(39) + 's')}_{seed}"
            steps = STEPS[name] // shorter
            state = train(learner, source, own, seed=seed, steps=steps, rate=3e-3,
                          gradient_clip=1.0, warmup_steps=steps // 20)  # fmt: skip
            errors = errors_by_examples(learner, state.ema, tests)
            rows.append(
                {
                    "functions": kind.name, "learner": learner.label.label, "seed": seed,
                    "meta_steps": steps, "variance": variance,
                    "weights": sum(x.size for x in jax.tree.leaves(state.ema)),
                    "errors": {n: float(errors[n].mean()) for n in SHOWN},
                    "half": {
                        n: float(1.96 * errors[n].std() / np.sqrt(TESTS)) for n in SHOWN
                    },
                }
            )  # fmt: skip
    return rows


def errors_by_examples(learner: Sequence, theta: Any, tests: Any) -> dict[int, np.ndarray]:
    """Return squared errors [functions] on a new point after each number of examples."""

    @jax.jit
    def errors(theta: Any, given: Any, n: jax.Array) -> jax.Array:
        mask = jnp.arange(given.support.mask.shape[1])[None] < n
        support = given.support._replace(mask=jnp.broadcast_to(mask, given.support.mask.shape))
        asked = given._replace(support=support)
        answers = learner.classify(theta, asked, given.query.inputs, jax.random.key(0))
        return jnp.mean(jnp.square(answers[..., 0] - given.query.labels), axis=1)

    return {n: np.asarray(errors(theta, tests, jnp.int32(n))) for n in SHOWN}

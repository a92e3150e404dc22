"""Wrong shapes that functions of tasks refuse."""

from __future__ import annotations

import functools

import jax

from mole_jax.tasks import outputs
from mole_jax.tasks.classification import cross_entropy, loss_and_accuracy
from mole_jax.tasks.networks import policy
from tests.shapes.things import (
    CATEGORICAL,
    CNN,
    GAUSSIAN,
    KEY,
    MLP,
    B,
    Case,
    N,
    bools,
    floats,
    ints,
    setting,
)


def of_cross_entropy() -> Case:
    good = {"logits": floats(B, N, 3), "labels": ints(B, N)}
    return Case(cross_entropy, good, (("labels", ints(N), "labels [...]"),))


def of_loss_and_accuracy() -> Case:
    return Case(
        loss_and_accuracy,
        {"logits": floats(B, N, 3), "labels": ints(N), "mask": bools(N)},
        (
            ("labels", ints(1), "labels, mask [n]"),
            ("mask", bools(B, N), "labels, mask [n]"),
            ("labels", floats(N), "labels int"),
            ("mask", floats(N), "mask bool"),
        ),
    )


def of_error() -> Case:
    return Case(
        functools.partial(outputs.error, GAUSSIAN),
        {"outputs": floats(N, 1), "targets": floats(N, 1)},
        (("targets", floats(N), "outputs, targets [n, O]"),),
    )


def of_pool() -> Case:
    pool = functools.partial(setting().family.device_data.pool, "validation")
    return Case(pool, {"task": ints()}, (("task", ints(3), "task []"),))


def of_apply() -> Case:
    params = jax.eval_shape(MLP.init, KEY)
    bad = (("x", floats(N, 8), "x [..., n_inputs]"),)
    return Case(MLP.apply, {"params": params, "x": floats(N, 7)}, bad)


def of_apply_to_images() -> Case:
    params = jax.eval_shape(CNN.init, KEY)
    bad = (("x", floats(N, 4, 4, 2), "x [..., n_inputs]"), ("x", floats(8, N), "n_inputs"))
    return Case(CNN.apply, {"params": params, "x": floats(N, 32)}, bad)


def of_log_probability() -> Case:
    return Case(
        functools.partial(policy.log_probability, GAUSSIAN),
        {
            "params": jax.eval_shape(GAUSSIAN.init, KEY),
            "observation": floats(N, 4),
            "action": floats(N, 1),
        },
        (("action", floats(N), "action [..., A]"),),
    )


def of_log_probability_of_choices() -> Case:
    return Case(
        functools.partial(policy.log_probability, CATEGORICAL),
        {
            "params": jax.eval_shape(CATEGORICAL.init, KEY),
            "observation": floats(N, 4),
            "action": ints(N),
        },
        (("action", ints(N, 1), "action [...]"),),
    )

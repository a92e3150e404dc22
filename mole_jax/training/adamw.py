"""The optimizer of meta-training: AdamW with a learning-rate schedule."""

from __future__ import annotations

import jax
import optax

from mole_jax.training.train_config import TrainConfig


def learning_rate(hyper: TrainConfig) -> optax.Schedule:
    """Return the schedule: warm-up then cosine, or warm-up times a cosine from the first step.

    The second is G.pt's (Peebles et al. 2022).
    """
    if hyper.schedule == "warmup_then_cosine":
        return optax.warmup_cosine_decay_schedule(
            0.0, hyper.learning_rate, max(hyper.warmup_steps, 1), hyper.steps + 1
        )
    cosine = optax.cosine_decay_schedule(hyper.learning_rate, hyper.steps)
    warmup = optax.linear_schedule(0.0, 1.0, hyper.warmup_steps)
    return lambda step: cosine(step) * (warmup(step) if hyper.warmup_steps else 1.0)


def optimizer(hyper: TrainConfig) -> optax.GradientTransformation:
    """Return AdamW with a linear warm-up and a cosine to zero; weight decay on matrices only.

    With `plain` it is gradient descent with a constant rate.
    """
    if hyper.plain:
        return optax.sgd(hyper.learning_rate)
    return optax.chain(
        optax.clip_by_global_norm(hyper.gradient_clip),
        optax.adamw(
            learning_rate(hyper),
            b2=hyper.beta2,
            weight_decay=hyper.weight_decay,
            mask=lambda params: jax.tree.map_with_path(
                lambda path, _: bool(path) and getattr(path[-1], "key", "") == "kernel", params
            ),
        ),
    )

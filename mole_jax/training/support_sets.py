"""Support sets in training: drawn for every task, with random sizes."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from mole_jax.core import rng
from mole_jax.core.errors import UserError
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.family import DeviceData

# `uniform`: all numbers of shots are equally frequent; `log`: their logarithm is uniform, so one
# or two shots are as frequent as five to ten.
SIZES = ("uniform", "log")


@dataclasses.dataclass(frozen=True)
class SupportSizes:
    """The number of examples per class in support sets."""

    least: int
    most: int
    sizes: str = "uniform"  # one of SIZES
    unequal: float = 0.0  # share of support sets whose classes differ in size

    def check(self) -> None:
        """Raise UserError for invalid sizes, naming the key."""
        if not 1 <= self.least <= self.most:
            raise UserError(
                f"training.support_min_per_class={self.least} must lie in "
                f"1..data.support_per_class={self.most}"
            )
        if self.sizes not in SIZES:
            raise UserError(f"training.support_sizes={self.sizes!r} is unknown; there are {SIZES}")
        if not 0 <= self.unequal <= 1:
            raise UserError(
                f"training.support_unequal={self.unequal} must lie in [0, 1]: it is a share"
            )


def draw(
    rules: SupportSizes, data: DeviceData, task: jax.Array, n_classes: int, key: jax.Array
) -> Examples:
    """Draw a fresh support set for each of B tasks: leaves [B, K * most]."""
    batch = len(task)
    set_key, size_key = jax.random.split(key)
    support = jax.vmap(lambda t, k: data.support(t, k, rules.most))(
        task, jax.random.split(set_key, batch)
    )
    n = support.labels.shape[1]
    # Examples are grouped by class, in random order: the first of each class are a random choice.
    rank = jnp.arange(n) % (n // n_classes)
    size = _sizes(rules, size_key, (batch,))[:, None]  # [B, 1]
    if rules.unequal:
        each = _sizes(rules, jax.random.fold_in(size_key, 1), (batch, n_classes))
        differ = jax.random.uniform(jax.random.fold_in(size_key, 2), (batch, 1)) < rules.unequal
        size = jnp.repeat(jnp.where(differ, each, size), n // n_classes, axis=1)  # [B, n]
    return support._replace(mask=support.mask & (rank[None] < size))


def _sizes(rules: SupportSizes, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    if rules.sizes == "uniform":
        return jax.random.randint(key, shape, rules.least, rules.most + 1)
    low, high = jnp.log(float(rules.least)), jnp.log(rules.most + 1.0)
    drawn = jnp.exp(low + (high - low) * jax.random.uniform(key, shape))
    return jnp.clip(drawn.astype(jnp.int32), rules.least, rules.most)


def random_orders(
    key: jax.Array,
    batch: int,
    n_classes: int,
    share: float,
    present: jax.Array | None = None,
) -> jax.Array:
    """Draw orders of classes [B, K]: random ones in a share of the tasks, else the given order.

    In tasks with `present` [B] classes only these are reordered; None: all are.
    """
    each = jax.random.split(rng.named(key, "labels"), batch)
    order = jax.vmap(lambda k: jax.random.permutation(k, n_classes))(each)
    if present is not None:
        # The sort is stable: present classes come first, in the order that was drawn.
        absent = order >= present[:, None]
        order = jnp.take_along_axis(order, jnp.argsort(absent, axis=1), axis=1)
        at = jnp.arange(n_classes)[None]
        order = jnp.where(at < present[:, None], order, at)
    chosen = jax.random.uniform(rng.named(key, "renamed"), (batch, 1)) < share
    return jnp.where(chosen, order, jnp.arange(n_classes)[None])


def renamed(examples: Examples, order: jax.Array) -> Examples:
    """Give examples [B, n] of old class order[b, i] the label i."""
    new = jnp.argsort(order, axis=1)  # [B, K]: new label of each old one
    return examples._replace(labels=jnp.take_along_axis(new, examples.labels, axis=1))

"""Whether a zoo has runs that can be learned from: those whose weights and metrics are finite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.zoo.storage.reader import Zoo

# Splits that need usable runs, and what for.
_WANTED = {"train": "to train on", "S1": "to evaluate on"}


def check(zoo: Zoo) -> None:
    """Make sure that a zoo has a run to train on.

    Raises:
        UserError: when every run of the training split has failed.
    """
    n_runs = len(zoo.select(split="train"))
    if not len(zoo.select(split="train", finite=True)):
        limit = zoo.schema.config.get("population", {}).get("max_weight", 0.0)
        beyond = f", or weights are beyond population.max_weight={limit:g}" if limit else ""
        raise UserError(
            f"{zoo.path}: none of the {n_runs} runs to train on can be used, since weights or "
            f"metrics are NaN or infinite{beyond}: look at the data, or lower "
            "population.learning_rate or population.init_scale"
        )


def lacking(zoo: Zoo) -> Iterator[str]:
    """Yield one line for each split in which some data subsets have no usable run."""
    for split, purpose in _WANTED.items():
        there = np.unique(zoo.runs["subset"][zoo.select(split=split)])
        usable = np.unique(zoo.runs["subset"][zoo.select(split=split, finite=True)])
        if len(usable) < len(there):
            first = zoo.schema.tasks[np.setdiff1d(there, usable)[0]].id
            yield (
                f"{len(there) - len(usable)} of {len(there)} data subsets have no usable run "
                f"{purpose} and are left out, such as {first}"
            )

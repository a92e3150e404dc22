"""Which network each task has, where there are several."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import Network
from mole_jax.tasks.subsets import DataSubset

SPLIT = "S4"


def assign(network: Network, chosen: tuple[DataSubset, ...], seed: int) -> tuple[DataSubset, ...]:
    """Give each data subset one of the networks that are trained, and add those of S4.

    An S4 task has the classes of an S1 task and a network that no training task has, so the two
    differ only in the network.

    Args:
        network: of all tasks; without a frame, data subsets stay as they are.
        chosen: the data subsets.
        seed: of the draw.

    Raises:
        UserError: for unseen networks without a held-out data subset.
    """
    frame = network.frame
    if frame is None:
        return chosen
    known = [s for s in chosen if s.split == "S1"]
    if frame.unseen and not known:
        raise UserError(
            "network.unseen: its tasks have the classes of held-out data subsets, and there are "
            "none: raise data.held_out_subsets"
        )
    drawn = frame.trained(np.random.default_rng([seed, 0x512E]))
    return (
        *(_with(s, name, s.split) for s, name in zip(chosen, drawn, strict=False)),
        *(_with(s, name, SPLIT) for name in frame.unseen for s in known),
    )


def table(network: Network, chosen: Sequence[DataSubset]) -> np.ndarray | None:
    """Return the sizes of each task's network, [T, H] int32; None where there is one network."""
    frame = network.frame
    if frame is None:
        return None
    return np.array([frame.sizes(s.network or frame.largest) for s in chosen], np.int32)


def _with(subset: DataSubset, name: str, split: str) -> DataSubset:
    return dataclasses.replace(subset, id=f"{subset.id}-net{name}", split=split, network=name)

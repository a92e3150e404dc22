"""Where the batches of a training come from."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import jax
from jax.sharding import Mesh


class Feed(Protocol):
    """What the dispatches of a training draw from, in order."""

    waited: float  # seconds that dispatches have waited for it so far

    @property
    def resident(self) -> bool:
        """Whether everything is on the device already, with nothing to feed."""

    def take(self, first: int, stop: int) -> Any:
        """Return what the steps [first, stop) draw from; each step is taken once, in order."""


class Source(Protocol):
    """Batches as a function of the step alone, so a resumed training draws the same ones."""

    @property
    def constants(self) -> Any:
        """Arrays that every step draws with, the same for all."""

    def like(self, mesh: Mesh, n_steps: int) -> Any:
        """Return what a feed returns for `n_steps`, as shapes with shardings."""

    def feed(
        self, root: jax.Array, mesh: Mesh, first_step: int, last_step: int, steps_ahead: int
    ) -> AbstractContextManager[Feed]:
        """Begin to feed the steps [first_step, last_step)."""

    def draw(self, constants: Any, drawn: Any, root: jax.Array, step: int | jax.Array) -> Any:
        """Return the batch of a step: leaves [B, ...].

        Args:
            constants: as above, on the devices.
            drawn: what the feed returned for the dispatch of this step.
            root: the key of the training.
            step: the step's number.
        """


class Nothing:
    """A feed with nothing in it, for sources that draw batches on the device."""

    waited = 0.0
    resident = True

    def take(self, first: int, stop: int) -> tuple[()]:
        return ()


class OnDevice:
    """The common part of sources that draw batches on the device: nothing is fed."""

    def like(self, mesh: Mesh, n_steps: int) -> tuple[()]:
        return ()

    @contextlib.contextmanager
    def feed(
        self, root: jax.Array, mesh: Mesh, first_step: int, last_step: int, steps_ahead: int
    ) -> Iterator[Feed]:
        yield Nothing()

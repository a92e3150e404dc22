"""What a representation takes from the zoo: fitted once, when a training begins."""

from __future__ import annotations

from typing import Any, NamedTuple

from mole_jax.representation.normalise import Normaliser


class Fitted(NamedTuple):
    """Constants of a learner, which are stored with it."""

    normaliser: Normaliser  # of the zoo's arrays
    arrays: dict[str, Any]  # by name: a latent's own arrays; empty for a table

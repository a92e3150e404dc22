"""A network in a few characters: `mlp:64,8,5`, `cnn:3,16,32,10`, `policy:4,32,32,1`."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, NamedTuple

from mole_jax.core.errors import UserError
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network

IMAGE_SIDE = 32  # of a CNN's images; its parameters do not imply their size


def usage() -> str:
    """Return the shorthands of all networks that have one, with commas between them."""
    short = [kind.shorthand for kind in networks.KINDS.values() if kind.shorthand]
    return ", ".join(f"{one.word}:{one.sizes}" for one in short)


class Described(NamedTuple):
    """A network, and the config that it is built from."""

    config: dict[str, Any]  # as config.network
    network: Network

    def to_json(self) -> dict[str, Any]:
        """Return what `networks.from_json` builds the network from."""
        return networks.to_json(self.config, self.network)


def parse(text: str, image_side: int = IMAGE_SIDE) -> Described:
    """Return the network of a shorthand: the families of G.pt (Peebles et al. 2022), in any size.

    mlp     linear layers of these sizes, with biases and ReLU between them
    cnn     3x3 convolutions without biases, the first with stride 2 and the others with 1, a border
            of one zero, ReLU after each; mean over the image, and a linear layer
    policy  linear layers with SELU between them put out the means of a Gaussian with a learned
            log_std for each action

    Args:
        text: KIND:SIZES.
        image_side: of a CNN's square images.

    Raises:
        UserError: for anything else.
    """
    word, _, rest = text.partition(":")
    use = f"use {usage()}, such as mlp:64,8,5"
    kinds = {kind.shorthand.word: kind for kind in networks.KINDS.values() if kind.shorthand}
    if word not in kinds:
        raise UserError(f"the network {text!r} is not one that MOLE has; {use}")
    if not re.fullmatch(r"\d+(,\d+){2,}", rest):
        raise UserError(
            f"the network {text!r} needs three sizes at least, whole numbers of 1 or more, with "
            f"commas between them; {use}"
        )
    first, *between, last = map(int, rest.split(","))
    if min(first, *between, last) < 1:
        raise UserError(f"the network {text!r} has a size below 1; {use}")
    kind = kinds[word]
    assert kind.shorthand is not None
    config = kind.shorthand.config(tuple(between))
    shape = (image_side, image_side, first) if kind.shorthand.images else (first,)
    network = kind.build(config, shape, last)
    return Described({"name": kind.name, **dataclasses.asdict(config)}, network)

"""G.pt's tokenisation of its input and output: the four policies of Peebles et al. 2022.

Its input is one long vector: the noisy target's parameters, the start's, and the features of each
scalar. Every piece of it is a token with its own encoder; the first output tokens are decoded into
the estimate's parameters.

    layer_by_layer        a token for each tensor, and for each scalar
    chunk_within_layer    each of these is cut into chunks: no token crosses tensors
    chunk_within_input    target, start and each scalar are cut: a token may cross tensors
    chunk                 the whole vector is cut: a token may also cross from one input to the next

The last chunk of each cut is shorter where the size does not divide evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mole_jax.core.errors import UserError

POLICIES = ("chunk_within_layer", "chunk_within_input", "chunk", "layer_by_layer")


class TokenSizes(NamedTuple):
    """Sizes of tokens, in order."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def token_sizes(
    policy: str, chunk_size: int, tensors: Sequence[int], n_scalars: int, scalar_size: int
) -> TokenSizes:
    """Return the sizes of a meta-model's tokens.

    Args:
        policy: one of POLICIES.
        chunk_size: the most numbers in a token; `layer_by_layer` has no such limit.
        tensors: number of parameters of each tensor of the target network.
        n_scalars: number of scalars in the input.
        scalar_size: features of each scalar.

    Raises:
        UserError: for an unknown policy or a chunk size below 1.
    """
    if policy not in POLICIES:
        raise UserError(f"metamodel.gpt.split={policy!r} is unknown; there are {POLICIES}")
    if chunk_size < 1 and policy != "layer_by_layer":
        raise UserError(f"metamodel.gpt.chunk_size={chunk_size} must be 1 or more")
    scalars, total = [scalar_size] * n_scalars, sum(tensors)
    if policy == "layer_by_layer":
        return TokenSizes((*tensors, *tensors, *scalars), tuple(tensors))
    if policy == "chunk":
        return TokenSizes(
            _cut([2 * total + n_scalars * scalar_size], chunk_size), _cut([total], chunk_size)
        )
    if policy == "chunk_within_input":
        return TokenSizes(_cut([total, total, *scalars], chunk_size), _cut([total], chunk_size))
    return TokenSizes(_cut([*tensors, *tensors, *scalars], chunk_size), _cut(tensors, chunk_size))


def _cut(parts: Sequence[int], size: int) -> tuple[int, ...]:
    """Return the sizes of pieces when each part is cut into `size`, with a shorter last piece."""
    return tuple(min(size, part - done) for part in parts for done in range(0, part, size))

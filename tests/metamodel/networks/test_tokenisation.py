"""Tokens of G.pt: the published models' numbers, and what holds for every policy."""

from __future__ import annotations

import pytest

from mole_jax.core.errors import UserError
from mole_jax.metamodel.networks.tokenisation import POLICIES, token_sizes

MNIST, CIFAR = (7840, 10, 100, 10), (432, 4608, 320, 10)
CARTPOLE = (1, 128, 32, 1024, 32, 32, 1)


@pytest.mark.parametrize(
    ("policy", "size", "tensors", "n_inputs", "n_outputs"),
    [
        ("chunk_within_layer", 1000, MNIST, 26, 11),
        ("chunk_within_layer", 576, CIFAR, 26, 11),
        ("layer_by_layer", 2048, CARTPOLE, 18, 7),
    ],
)
def test_the_published_models(
    policy: str, size: int, tensors: tuple[int, ...], n_inputs: int, n_outputs: int
) -> None:
    found = token_sizes(policy, size, tensors, 4, 257)
    assert (len(found.inputs), len(found.outputs)) == (n_inputs, n_outputs)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_tokens_hold_everything_once(policy: str, size: int) -> None:
    found = token_sizes(policy, size, CIFAR, 2, 33)
    assert sum(found.inputs) == 2 * sum(CIFAR) + 2 * 33
    assert sum(found.outputs) == sum(CIFAR)
    assert min(found.inputs) > 0 and len(found.inputs) >= len(found.outputs)
    if policy != "layer_by_layer":
        assert max(found.inputs) <= size


def test_where_chunks_end() -> None:
    """Tensors of 5 and 3 parameters, one scalar of 3 features, at most 4 in a token."""
    ends = {
        "layer_by_layer": ((5, 3, 5, 3, 3), (5, 3)),
        "chunk_within_layer": ((4, 1, 3, 4, 1, 3, 3), (4, 1, 3)),
        "chunk_within_input": ((4, 4, 4, 4, 3), (4, 4)),
        "chunk": ((4, 4, 4, 4, 3), (4, 4)),
    }
    for policy, (inputs, outputs) in ends.items():
        assert token_sizes(policy, 4, (5, 3), 1, 3) == (inputs, outputs)
    assert token_sizes("chunk", 5, (5, 3), 1, 3) == ((5, 5, 5, 4), (5, 3))
    assert token_sizes("chunk_within_input", 5, (5, 3), 1, 3) == ((5, 3, 5, 3, 3), (5, 3))


def test_what_cannot_be() -> None:
    with pytest.raises(UserError, match=r"metamodel.gpt.split='words' is unknown"):
        token_sizes("words", 5, (5,), 1, 3)
    with pytest.raises(UserError, match=r"metamodel.gpt.chunk_size=0 must be 1 or more"):
        token_sizes("chunk", 0, (5,), 1, 3)

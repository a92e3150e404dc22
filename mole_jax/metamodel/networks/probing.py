"""Gradient of the probe loss at the current weight estimate, as token features.

A transformer that only writes weights never runs the network, so small errors of many units add up
unseen in its outputs. Here the network is run on probes, examples that the meta-model makes up for
each class, and the gradient of its loss shows how to change every parameter. The probes are learned
with all the rest, because the gradient is differentiated too. Related: training on learned examples
is dataset distillation (Wang et al. 2018); Kahana et al. 2024 take outputs on learned inputs as
features of a network.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from mole_jax.metamodel.process.noising import Process
from mole_jax.representation.tokens import ProbeGradient, Representation
from mole_jax.representation.views import Pieces
from mole_jax.tasks import outputs
from mole_jax.tasks.networks import Network


class Denoising(NamedTuple):
    """What the transformer's output is relative to: all that is needed to decode it to tokens.

    Arrays of tokens [B, L, C] are tuples of pieces after `in_pieces`.
    """

    noisy: Any  # [B, L, C]
    start: Any  # [B, L, C] as the transformer sees it, of order 1
    anchor: Any  # [B, L, C] what the output is added to: the start, or the zoo's mean
    t: jax.Array  # [B] in [0, 1]
    scale: Any  # [B, L, C] standard deviation of the target around the anchor
    representation: Representation
    # [B, L, C] bool: what each of the networks of several sizes has; None: all but the padding.
    there: Any = None


class Probes(NamedTuple):
    """Examples that each network is run on, and the answers that it should give."""

    inputs: jax.Array  # [B, n, F]
    targets: jax.Array  # [B, n] labels, or [B, n, O] of a policy: see `outputs.error`
    weights: jax.Array | None = None  # [B, n] 0 or more; None: all count alike
    n_classes: jax.Array | None = None  # [B] of each network's task, as in Examples


@dataclasses.dataclass(frozen=True, eq=False)
class ProbeGradients:
    """Run the current estimate on probes and differentiate their loss.

    It is equivariant: reordering hidden units in output and denoising reorders the gradient.
    """

    process: Process
    network: Network

    def __call__(self, output: jax.Array, of: Denoising, probes: Probes) -> ProbeGradient:
        """Return the gradient of the probes' loss at an output [B, L, C], in tokens."""
        tokens = of.representation
        found = self.in_pieces(tokens.split(output), in_pieces(of), probes)
        return ProbeGradient(*map(tokens.join, found))

    @jax.named_scope("probe_gradient")
    def in_pieces(self, output: Pieces, of: Denoising, probes: Probes) -> ProbeGradient:
        """Return the same in pieces, for an output and an `of` in pieces (see `in_pieces`)."""
        estimate = tuple(
            self.process.clean_estimate(x, noisy, anchor, of.t, scale)
            for x, noisy, anchor, scale in zip(output, of.noisy, of.anchor, of.scale, strict=True)
        )
        if of.there is not None:
            estimate = tuple(x * own for x, own in zip(estimate, of.there, strict=True))
        given = [*estimate, *jax.tree.leaves(probes)]
        chex.assert_equal_shape_prefix(given, 1, custom_message="output, probes [B]")
        gradient = jax.vmap(jax.grad(self._loss))(of.representation.network(estimate), probes)
        return of.representation.pull_back(gradient, estimate)

    def _loss(self, params: dict[str, Any], probes: Probes) -> jax.Array:
        found = self.network.apply(params, probes.inputs)
        error = outputs.error(self.network, found, probes.targets, probes.n_classes)
        if probes.weights is None:
            return jnp.mean(error)
        return jnp.sum(probes.weights * error) / jnp.maximum(jnp.sum(probes.weights), 1.0)


class OnlyShapes(ProbeGradients):
    """Return the input, for `init`: it needs shapes alone, and tracing the gradient takes long."""

    def in_pieces(self, output: Pieces, of: Denoising, probes: Probes) -> ProbeGradient:
        return ProbeGradient(output, output)

    def __call__(self, output: jax.Array, of: Denoising, probes: Probes) -> ProbeGradient:
        return ProbeGradient(output, output)


def in_pieces(of: Denoising) -> Denoising:
    """Split all tokens into the representation's pieces."""
    split = of.representation.split
    return of._replace(
        noisy=split(of.noisy),
        start=split(of.start),
        anchor=split(of.anchor),
        scale=split(of.scale),
        there=None if of.there is None else split(of.there),
    )

"""The meta-model as one record: module, diffusion process, representation, target network."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mole_jax import representation
from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.metamodel.networks import gpt_transformer, transformer
from mole_jax.metamodel.networks.probing import Denoising, ProbeGradientOf, make_probe_gradient
from mole_jax.metamodel.process import noising
from mole_jax.metamodel.process import prompt as prompt_lib
from mole_jax.metamodel.process.noising import Process
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.representation.codec import Codec
from mole_jax.representation.normalise import NORMALISERS, Normaliser
from mole_jax.representation.tokens import Representation
from mole_jax.tasks.networks import Network

Module = transformer.Transformer | gpt_transformer.GPT


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["representation"],
    meta_fields=["module", "process", "network", "probe_gradient", "noiseless", "shared_start"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class MetaModel:
    """What estimates clean tokens; trained parameters are passed in."""

    representation: Representation
    module: Module
    process: Process
    network: Network
    probe_gradient: ProbeGradientOf
    noiseless: bool  # it answers from pure noise alone, of which it sees nothing: regression
    shared_start: bool  # training runs all began from one network

    def on(self, mesh: Mesh) -> MetaModel:
        """Return the same meta-model for training on a mesh."""
        return dataclasses.replace(self, module=self.module.clone(mesh=mesh))

    @property
    def n_tokens(self) -> int:
        """L', the tokens that the transformer works on for each network."""
        return self.module.n_tokens(self.representation.layout)

    @property
    def shape(self) -> tuple[int, int]:
        """(L, C) of the tokens."""
        return self.representation.layout.shape

    def clean_estimate(
        self, params: Any, noisy: jax.Array, t: jax.Array, prompt: Prompt
    ) -> jax.Array:
        """Predict the clean tokens.

        Args:
            params: of the module.
            noisy: [B, L, C] normalised tokens at diffusion time t.
            t: [B] in [0, 1].
            prompt: B prompts.

        Returns:
            [B, L, C] normalised tokens, zero in the padding.
        """
        dims = chex.Dimensions(B=len(noisy))
        dims["LC"] = self.shape
        message = "noisy [B, L, C], t [B]"
        chex.assert_shape([noisy, t], [dims["BLC"], dims["B"]], custom_message=message)
        self.representation.check()
        prompt_lib.check(prompt, dims["BLC"])
        of = self.denoising(noisy, t, prompt)
        output: jax.Array = self.module.apply(  # type: ignore[assignment]
            {"params": params}, of, prompt, self.probe_gradient
        )
        estimate = self.process.clean_estimate(output, of.noisy, of.anchor, of.t, of.scale)
        return estimate * self.representation.layout.mask[None]

    def denoising(self, noisy: jax.Array, t: jax.Array, prompt: Prompt) -> Denoising:
        """Return what an output will be relative to; arguments as in `clean_estimate`."""
        use_start = prompt.use["start"][:, None, None]
        start = jnp.where(use_start, prompt.start, 0.0)
        anchor = start
        if self.shared_start:
            # All targets lie around the zoo's mean, wherever the start may be.
            anchor = jnp.zeros_like(start)
            away = self.representation.change[None]
            start = start / jnp.where(away > 0, away, 1.0)
        if self.noiseless:
            t = jnp.ones_like(t)
            noisy = self.process.add_noise(anchor, jnp.zeros_like(anchor), t)
        return Denoising(noisy, start, anchor, t, self.scale(prompt), self.representation)

    def scale(self, prompt: Prompt) -> jax.Array:
        """Return the standard deviation of the target around the start, or around nothing.

        [B, L, C]
        """
        change = self.representation.change[None]
        mask = jnp.asarray(self.representation.layout.mask, change.dtype)[None]
        if self.shared_start:
            return jnp.broadcast_to(mask, prompt.start.shape)
        return jnp.where(prompt.use["start"][:, None, None], change, mask)

    def loss_weight(self, t: jax.Array, prompt: Prompt) -> jax.Array:
        """Return the weight of squared errors of the clean estimate: broadcasts to [B, L, C]."""
        return self.process.loss_weight(t, self.scale(prompt))


def build(
    config: Mapping[str, Any],
    network: Network,
    normaliser: Normaliser,
    make: Callable[[Process, Codec], Module],
) -> MetaModel:
    """Build the meta-model of a config.

    Args:
        config: the experiment.
        network: what the meta-model writes.
        normaliser: of its parameters.
        make: makes the module for a process and a codec.

    Raises:
        UserError: for anything in `representation` or `diffusion` that cannot be, and as `make`
            does.
    """
    d, r = config["diffusion"], config["representation"]
    shared = config["population"]["shared_start"]
    kind = compat.get(config, "representation.normaliser")
    if kind not in NORMALISERS:
        raise UserError(f"representation.normaliser={kind!r} is unknown; there are {NORMALISERS}")
    if kind == "global" and shared:
        raise UserError(
            "representation.normaliser='global' keeps no mean, around which the runs of "
            "population.shared_start lie: set it to 'tensor'"
        )
    codec = representation.build(
        r["name"], network, chunk_size=r["chunk_size"], canonical_order=shared
    )
    process = noising.build(d["schedule"], d["steps"], d["prediction"])
    return MetaModel(
        Representation(normaliser, codec, network.spec),
        make(process, codec),
        process,
        network,
        make_probe_gradient(process, network),
        noiseless=False,
        shared_start=shared,
    )

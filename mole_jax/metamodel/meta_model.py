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
from mole_jax.metamodel.networks import gpt_transformer, transformer
from mole_jax.metamodel.networks.probing import Denoising, ProbeGradients
from mole_jax.metamodel.process import noising
from mole_jax.metamodel.process import prompt as prompt_lib
from mole_jax.metamodel.process.noising import Process
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.tokens import Representation
from mole_jax.tasks.examples import Examples
from mole_jax.tasks.networks import Network
from mole_jax.tasks.networks.network import Frame

Module = transformer.Transformer | gpt_transformer.GPT


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["representation"],
    meta_fields=["module", "process", "network", "probe_gradient", "noiseless", "one_basis"],
)
@dataclasses.dataclass(frozen=True, eq=False)
class MetaModel:
    """A meta-model, which estimates clean tokens; trained parameters are passed in."""

    representation: Representation
    module: Module
    process: Process
    network: Network
    probe_gradient: ProbeGradients
    noiseless: bool  # regression: it always answers at t = 1, and sees no noise
    one_basis: bool  # training runs all lie around one network

    def on(self, mesh: Mesh) -> MetaModel:
        """Return the same meta-model for training on a mesh."""
        return dataclasses.replace(self, module=self.module.clone(mesh=mesh))

    @property
    def n_tokens(self) -> int:
        """L', the tokens per network that the transformer works on."""
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
            params: the module's parameters.
            noisy: [B, L, C] normalised tokens at diffusion time t.
            t: [B] in [0, 1].
            prompt: B prompts.

        Returns:
            [B, L, C] normalised tokens, zero in the padding and for classes that a task lacks.
        """
        dims = chex.Dimensions(B=len(noisy))
        dims["LC"] = self.shape
        message = "noisy [B, L, C], t [B]"
        chex.assert_shape([noisy, t], [dims["BLC"], dims["B"]], custom_message=message)
        self.representation.check()
        prompt_lib.check(prompt, dims["BLC"])
        prompt = prompt._replace(start=self.present(prompt.start, prompt))
        of = self.denoising(self.present(noisy, prompt), t, prompt)
        output: jax.Array = self.module.apply(  # type: ignore[assignment]
            {"params": params}, of, prompt, self.probe_gradient
        )
        estimate = self.process.clean_estimate(output, of.noisy, of.anchor, of.t, of.scale)
        return estimate * self.mask(prompt)

    def show(self, params: Any, support: Examples) -> Any:
        """Return the module's encoding of support sets [B, n], for `Prompt.shown`."""
        return self.module.show(params, support)

    def mask(self, prompt: Prompt) -> Any:
        """Return which channels hold a parameter of a task's network: [1, L, C], or [B, L, C].

        It leaves out padding, outputs that stand for no class of the task, and what a network of
        the start's sizes lacks.
        """
        layout, n_classes = self.representation.layout, prompt.support.n_classes
        found = layout.mask[None]
        if n_classes is not None:
            found = found & (layout.output[None] < n_classes[:, None, None])
        if (frame := self.network.frame) is not None:
            found = found & self._sizes(frame, prompt.start)
        return found

    def present(self, tokens: jax.Array, prompt: Prompt) -> jax.Array:
        """Set tokens [B, L, C] to zero where the task's network has no parameter."""
        whole = prompt.support.n_classes is None and self.network.frame is None
        return tokens if whole else tokens * self.mask(prompt)

    def _sizes(self, frame: Frame, start: jax.Array) -> jax.Array:
        """Return which channels networks of a start's sizes [B, L, C] have: [B, L, C] bool."""
        tokens, flat = self.representation, self.network.spec.flatten
        own = jax.vmap(frame.there)(tokens.network(tokens.split(start)))
        return tokens.encode(flat(own).astype(jnp.float32)) > 0

    def denoising(self, noisy: jax.Array, t: jax.Array, prompt: Prompt) -> Denoising:
        """Return what an output is relative to; arguments as in `clean_estimate`."""
        use_start = prompt.use["start"][:, None, None]
        start = jnp.where(use_start, prompt.start, 0.0)
        anchor = start
        if self.one_basis:
            # All targets lie around the zoo's mean, wherever the start may be.
            anchor = jnp.zeros_like(start)
            away = self.representation.change[None]
            start = start / jnp.where(away > 0, away, 1.0)
        if self.noiseless:
            t = jnp.ones_like(t)
            noisy = self.process.add_noise(anchor, jnp.zeros_like(anchor), t)
        there = None if self.network.frame is None else self.mask(prompt)
        return Denoising(noisy, start, anchor, t, self.scale(prompt), self.representation, there)

    def scale(self, prompt: Prompt) -> jax.Array:
        """Return the standard deviation of the target around the start, or around 0: [B, L, C]."""
        change = self.representation.change[None]
        mask = jnp.asarray(self.representation.layout.mask, change.dtype)[None]
        if self.one_basis:
            return jnp.broadcast_to(mask, prompt.start.shape)
        return jnp.where(prompt.use["start"][:, None, None], change, mask)

    def loss_weight(self, t: jax.Array, prompt: Prompt) -> jax.Array:
        """Return the weight of squared errors of the clean estimate: broadcasts to [B, L, C]."""
        return self.process.loss_weight(t, self.scale(prompt))


def build(
    config: Mapping[str, Any],
    network: Network,
    fitted: Fitted,
    make: Callable[[Process], Module],
) -> MetaModel:
    """Build the meta-model of a config.

    Args:
        config: the experiment.
        network: what the meta-model writes.
        fitted: what was fitted for its representation.
        make: makes the module for a process.

    Raises:
        UserError: for invalid values in `representation` or `diffusion`, and as `make` does.
    """
    d = config["diffusion"]
    tokens = representation.build(config, network, fitted)
    process = noising.build(d["schedule"], d["steps"], d["prediction"])
    return MetaModel(
        tokens,
        make(process),
        process,
        network,
        ProbeGradients(process, network),
        noiseless=False,
        one_basis=representation.one_basis(config),
    )

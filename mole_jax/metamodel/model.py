"""The meta-model as one record: module, diffusion process, codec, normaliser, target network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax import representation
from mole_jax.core.errors import UserError
from mole_jax.metamodel import diffusion, transformer
from mole_jax.metamodel.diffusion import Process
from mole_jax.metamodel.prompt import Prompt
from mole_jax.representation.codec import Codec
from mole_jax.representation.normalise import Normaliser
from mole_jax.tasks.classification import loss_and_accuracy
from mole_jax.tasks.family import Examples
from mole_jax.tasks.networks import Network

OBJECTIVES = ("diffusion", "regression")


@dataclasses.dataclass(frozen=True, eq=False)
class MetaModel:
    """Static parts; trained parameters are passed in. `regression` never sees noise."""

    module: transformer.Transformer
    process: Process
    codec: Codec
    network: Network
    objective: str
    feedback: bool

    @property
    def n_seen(self) -> int:
        """How many times the representation's channels a token of the transformer carries."""
        return 4 if self.feedback else 2

    def clean_estimate(
        self,
        params: Any,
        normaliser: Normaliser,
        noisy: jax.Array,
        t: jax.Array,
        prompt: Prompt,
        previous: jax.Array | None = None,
    ) -> jax.Array:
        """Predict the clean tokens.

        With `feedback` the model sees its previous estimate again (self-conditioning, Chen et al.
        2023) together with the way that the support set would push it, and predicts relative to
        it. On the first pass the start stands in for the previous estimate.

        Args:
            params: of the module.
            normaliser: of the zoo.
            noisy: [B, L, C] normalised tokens at diffusion step t.
            t: [B] int in 0..T-1.
            prompt: B prompts.
            previous: [B, L, C] the previous estimate; None on the first pass.

        Returns:
            [B, L, C] normalised tokens, zero in the padding.
        """
        if self.objective == "regression":
            noisy, t = jnp.zeros_like(noisy), jnp.full_like(t, self.process.n_steps - 1)
        time = t / (self.process.n_steps - 1)
        start = base = jnp.where(prompt.use["start"][:, None, None], prompt.start, 0.0)
        seen = [noisy, start]
        if self.feedback:
            base = start if previous is None else previous
            push = self.support_push(normaliser, base, prompt.support)
            seen += [base, jnp.where(prompt.use["support"][:, None, None], push, 0.0)]
        tokens = jnp.concatenate(seen, axis=-1)
        output: jax.Array = self.module.apply({"params": params}, tokens, time, prompt)  # type: ignore[assignment]
        if self.objective == "regression":
            return (base + output) * self.codec.mask[None]
        return self.process.clean_estimate(output, noisy, base, t) * self.codec.mask[None]

    def support_push(
        self, normaliser: Normaliser, tokens: jax.Array, support: Examples
    ) -> jax.Array:
        """Where a network would go first if it were trained on the support set: [B, L, C].

        Minus the gradient of its loss, each tensor divided by its root mean square, since the
        size of a gradient says little about the way to go. It permutes as the network does.
        """

        def loss(flat: jax.Array, support: Examples) -> jax.Array:
            logits = self.network.apply(self.network.spec.unflatten(flat), support.inputs)
            return loss_and_accuracy(logits, support.labels, support.mask)[0]

        flat = self.networks(normaliser, tokens)
        gradient = jax.vmap(jax.grad(loss))(flat, support) * normaliser.scale[None]
        parts = []
        for field in self.network.spec.fields:
            part = gradient[:, field.slice]
            size = jnp.sqrt(jnp.mean(part**2, axis=1, keepdims=True))
            parts.append(-part / jnp.maximum(size, 1e-12))
        return self.codec.encode(jnp.concatenate(parts, axis=1))

    def networks(self, normaliser: Normaliser, tokens: jax.Array) -> jax.Array:
        """Normalised tokens [..., L, C] -> parameters [..., D]."""
        return normaliser.denormalise(self.codec.decode(tokens))


def build(config: Mapping[str, Any], network: Network, objective: str = "diffusion") -> MetaModel:
    """The meta-model of a config.

    Raises:
        UserError: for anything in `representation`, `metamodel` or `diffusion` that cannot be.
    """
    if objective not in OBJECTIVES:
        raise UserError(f"objective {objective!r} is unknown; there are {OBJECTIVES}")
    m, d, r = config["metamodel"], config["diffusion"], config["representation"]
    shape = transformer.Shape(
        **{field.name: m[field.name] for field in dataclasses.fields(transformer.Shape)}
    )
    shape.check()
    codec = representation.build(r["name"], network, chunk_size=r["chunk_size"])
    process = diffusion.build(d["schedule"], d["steps"], d["prediction"])
    module = transformer.Transformer(shape, codec, network.widths[-1])
    return MetaModel(module, process, codec, network, objective, m["feedback"])

"""The meta-model as one record: module, diffusion process, codec, normaliser, target network."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from mole_jax import representation
from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.metamodel.networks import features, gpt, probing, transformer
from mole_jax.metamodel.networks.probing import Frame
from mole_jax.metamodel.process import diffusion
from mole_jax.metamodel.process import prompt as prompt_lib
from mole_jax.metamodel.process.diffusion import Process
from mole_jax.metamodel.process.prompt import Prompt
from mole_jax.representation import flat
from mole_jax.representation.codec import Codec
from mole_jax.representation.normalise import NORMALISERS, Normaliser
from mole_jax.tasks.networks import Network

OBJECTIVES = ("diffusion", "regression")
# dit: our own diffusion transformer; gpt: that of Peebles et al. 2022.
NAMES = ("dit", "gpt")


@dataclasses.dataclass(frozen=True, eq=False)
class MetaModel:
    """Static parts; trained parameters are passed in. `regression` never sees noise."""

    module: transformer.Transformer | gpt.GPT
    process: Process
    codec: Codec
    network: Network
    objective: str
    shared_start: bool  # training runs all began from one network

    def on(self, mesh: Mesh) -> MetaModel:
        """The same meta-model for training on a mesh."""
        return dataclasses.replace(self, module=self.module.clone(mesh=mesh))

    @property
    def n_tokens(self) -> int:
        """L', the tokens that the transformer works on for each network."""
        return self.module.n_tokens

    def clean_estimate(
        self,
        params: Any,
        normaliser: Normaliser,
        noisy: jax.Array,
        t: jax.Array,
        prompt: Prompt,
    ) -> jax.Array:
        """Predict the clean tokens.

        Args:
            params: of the module.
            normaliser: of the zoo.
            noisy: [B, L, C] normalised tokens at diffusion time t.
            t: [B] in [0, 1].
            prompt: B prompts.

        Returns:
            [B, L, C] normalised tokens, zero in the padding.
        """
        dims = chex.Dimensions(B=len(noisy), D=self.codec.size)
        dims["LC"] = self.codec.table.shape
        message = "noisy [B, L, C], t [B]"
        chex.assert_shape([noisy, t], [dims["BLC"], dims["B"]], custom_message=message)
        chex.assert_tree_shape(normaliser, dims["D"], custom_message="normaliser [D]")
        prompt_lib.check(prompt, dims["BLC"])
        frame = self.frame(normaliser, noisy, t, prompt)
        output: jax.Array = self.module.apply({"params": params}, frame, prompt)  # type: ignore[assignment]
        estimate = self.process.clean_estimate(
            output, frame.noisy, frame.origin, frame.t, frame.spread
        )
        return estimate * self.codec.mask[None]

    def frame(
        self, normaliser: Normaliser, noisy: jax.Array, t: jax.Array, prompt: Prompt
    ) -> Frame:
        """What an output will be relative to; arguments as in `clean_estimate`."""
        use_start = prompt.use["start"][:, None, None]
        start = jnp.where(use_start, prompt.start, 0.0)
        origin = start
        if self.shared_start:
            # All targets lie around the zoo's mean, wherever the start may be.
            origin = jnp.zeros_like(start)
            away = self.codec.encode(normaliser.change[None])
            start = start / jnp.where(away > 0, away, 1.0)
        if self.objective == "regression":
            t = jnp.ones_like(t)
            noisy = self.process.add_noise(origin, jnp.zeros_like(origin), t)
        return Frame(noisy, start, origin, t, self.spread(normaliser, prompt), normaliser)

    def spread(self, normaliser: Normaliser, prompt: Prompt) -> jax.Array:
        """Standard deviation of the target around the start, or around nothing: [B, L, C]."""
        change = self.codec.encode(normaliser.change[None])
        mask = jnp.asarray(self.codec.mask, change.dtype)[None]
        if self.shared_start:
            return jnp.broadcast_to(mask, prompt.start.shape)
        return jnp.where(prompt.use["start"][:, None, None], change, mask)

    def loss_weight(self, normaliser: Normaliser, t: jax.Array, prompt: Prompt) -> jax.Array:
        """Weight of squared errors of the clean estimate: broadcasts to [B, L, C]."""
        return self.process.loss_weight(t, self.spread(normaliser, prompt))

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
    shared = config["population"]["shared_start"]
    codec = representation.build(r["name"], network, chunk_size=r["chunk_size"], one_basis=shared)
    process = diffusion.build(d["schedule"], d["steps"], d["prediction"])
    normaliser = compat.get(config, "representation.normaliser")
    if normaliser not in NORMALISERS:
        raise UserError(
            f"representation.normaliser={normaliser!r} is unknown; there are {NORMALISERS}"
        )
    if normaliser == "global" and shared:
        raise UserError(
            "representation.normaliser='global' keeps no mean, around which the runs of "
            "population.shared_start lie: set it to 'tensor'"
        )
    name = compat.get(config, "metamodel.name")
    if name not in NAMES:
        raise UserError(f"metamodel.name={name!r} is unknown; there are {NAMES}")
    make = _gpt if name == "gpt" else _dit
    return MetaModel(
        make(config, shape, process, codec, network), process, codec, network, objective, shared
    )


def _dit(
    config: Mapping[str, Any],
    shape: transformer.Shape,
    process: Process,
    codec: Codec,
    network: Network,
) -> transformer.Transformer:
    features.check(shape.features, network.input_shape)
    push = probing.make_push(process, codec, network)
    if shape.pairwise and not network.classifies:
        raise UserError(
            f"metamodel.pairwise joins outputs to classes, and network.name={network.name!r} has "
            "no classes; set it to False"
        )
    return transformer.Transformer(
        shape,
        process,
        codec,
        n_classes=network.n_classes,
        input_shape=network.input_shape,
        n_targets=0 if network.classifies else network.n_outputs,
        push=push,
    )


def _gpt(
    config: Mapping[str, Any],
    shape: transformer.Shape,
    process: Process,
    codec: Codec,
    network: Network,
) -> gpt.GPT:
    if codec.name != "flat":
        raise UserError(
            f"metamodel.name='gpt' cuts networks into tokens by itself, as metamodel.gpt.split "
            f"says: set representation.name={codec.name!r} to 'flat'"
        )
    tokens = gpt.Tokens.of(compat.get(config, "metamodel.gpt"))
    module = gpt.GPT(shape, tokens, process, flat.sizes(network))
    _ = module.splits  # raises what is wrong with them
    return module

"""A learned latent: an auto-encoder over the tokens of units, trained on the zoo's networks.

One transformer turns the tokens of a network into as many shorter ones, and another turns these
back, as in Schürholt et al. 2022 (Hyper-Representations) and 2024 (SANE), who also train on weights
alone. It is lossy: the log says how much is lost on held-out runs, and no answer is better than
what the decoder can write.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from mole_jax.core import compat
from mole_jax.core.console.progress import Progress
from mole_jax.core.errors import UserError
from mole_jax.representation import neuron, permutation
from mole_jax.representation.codec import Codec, Layout
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.tokens import ProbeGradient
from mole_jax.representation.vector import InTokens
from mole_jax.representation.views import Pieces
from mole_jax.tasks.networks import Network

WIDTH, LAYERS, HEADS = 128, 2, 4
RATE, BATCH = 1e-3, 64
# Share of the runs that are held out, to measure how much is lost.
_HELD_OUT = 0.1
_SMALLEST = 1e-6  # added to scales: a latent may be the same for all networks
_DISPATCH = 50  # steps compiled into one call


class TokenStack(nn.Module):
    """A plain transformer that sees tokens' kinds and positions: [B, L, C] -> [B, L, channels]."""

    layout: Layout
    channels: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        places = np.stack([self.layout.kind, self.layout.position])
        h = nn.Dense(WIDTH, name="tokens_in")(x)
        for name, of in zip(("kind", "position"), places, strict=True):
            h = h + nn.Embed(int(of.max()) + 1, WIDTH, name=name)(of)[None]
        for i in range(LAYERS):
            y = nn.LayerNorm(name=f"norm_attention_{i}")(h)
            h = h + nn.MultiHeadDotProductAttention(HEADS, name=f"attention_{i}")(y)
            y = nn.gelu(nn.Dense(4 * WIDTH, name=f"mlp_in_{i}")(nn.LayerNorm(name=f"norm_{i}")(h)))
            h = h + nn.Dense(WIDTH, name=f"mlp_out_{i}")(y)
        return nn.Dense(self.channels, name="tokens_out")(nn.LayerNorm(name="norm_out")(h))


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=["fitted"], meta_fields=["layout", "codec"]
)
@dataclasses.dataclass(frozen=True, eq=False)
class AutoEncoder(InTokens):
    """Whitened latent tokens, one for each unit: see `Representation`."""

    codec: Codec  # of the tokens that are encoded

    @property
    def change(self) -> jax.Array:
        return jnp.asarray(self.fitted.arrays["change"])

    def check(self) -> None:
        size, shape = (self.codec.size,), self.layout.shape
        chex.assert_tree_shape(self.fitted.normaliser, size, custom_message="normaliser [D]")
        chex.assert_shape(self.fitted.arrays["mean"], shape, custom_message="latent [L, C]")

    def encode(self, normalised: Any) -> jax.Array:
        normalised = jnp.asarray(normalised)
        given = self.codec.encode(normalised.reshape(-1, normalised.shape[-1]))
        arrays = self.fitted.arrays
        latent = _encoder(self.codec, self.layout).apply(_params(arrays, "encoder"), given)
        latent = (latent - arrays["mean"][None]) / arrays["scale"][None]
        return latent.reshape(*normalised.shape[:-1], *self.layout.shape)

    def parameters(self, tokens: Any) -> jax.Array:
        chex.assert_shape(tokens, (..., *self.layout.shape), custom_message="tokens [..., L, C]")
        latent = jnp.asarray(tokens).reshape(-1, *self.layout.shape)
        found = self.denormalise(self._decoded(latent))
        return found.reshape(*tokens.shape[:-2], -1)

    def network(self, pieces: Pieces) -> dict[str, Any]:
        return self.codec.spec.unflatten(self.parameters(self.join(pieces)))

    def pull_back(self, gradient: Mapping[str, Any], pieces: Pieces) -> ProbeGradient:
        """Map a gradient to tokens; directions are normalised per token."""
        _, pulled = jax.vjp(self.parameters, self.join(pieces))
        return self.downhill(-pulled(self.codec.spec.flatten(gradient))[0])

    def _decoded(self, latent: jax.Array) -> jax.Array:  # [B, L, C'] -> [B, D] normalised
        arrays = self.fitted.arrays
        latent = latent * arrays["scale"][None] + arrays["mean"][None]
        decoder = _decoder(self.codec)
        return self.codec.decode(decoder.apply(_params(arrays, "decoder"), latent))


def _encoder(codec: Codec, layout: Layout) -> TokenStack:
    return TokenStack(codec.layout, layout.shape[1])


def _decoder(codec: Codec) -> TokenStack:
    return TokenStack(codec.layout, codec.n_channels)


def _params(arrays: Mapping[str, Any], part: str) -> dict[str, Any]:
    """Return a module's parameters from the stored arrays, which are named by path."""
    start = f"{part}."
    own = {k.removeprefix(start): x for k, x in arrays.items() if k.startswith(start)}
    return {"params": unflatten_dict(own, sep=".")}


def _arrays(params: Mapping[str, Any], part: str) -> dict[str, Any]:
    flat = flatten_dict(dict(params["params"]), sep=".")
    return {f"{part}.{name}": x for name, x in flat.items()}


def _layout(settings: Mapping[str, Any], codec: Codec) -> Layout:
    """Return the layout of latent tokens: as many as the codec's, all equally wide."""
    k, length = compat.get_from(settings, "representation", "components"), codec.n_tokens
    if not length <= k <= codec.size:
        raise UserError(
            f"representation.components={k} must lie in {length}..{codec.size}: a latent has at "
            f"least one number for each of {length} units, and at most one for each parameter"
        )
    shape = (length, k // length)
    of = codec.layout
    return Layout(
        of.kinds, of.kind, of.position, np.full(shape, -1, np.int32), np.ones(shape, bool)
    )


def build(settings: Mapping[str, Any], network: Network, fitted: Fitted) -> AutoEncoder:
    """Return the latent of a config's section.

    Raises:
        UserError: for an invalid number of components or steps.
    """
    codec = neuron.build(network)
    steps = compat.get_from(settings, "representation", "steps")
    if steps < 1:
        raise UserError(f"representation.steps={steps} must be 1 or more")
    return AutoEncoder(_layout(settings, codec), fitted, codec)


def shapes(settings: Mapping[str, Any], network: Network) -> dict[str, Any]:
    """Return the fitted arrays as shapes."""
    codec = neuron.build(network)
    layout = _layout(settings, codec)
    found = jax.eval_shape(functools.partial(_init, codec, layout), jax.random.key(0))
    each = jax.ShapeDtypeStruct(layout.shape, np.float32)
    return found | dict.fromkeys(("mean", "scale", "change"), each)


def fit(
    settings: Mapping[str, Any],
    network: Network,
    networks: np.ndarray,
    starts: np.ndarray | None,
) -> tuple[dict[str, np.ndarray], str]:
    """Train encoder and decoder; arguments as in `pca.fit`.

    Returns:
        Their parameters by path, and mean, scale and change of the latent; a line for the log.

    Raises:
        UserError: for invalid settings.
    """
    codec = neuron.build(network)
    layout, steps = _layout(settings, codec), compat.get_from(settings, "representation", "steps")
    n_held_out = max(1, int(_HELD_OUT * len(networks))) if len(networks) > 1 else 0
    shown = networks[: len(networks) - n_held_out].reshape(-1, codec.size)
    arrays = _trained(network, codec, layout, jnp.asarray(shown), steps)
    built = AutoEncoder(layout, Fitted(None, {**arrays, **_neutral(layout)}), codec)  # type: ignore[arg-type]
    latent = _in_parts(built.encode, networks)
    mean = _alike(layout, latent.mean((0, 1)))
    scale = np.sqrt(_alike(layout, ((latent - mean) ** 2).mean((0, 1)))) + _SMALLEST
    away = latent[:, 1:] - latent[:, :1]
    if starts is not None:
        away = _in_parts(built.encode, starts[None]) - mean
    change = np.sqrt(_alike(layout, np.mean(away**2, axis=(0, 1)))) / scale + _SMALLEST
    arrays |= {"mean": mean, "scale": scale, "change": change}
    tested = networks[len(networks) - n_held_out :] if n_held_out else networks
    lost = _lost(built, tested, networks.mean((0, 1)))
    line = (
        f"an auto-encoder of {layout.mask.size:,} numbers for {codec.size:,} parameters loses "
        f"{lost:.1%} of the variance of {len(tested)} runs that it was not trained on"
    )
    return {name: np.asarray(x, np.float32) for name, x in arrays.items()}, line


def _init(codec: Codec, layout: Layout, key: jax.Array) -> dict[str, Any]:
    one, two = jax.random.split(key)
    encoder = _encoder(codec, layout).init(one, jnp.zeros((1, *codec.layout.shape)))
    decoder = _decoder(codec).init(two, jnp.zeros((1, *layout.shape)))
    return _arrays(encoder, "encoder") | _arrays(decoder, "decoder")


def _neutral(layout: Layout) -> dict[str, Any]:
    return {"mean": jnp.zeros(layout.shape), "scale": jnp.ones(layout.shape)}


def _trained(
    network: Network, codec: Codec, layout: Layout, shown: jax.Array, steps: int
) -> dict[str, Any]:
    """Minimise the squared error of the reconstruction, in normalised parameters.

    Half of the networks have their outputs reordered, since training renames labels, too.
    """
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.warmup_cosine_decay_schedule(0.0, RATE, min(100, steps), steps + 1)),
    )
    encoder, decoder = _encoder(codec, layout), _decoder(codec)

    def loss(theta: dict[str, Any], flat: jax.Array) -> jax.Array:
        tokens = codec.encode(flat)
        latent = encoder.apply(_params(theta, "encoder"), tokens)
        found = decoder.apply(_params(theta, "decoder"), latent)
        return jnp.mean((codec.decode(found) - flat) ** 2)

    def renamed(i: jax.Array, flat: jax.Array) -> jax.Array:
        if not network.classifies:
            return flat
        key = jax.random.fold_in(jax.random.key(2), i)
        orders = jax.vmap(lambda k: jax.random.permutation(k, network.n_outputs))(
            jax.random.split(key, len(flat))
        )
        orders = jnp.where(
            jnp.arange(len(flat))[:, None] % 2, orders, jnp.arange(network.n_outputs)
        )
        return jax.vmap(functools.partial(permutation.permute_outputs, network))(flat, orders)

    @jax.jit
    def advance(carry: Any, first: jax.Array, shown: jax.Array) -> tuple[Any, jax.Array]:
        def step(carry: Any, i: jax.Array) -> tuple[Any, jax.Array]:
            theta, state = carry
            rows = jax.random.randint(
                jax.random.fold_in(jax.random.key(1), i), (BATCH,), 0, len(shown)
            )
            error, grads = jax.value_and_grad(loss)(theta, renamed(i, shown[rows]))
            updates, state = optimizer.update(grads, state)
            return (optax.apply_updates(theta, updates), state), error

        return jax.lax.scan(step, carry, first + jnp.arange(_DISPATCH))

    theta = jax.jit(functools.partial(_init, codec, layout))(jax.random.key(0))
    carry = theta, optimizer.init(theta)
    with Progress("auto-encoder", steps) as progress:
        for first in range(0, steps, _DISPATCH):
            carry, errors = advance(carry, jnp.int32(first), shown)
            progress.update(min(_DISPATCH, steps - first), error=float(errors.mean()))
    return dict(carry[0])


def _alike(layout: Layout, each: np.ndarray) -> np.ndarray:
    """Average statistics [L, C] over interchangeable tokens."""
    places = np.stack([layout.kind, layout.position], axis=1)
    group = np.unique(places, axis=0, return_inverse=True)[1].reshape(-1)
    found = np.zeros((group.max() + 1, each.shape[1]))
    np.add.at(found, group, each)
    return (found / np.bincount(group)[:, None])[group]


def _in_parts(of: Any, networks: np.ndarray) -> np.ndarray:
    """Apply a function of [n, D] to networks [R, S, D] in parts: [R, S, ...]."""
    flat = networks.reshape(-1, networks.shape[-1])
    of = jax.jit(of)
    found = np.concatenate([np.asarray(of(flat[i : i + 256])) for i in range(0, len(flat), 256)])
    return found.reshape(*networks.shape[:2], *found.shape[1:])


def _lost(built: AutoEncoder, networks: np.ndarray, mean: np.ndarray) -> float:
    back = _in_parts(lambda x: built._decoded(built.encode(x)), networks)
    apart = networks - mean
    return float(np.sum((back - networks) ** 2) / np.sum(apart**2))

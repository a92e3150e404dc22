"""Wrong shapes that functions of metamodel refuse."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from mole_jax.learners import denoising, guidance
from mole_jax.learners.denoising import Noise
from mole_jax.metamodel.layers import features
from mole_jax.metamodel.layers.attention import attention
from mole_jax.metamodel.layers.set_encoder import SetEncoder
from mole_jax.metamodel.networks import gpt_transformer
from mole_jax.metamodel.networks.probing import Denoising, Probes
from mole_jax.metamodel.process.prompt import CONDITIONS, Prompt
from mole_jax.metamodel.process.sampler import DEFAULT
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.training import pairs
from mole_jax.training.pairs import PairConfig, Pairs, ZooArrays
from tests.shapes.things import (
    EDM,
    KEY,
    TOKENS,
    B,
    C,
    Case,
    L,
    N,
    R,
    S,
    bools,
    examples,
    floats,
    ints,
    normaliser,
    setting,
)


def of_noise() -> Case:
    return Case(
        EDM.add_noise,
        {"clean": floats(B, L, C), "noise": floats(B, L, C), "t": floats(B)},
        (
            ("noise", floats(1, L, C), "clean, noise [B, ...]"),
            ("t", floats(), "t [B]"),
            ("t", floats(1), "t [B]"),
            ("t", ints(B), "t in [0, 1]"),
        ),
    )


def of_process_estimate() -> Case:
    tokens = floats(B, L, C)
    return Case(
        EDM.clean_estimate,
        {"output": tokens, "noisy": tokens, "start": tokens, "t": floats(B), "spread": tokens},
        (
            ("output", floats(B, L, 1), "output, noisy, start [B, ...]"),
            ("start", floats(1, L, C), "output, noisy, start [B, ...]"),
            ("spread", floats(B, C), "spread [B, ...]"),
        ),
    )


def of_preconditioned_input() -> Case:
    tokens = floats(B, L, C)
    return Case(
        EDM.preconditioned_input,
        {"noisy": tokens, "start": tokens, "t": floats(B), "spread": floats(1, 1, C)},
        (("start", floats(B, L, 1), "noisy, start"), ("spread", floats(L), "spread [B, ...]")),
    )


def a_prompt() -> Prompt:
    """For networks of the setting."""
    s = setting()
    n_tokens, n_channels = s.model.shape
    return Prompt(
        floats(B, n_tokens, n_channels),
        floats(B),
        floats(B),
        examples(B, size=s.family.network.n_inputs),
        {name: bools(B) for name in CONDITIONS},
    )


def wrong_prompts() -> tuple[tuple[str, Any, str], ...]:
    good = a_prompt()
    support = good.support
    return tuple(
        ("prompt", good._replace(**change), message)
        for change, message in (
            ({"start": floats(B, *good.start.shape[:0:-1])}, "prompt.start [B, L, C]"),
            ({"start_metric": floats(B, 1)}, "metrics of a prompt [B]"),
            ({"target_metric": floats()}, "metrics of a prompt [B]"),
            ({"support": support._replace(labels=ints(B, N + 1))}, "labels [..., n]"),
            ({"support": support._replace(mask=bools(1, N))}, "mask [..., n]"),
            ({"use": {**good.use, "start": bools(1)}}, "prompt.use [B]"),
            ({"use": {**good.use, "start": floats(B)}}, "prompt.use bool"),
        )
    )


def of_clean_estimate() -> Case:
    s = setting()
    n_tokens, n_channels = s.model.shape
    size = s.family.network.spec.size

    def estimate(normaliser: Normaliser, noisy: Any, t: Any, prompt: Prompt) -> jax.Array:
        own = s.model.representation.with_fitted(Fitted(normaliser, {}))
        model = dataclasses.replace(s.model, representation=own)
        return model.clean_estimate(s.params, noisy, t, prompt)

    return Case(
        estimate,
        {
            "normaliser": normaliser(size),
            "noisy": floats(B, n_tokens, n_channels),
            "t": floats(B),
            "prompt": a_prompt(),
        },
        (
            ("normaliser", normaliser(1), "normaliser [D]"),
            ("noisy", floats(1, n_tokens, n_channels), "noisy [B, L, C], t [B]"),
            ("noisy", floats(B, n_channels, n_tokens), "noisy [B, L, C]"),
            ("t", floats(1), "t [B]"),
            *wrong_prompts(),
        ),
    )


def of_sample() -> Case:
    s = setting()

    def sample(prompt: Prompt) -> jax.Array:
        return guidance.sample(s.model, DEFAULT, s.params, prompt, KEY)

    return Case(sample, {"prompt": a_prompt()}, wrong_prompts())


def of_loss() -> Case:
    s = setting()
    network = s.family.network
    good = Pairs(floats(B, network.spec.size), a_prompt(), floats(B, 5, network.n_inputs))
    noise = Noise(floats(B), floats(B, *s.model.shape))

    def loss(pairs: Pairs, noise: Noise) -> Any:
        return denoising.loss(s.model, s.params, pairs, noise, 1.0)

    return Case(
        loss,
        {"pairs": good, "noise": noise},
        (
            (
                "pairs",
                good._replace(images=floats(1, 5, network.n_inputs)),
                "pairs.images [B, m, F]",
            ),
            ("pairs", good._replace(target=floats(1, network.spec.size)), "noise.t [B]"),
            ("pairs", good._replace(target=floats(B, network.spec.size + 1)), "flat [..., D]"),
            ("noise", noise._replace(t=floats()), "noise.t [B]"),
            ("noise", noise._replace(noise=floats(1, *s.model.shape)), "noise.noise [B, L, C]"),
        ),
    )


def of_draw() -> Case:
    s = setting()
    rules, size = PairConfig.of(s.config), s.family.network.spec.size
    zoo = ZooArrays(floats(R, S, size), floats(R, S), ints(R))

    def draw(zoo: ZooArrays) -> Pairs:
        network, data = s.family.network, s.family.device_data
        return pairs.draw(rules, network, zoo, data, s.normaliser, KEY, B)

    return Case(
        draw,
        {"zoo": zoo},
        (
            ("zoo", zoo._replace(metric=floats(R + 1, S)), "zoo.task [R]"),
            ("zoo", zoo._replace(metric=floats(R, S + 1)), "zoo.parameters [R, S, D]"),
            ("zoo", zoo._replace(task=ints(R + 1)), "zoo.task [R]"),
            (
                "zoo",
                zoo._replace(parameters=None, rows=floats(B + 1, 2, size)),
                "zoo.rows [B, 2, D]",
            ),
        ),
    )


def of_set_encoder() -> Case:
    encoder = SetEncoder(3, 8, features.DenseFeatures(8), n_queries=1)
    good = examples(B, size=7)
    return Case(
        lambda support: encoder.init(KEY, support),
        {"support": good},
        (
            # As many numbers in another order would else pass.
            ("support", good._replace(inputs=floats(B, 7, N)), "inputs [..., n, F]"),
            ("support", good._replace(mask=bools(B, 1)), "mask [..., n]"),
        ),
    )


def of_image_features() -> Case:
    module = features.ConvFeatures((8, 8, 1), 8)
    bad = (("x", floats(N, 32), "examples [n, F]"),)
    return Case(lambda x: module.init(KEY, x), {"x": floats(N, 64)}, bad)


def of_attention() -> Case:
    q = floats(B, 5, 4, 8)
    # Fewer heads of keys and values would pass as grouped-query attention.
    bad = (("k", floats(B, 5, 2, 8), "queries, keys, values [B, L, H, d]"),)
    return Case(attention, {"q": q, "k": q, "v": q}, bad)


def of_gpt() -> Case:
    s = setting()
    network = s.family.network
    size = network.spec.size
    module = gpt_transformer.GPT(s.model.module.shape, TOKENS, EDM, (size,))

    def denoising(*shape: int) -> Denoising:
        tokens = floats(*shape)
        return Denoising(tokens, tokens, tokens, floats(shape[0]), tokens, None)  # type: ignore[arg-type]

    return Case(
        lambda denoising, prompt: module.init(KEY, denoising, prompt),
        {
            "denoising": denoising(B, 1, size),
            "prompt": a_prompt()._replace(start=floats(B, 1, size)),
        },
        (("denoising", denoising(B, 2, size), "denoising [B, 1, D]"),),
    )


def of_transformer() -> Case:
    s = setting()
    n_tokens, n_channels = s.model.shape

    def denoising(n_channels: int) -> Denoising:
        tokens = floats(B, n_tokens, n_channels)
        return Denoising(tokens, tokens, tokens, floats(B), tokens, s.model.representation)

    return Case(
        lambda denoising, prompt: s.model.module.apply(
            {"params": s.params}, denoising, prompt, s.model.probe_gradient
        ),
        {"denoising": denoising(n_channels), "prompt": a_prompt()},
        (("denoising", denoising(n_channels + 1), "denoising [B, L, C]"),),
    )


def of_probe_gradient() -> Case:
    s = setting()
    network = s.family.network
    tokens = floats(B, *s.model.shape)
    denoising = Denoising(tokens, tokens, tokens, floats(B), tokens, s.model.representation)
    probes = Probes(floats(B, 3, network.n_inputs), ints(B, 3))
    return Case(
        s.model.probe_gradient,
        {"output": tokens, "of": denoising, "probes": probes},
        (
            ("probes", probes._replace(targets=ints(1, 3)), "output, probes [B]"),
            ("probes", probes._replace(targets=ints(B, 4)), "labels [...]"),
        ),
    )

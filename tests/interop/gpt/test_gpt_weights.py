"""Weights go from PyTorch's names to ours and back, whatever the settings; published sizes."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.interop.gpt import gpt_settings, gpt_weights
from mole_jax.interop.gpt.gpt_settings import Settings
from mole_jax.metamodel.networks.probing import Denoising
from mole_jax.metamodel.process.prompt import Prompt, everything

SMALL = Settings((12, 3, 5), ("w", "b", "c"), "chunk", 8, 8, 2, 2, num_frequencies=4)
VARIANTS = [
    SMALL,
    dataclasses.replace(SMALL, split_policy="chunk_within_layer", encoder_depth=3),
    dataclasses.replace(SMALL, split_policy="chunk_within_input", decoder_depth=2),
    dataclasses.replace(SMALL, split_policy="layer_by_layer", absolute_loss_conditioning=False),
]
LAYER, EACH = "chunk_within_layer", "layer_by_layer"
CLASSIFIER, POLICY = tuple("abcd"), tuple("abcdefg")
PUBLISHED = {
    "mnist": (Settings((7840, 10, 100, 10), CLASSIFIER, LAYER, 1000, 1536, 12, 16), 378_283_008),
    "cifar10": (Settings((432, 4608, 320, 10), CLASSIFIER, LAYER, 576, 2048, 12, 16), 639_459_328),
    "cartpole": (
        Settings((1, 128, 32, 1024, 32, 32, 1), POLICY, EACH, 2048, 1536, 12, 12),
        347_351_040,
    ),
}


def shapes(settings: Settings) -> Any:
    """Of our model's parameters, abstractly."""
    module, size = settings.module(), settings.size

    def init(key: jax.Array) -> Any:
        x, one = jnp.zeros((1, 1, size)), jnp.zeros((1,))
        denoising = Denoising(x, x, x, one, x, None)
        return module.init(key, denoising, Prompt(x, one, one, None, everything(1)))["params"]

    return jax.eval_shape(init, jax.random.key(0))


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_numbers_of_parameters(name: str) -> None:
    settings, count = PUBLISHED[name]
    assert sum(x.size for x in jax.tree.leaves(shapes(settings))) == count
    assert gpt_settings.n_params(settings) == count


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda s: s.split_policy)
def test_there_and_back_and_every_parameter_has_a_name(settings: Settings) -> None:
    rng = np.random.default_rng(0)
    state = {
        place.name: rng.normal(size=place.shape).astype(np.float32)
        for place in gpt_weights.places(settings)
    }
    state[gpt_weights.FREQUENCIES] = np.ones(4, np.float32)
    params = gpt_weights.load(settings, state)
    ours = jax.tree.map(lambda x: x.shape, shapes(settings))
    assert jax.tree.map(np.shape, params) == ours
    assert sum(x.size for x in jax.tree.leaves(params)) == gpt_settings.n_params(settings)
    back = gpt_weights.save(settings, params)
    assert set(back) == set(state) - {gpt_weights.FREQUENCIES}
    for name, value in back.items():
        np.testing.assert_array_equal(value, state[name])

    with pytest.raises(UserError, match=r"has no decoder.pos_emb"):
        gpt_weights.load(settings, {k: v for k, v in state.items() if k != "decoder.pos_emb"})
    state["decoder.ln_f.bias"] = np.full(8, np.inf, np.float32)
    with pytest.raises(UserError, match=r"decoder.ln_f.bias has NaN or infinite"):
        gpt_weights.load(settings, state)

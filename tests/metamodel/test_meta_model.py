"""What an output is relative to: the start, or the zoo's mean where training runs share a start."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tests import tiny


def test_the_output_is_added_to_the_start() -> None:
    setting = tiny.made_up()
    prompt = tiny.prompts(setting.family, setting.model, 3)
    denoising = setting.model.denoising(prompt.start, jnp.zeros(3), prompt)
    np.testing.assert_array_equal(denoising.anchor, prompt.start)
    np.testing.assert_array_equal(denoising.start, prompt.start)
    mask = setting.model.representation.layout.mask
    np.testing.assert_array_equal(
        denoising.scale, np.broadcast_to(0.5 * mask, denoising.scale.shape)
    )


def test_with_a_shared_start_it_is_added_to_the_mean_and_the_start_is_only_seen() -> None:
    setting = tiny.made_up(population__shared_start=True)
    prompt = tiny.prompts(setting.family, setting.model, 3)
    t = jnp.ones(3)
    denoising = setting.model.denoising(prompt.start, t, prompt)
    assert not np.asarray(denoising.anchor).any()
    np.testing.assert_allclose(denoising.start, 2 * prompt.start)  # in units of its own spread, 0.5
    mask = setting.model.representation.layout.mask
    np.testing.assert_array_equal(denoising.scale, np.broadcast_to(mask, denoising.scale.shape))

    estimate = jax.jit(
        lambda start: setting.model.clean_estimate(
            setting.params, prompt.start, t, prompt._replace(start=start)
        )
    )
    assert not np.allclose(estimate(prompt.start), estimate(prompt.start[::-1]))

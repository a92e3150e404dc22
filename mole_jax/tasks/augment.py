"""Augmentation of images on device: random flips and padded crops."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from mole_jax.core.errors import UserError


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What may happen to a training image, drawn for each image of each minibatch."""

    flip: bool = False  # half of the images are mirrored left to right
    crop: int = 0  # pixels of black border added on each side before a random crop

    @staticmethod
    def of(config: Mapping[str, Any], image_shape: tuple[int, int, int]) -> Augmentation:
        """Read and check `config.data.augment`; raise UserError."""
        crop = config["crop"]
        if not 0 <= crop < min(image_shape[:2]):
            raise UserError(
                f"data.augment.crop={crop} must lie in 0..{min(image_shape[:2]) - 1} for images of "
                f"{image_shape[0]} x {image_shape[1]} pixels"
            )
        return Augmentation(config["flip"], crop)


NONE = Augmentation()


def augment(rules: Augmentation, images: jax.Array, key: jax.Array) -> jax.Array:
    """Change images [n, H, W, channels] of any type at random; the border of a crop is 0."""
    n, height, width, channels = images.shape
    flip_key, crop_key = jax.random.split(key)
    if rules.flip:
        chosen = jax.random.bernoulli(flip_key, shape=(n, 1, 1, 1))
        images = jnp.where(chosen, images[:, :, ::-1], images)
    if rules.crop:
        border = rules.crop
        padded = jnp.pad(images, [(0, 0), (border, border), (border, border), (0, 0)])
        corners = jax.random.randint(crop_key, (n, 2), 0, 2 * border + 1)
        images = jax.vmap(
            lambda image, at: jax.lax.dynamic_slice(
                image, (at[0], at[1], 0), (height, width, channels)
            )
        )(padded, corners)
    return images

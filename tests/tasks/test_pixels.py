"""What pixels were like in training: those of the training pool, of classes trained on."""

from __future__ import annotations

import numpy as np
import pytest

from mole_jax.tasks import family as families
from mole_jax.tasks import pixels
from tests import tiny


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_mean_and_spread_of_every_pixel(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "_AT_ONCE", 7)
    images = np.random.default_rng(0).integers(0, 256, (50, 3, 2, 1)).astype(kind)
    images[:, 0] = 200  # these never change
    rows = np.arange(1, 50, 2)
    mean, std = pixels.per_pixel(images, rows)
    flat = images[rows].reshape(25, 6).astype(np.float64)
    np.testing.assert_allclose(mean, flat.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, flat.std(axis=0), rtol=1e-6)
    assert (std[:2] == 0).all()


def test_only_what_is_trained_on_counts() -> None:
    config = tiny.tiny_config(data__held_out_classes=4, data__unseen_class_subsets=2)
    family = families.build(config)
    seen = {k for s in family.subsets if s.split == "train" for k in s.classes}
    assert len(seen) == 6
    table = family.pools["train"]
    rows = np.concatenate([table.indices[k][: table.counts[k]] for k in sorted(seen)])
    found = pixels.of_training(family)
    assert found is not None
    flat = family.images[rows].reshape(len(rows), -1).astype(np.float64)
    np.testing.assert_allclose(found[0], flat.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found[1], flat.std(axis=0), rtol=1e-5)

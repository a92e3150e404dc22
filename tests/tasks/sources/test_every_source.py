"""Every registered data source gives labelled images that the pools can divide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mole_jax.tasks import pools, sources
from mole_jax.tasks.sources import tfds
from mole_jax.tasks.sources.glyphs import fonts
from tests.tasks.sources import made_up
from tests.tasks.sources.few_glyphs import few_glyphs
from tests.tasks.sources.few_made_up import few_made_up
from tests.tasks.sources.test_idx import write_all
from tests.tasks.sources.test_npz import write_npz
from tests.tasks.sources.test_tfds import TENSOR


def prepared(folder: Path, name: str) -> None:
    made_up.prepare(folder, name, TENSOR, {"train": made_up.examples(30)})


def of_tfds(folder: Path) -> str:
    prepared(folder, "shapes")
    return "tfds:shapes"


def of_idx(folder: Path) -> str:
    write_all(folder)
    return f"idx:{folder}"


# How the files of a form are made up, and what then names them.
MADE: dict[str, Callable[[Path], str]] = {
    "glyphs:SIDE": lambda folder: "glyphs:9",
    "glyphs:SIDE@FONTDIR": lambda folder: f"glyphs:9@{fonts.of_matplotlib()[0].parent}",
    "strokes:SIDE": lambda folder: "strokes:9",
    "silhouettes:SIDE": lambda folder: "silhouettes:9",
    "tfds:NAME": of_tfds,
    "tfds:NAME@DIR": lambda folder: f"{of_tfds(folder)}@{folder}",
    "idx:DIR": of_idx,
    "npz:FILE": lambda folder: write_npz(folder / "mine.npz"),
}


@pytest.mark.parametrize("name", [*sources.SHORT_NAMES, *sources.FORMS])
def test_every_source(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    if name in tfds.SHORT_NAMES:
        prepared(tmp_path, tfds.SHORT_NAMES[name])
    with few_glyphs(tmp_path), few_made_up(tmp_path):
        data = sources.load(MADE[name](tmp_path) if name in sources.FORMS else name)
    n = len(data.images)
    assert data.images.ndim == 4
    assert data.images.dtype in (np.uint8, np.float32)
    assert (data.labels.shape, data.labels.dtype) == ((n,), np.int32)
    assert np.unique(data.labels).tolist() == list(range(data.n_classes))
    assert (data.official_test.shape, data.official_test.dtype) == ((n,), bool)
    assert data.sources == (data.name,) and data.name
    assert data.class_source.tolist() == [0] * data.n_classes
    tables = pools.assign(data, dict.fromkeys(pools.NAMES, 0.25), seed=0)
    rows = np.concatenate([table.indices[table.mask] for table in tables.values()])
    assert sorted(rows.tolist()) == list(range(n))  # every image in one pool

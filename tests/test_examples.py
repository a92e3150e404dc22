"""The examples run, draw their figures, and what they say holds; all of them small."""

from __future__ import annotations

import contextlib
import io
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import matplotlib.pyplot as plt
import numpy as np
import pytest

from mole_jax.representation import permutation
from mole_jax.tasks import networks
from tests import registries, tiny

FOLDER = Path(__file__).parents[1] / "examples"
FILES = sorted(FOLDER.glob("*.py"))


class Ran(NamedTuple):
    """What is left of an example: its names, what it printed, and the folder of its figures."""

    names: dict[str, Any]
    printed: str
    out: Path


@contextlib.contextmanager
def ran(name: str, folder: Path) -> Iterator[Ran]:
    """Run an example in a folder; what it registers and sets is forgotten after the block."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("MOLE_EXAMPLES_SMALL", "1")
        patch.chdir(folder)
        stack.enter_context(registries.restored())
        stack.enter_context(tiny.quick_compilation())
        stack.enter_context(plt.rc_context())
        stack.callback(plt.close, "all")
        printed = stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        names = runpy.run_path(str(FOLDER / f"{name}.py"))
        yield Ran(names, printed.getvalue(), folder / "runs" / "examples")


def figures(found: Ran) -> set[str]:
    paths = sorted(found.out.glob("*.png"))
    assert all(len(path.read_bytes()) > 10_000 for path in paths)
    return {path.stem for path in paths}


def test_networks_are_predicted_and_compared(tmp_path: Path) -> None:
    with ran("predict", tmp_path) as found:
        assert figures(found) == {"predict_task", "predict_accuracy"}
        names = found.names
        accuracy, right, sure = (names[name] for name in ("accuracy", "right", "sure"))
        assert accuracy.shape == (4, 2, 3) and accuracy.min() > 0.3  # chance is 0.2
        assert accuracy[0].mean() > 0.7
        assert sure[right == 1].mean() > sure[right == 0].mean() + 0.1
        assert "logistic regression  [" in found.printed
        assert "three wines, 2 of each: MOLE and SVM [" in found.printed


def test_hidden_units_have_no_order(tmp_path: Path) -> None:
    with ran("zoo", tmp_path) as found:
        assert figures(found) == {"zoo_curves", "zoo_aligned"}
        names = found.names
        assert names["weights"].shape == (6 * 7, 12, names["network"].spec.size)
        assert names["moved"] > 0.5 * names["apart"]
        assert names["changed"] < 1e-5 < 1 < np.abs(names["outputs"]).max()
        assert names["back"] < 1e-4
        half_way = re.findall(
            r": loss at the start, half-way and at the end \[\S+ +(\S+)", found.printed
        )
        as_trained, aligned = map(float, half_way)
        assert aligned < 0.8 * as_trained
        assert np.median(names["loss"][:, -1]) < 0.5 * np.median(names["loss"][:, 0])


def test_a_network_and_a_source_are_added(tmp_path: Path) -> None:
    with ran("extend", tmp_path) as found:
        assert figures(found) == {"extend"}
        names = found.names
        assert names["zoo"].schema.network["name"] == "gated"
        assert names["zoo"].schema.splits and names["stripes"].n_classes == 10
        assert 0.2 < names["unseen"]["generated"]["mean"] <= 1
        assert names["unseen"]["adam"]["mean"] > 0.9
        network = networks.build({"name": "gated"}, (8, 8, 1), 3)
        key = jax.random.key(0)
        flat = network.spec.flatten(network.init(key))
        moved = permutation.permute(network, flat, permutation.random_orders(network, key))
        x = jax.random.normal(key, (5, 64))
        before, after = (network.apply(network.spec.unflatten(w), x) for w in (flat, moved))
        assert np.abs(moved - flat).max() > 0.1
        np.testing.assert_allclose(before, after, atol=1e-5)
    assert "gated" not in networks.NAMES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_they_are_short_notebooks(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) <= 120
    cells: list[list[str]] = []
    for line in lines:
        if line.startswith("# %%"):
            assert line in ("# %%", "# %% [markdown]")
            cells.append([line])
        else:
            cells[-1].append(line)
    text = [cell for cell in cells if cell[0] == "# %% [markdown]"]
    assert text[0][1].startswith("# # ") and len(text) >= 3
    assert all(line.startswith("# ") or not line for cell in text for line in cell)
    assert path.name in (FOLDER / "README.md").read_text()

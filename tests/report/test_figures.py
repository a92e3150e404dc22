"""Figures: each draws from its keys, names what is missing, and gives the same bytes twice."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure

from mole_jax.report import html, numbers, style
from mole_jax.report.figures import FIGURES, render
from mole_jax.report.spec import Recorded
from tests.report import synthetic


@pytest.fixture(scope="module")
def recorded():
    return Recorded(synthetic.arrays(), synthetic.measured())


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_and_has_a_takeaway(name, recorded):
    spec = FIGURES[name]
    assert spec.missing(recorded) == []
    svg = style.to_svg(render(spec, recorded))
    assert svg == style.to_svg(render(spec, recorded))
    caption = spec.caption(recorded)
    assert caption.endswith(".") and "nan" not in caption.lower()
    inline = style.inline_svg(svg, name, "label")
    assert "var(--ink)" in inline or "var(--muted)" in inline
    assert not any(colour in inline for colour in style.CSS_VARIABLES)
    assert 'width="' not in inline.split(">", 1)[0]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_names_what_is_missing(name):
    spec = FIGURES[name]
    assert spec.missing(Recorded({}, {})) == list(spec.needs)


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_draws_the_smallest_evaluation(name):
    arrays = synthetic.arrays()
    one_task = ("generated_score", "adam_score")
    arrays.update({key: arrays[key][:1] for key in one_task})
    arrays["baseline_score"] = arrays["baseline_score"][:, :1]
    arrays["support_sizes"], arrays["support_score"] = np.array([10]), np.array([[0.9]])
    arrays["prompts"], arrays["achieved_loss"] = np.array([0.1, 1.0]), np.array([[0.2, 0.9]])
    arrays["novelty_generated"] = arrays["novelty_generated"][:1]
    arrays["novelty_heldout"] = arrays["novelty_heldout"][:1]
    for key in ("zoo_loss", "zoo_split"):
        arrays[key] = arrays[key][:1]
    for key in ("pca_trajectories", "pca_loss", "pca_start", "pca_prompts"):
        arrays[key] = arrays[key][:1]
    arrays["pca_predicted"] = arrays["pca_predicted"][:1, :1]
    arrays["generated_loss_median"] = np.array(0.001)
    data = Recorded(arrays, synthetic.measured())
    assert style.to_png(render(FIGURES[name], data), dpi=40).startswith(b"\x89PNG")
    assert FIGURES[name].caption(data).endswith(".")


@pytest.mark.parametrize("name", FIGURES)
def test_no_number_is_missing_from_a_caption(name):
    """Evaluations are stored in float32."""
    arrays = {
        key: x.astype(np.float32) if x.dtype.kind == "f" else x
        for key, x in synthetic.arrays().items()
    }
    assert numbers.DASH not in FIGURES[name].caption(Recorded(arrays, synthetic.measured()))


def test_ids_are_unique_to_each_figure(recorded):
    svg = style.to_svg(render(FIGURES["per_task"], recorded))
    one, other = (style.inline_svg(svg, name, "") for name in ("one", "other"))
    assert 'id="one-' in one and "#other-" in other and "#one-" not in other


def test_every_colour_has_its_counterpart_on_a_dark_ground():
    assert html._DARK.keys() == style.CSS_VARIABLES.keys()
    assert len(set(html._DARK.values())) == len(html._DARK)


def test_labels_at_line_ends_keep_apart():
    with style.canvas() as (_, axes):
        axes.set_ylim(0, 1)
        style.label_ends(
            axes, [(0.5, "a", style.INK), (0.5, "b", style.INK), (0.9, "c", style.INK)]
        )
    heights = sorted(text.xy[1] for text in axes.texts)
    assert min(np.diff(heights)) >= 0.075 - 1e-9


def test_names_stay_next_to_the_axes_and_apart():
    """However many lines end at one height."""
    figure = Figure(figsize=(4, 4))
    axes = figure.subplots()
    axes.set_ylim(0, 1)
    ends = [(y, str(y), "black") for y in (0.1, 0.97, 0.98, 0.99, 0.995, 0.999)]
    style.label_ends(axes, ends, gap=0.1)
    heights = sorted(text.xy[1] for text in axes.texts)
    assert heights[0] >= 0 and heights[-1] <= 1 + 1e-9
    assert min(b - a for a, b in itertools.pairwise(heights)) > 0.1 - 1e-9

"""The report as a reader has it before him: in a real browser, wide and narrow, light and dark."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ml_collections import ConfigDict
from PIL import Image

from mole_jax.core.storage.files import write_json
from mole_jax.report.build import build
from mole_jax.report.comparison import compare_page, paired_differences
from mole_jax.report.comparison.recorded_run import read_runs
from mole_jax.report.figures import FIGURES
from tests.report import chromium, synthetic

LONG = "a-word-that-has-no-space-at-which-a-line-could-end-" * 3
LARGEST = 20_000  # CSS pixels: higher pages would not be in one screenshot
SHOWN = [(1280, False), (1280, True), (768, False), (390, False), (390, True), (320, False)]

# What is folded is looked at, too.
UNFOLD = "document.querySelectorAll('details').forEach(fold => { fold.open = true; })"
SIDEWAYS = """[...document.querySelectorAll('*')]
  .filter(element => element === document.documentElement
                     || ['auto', 'scroll'].includes(getComputedStyle(element).overflowX))
  .filter(element => element.scrollWidth > element.clientWidth)
  .map(element => element.outerHTML.slice(0, 200))"""
UNLOADED = """[...document.images].filter(image => !image.complete || image.naturalWidth === 0)
  .map(image => image.outerHTML.slice(0, 200))"""
# Where each drawing is on the page, and how large what is drawn in it: [x, y, w, h, w, h].
DRAWINGS = """[...document.querySelectorAll('figure svg')].map(svg => {
    const box = svg.getBoundingClientRect(), drawn = svg.getBBox();
    return [box.x, box.y + scrollY, box.width, box.height, drawn.width, drawn.height];
  })"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    program = chromium.find()
    if program is None:
        pytest.skip("there is no Chromium; on Debian: apt-get install chromium")
    with chromium.running(program, tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a made-up evaluation, with a few texts that are longer than a line."""
    record = synthetic.evaluation()
    record["targets"].append({"name": LONG, "value": 12_345.6, "target": "> 10,000", "met": True})
    workdir = synthetic.write(tmp_path_factory.mktemp("work"), record)
    facts = {"commit": "0123456789" * 4, "packages": {"jax": "0.10.2"}, "cpu": LONG}
    write_json(workdir / "evaluate" / "stage.json", {"environment": facts})
    build(ConfigDict({"seed": 0, "data": {"source": LONG}}), workdir)
    return workdir / "report" / "index.html"


def problems(page: chromium.Page) -> list[str]:
    """What is wrong with a page, whatever is on it; folds are opened."""
    page.evaluate(UNFOLD)
    return [
        *(f"console: {line}" for line in page.complaints()),
        *(f"scrolls sideways: {element}" for element in page.evaluate(SIDEWAYS)),
        *(f"not loaded: {image}" for image in page.evaluate(UNLOADED)),
    ]


def picture(page: chromium.Page) -> np.ndarray:
    """What is seen of the whole page, [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def is_drawn(seen: np.ndarray) -> bool:
    """Whether there is more in a picture than its ground: in a part of it, and not all alike."""
    colours, counts = np.unique(seen.astype(int) @ [1, 2**8, 2**16], return_counts=True)
    return len(colours) > 2 and counts.max() < 0.995 * counts.sum()


@pytest.mark.parametrize(("width", "dark"), SHOWN)
def test_the_report_reads_well_at_every_width(
    width: int, dark: bool, browser: chromium.Browser, report: Path
) -> None:
    page = chromium.Page(browser)
    page.show(report, width, 844, dark=dark)
    assert problems(page) == []
    drawings = page.evaluate(DRAWINGS)
    assert len(drawings) == len(FIGURES)
    whole = picture(page)
    assert len(whole) < LARGEST
    ground = whole[0, 0].astype(int)
    assert (ground.max() < 64) if dark else (ground.min() > 192)
    for name, box in zip(FIGURES, drawings, strict=True):
        assert min(box) >= 0 and min(box[2:]) > 100, (name, box)
        x, y, w, h = (round(number) for number in box[:4])
        assert x + w <= width, name
        assert is_drawn(whole[y : y + h, x : x + w]), name


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a few runs, with a name and a setting that are longer than a line."""
    folder = tmp_path_factory.mktemp("comparison")
    for name in ("a", "b", "c", "d", LONG):
        record = synthetic.evaluation()
        record["config"]["data"] = {"source": LONG + name[:1]}
        write_json(folder / f"{name}.json", record)
    runs = read_runs(sorted(folder.iterdir()))
    page = folder / "compare.html"
    page.write_text(compare_page.page(runs, paired_differences.compare(runs)))
    return page


@pytest.mark.parametrize(("width", "dark"), SHOWN)
def test_a_comparison_reads_well_at_every_width(
    width: int, dark: bool, browser: chromium.Browser, comparison: Path
) -> None:
    page = chromium.Page(browser)
    page.show(comparison, width, 844, dark=dark)
    assert problems(page) == []
    ((x, y, w, h, *_),) = page.evaluate(DRAWINGS)
    assert x >= 0 and x + w <= width
    whole = picture(page)
    assert is_drawn(whole[round(y) : round(y + h), round(x) : round(x + w)])


def test_what_is_wrong_with_a_page_is_found(browser: chromium.Browser, tmp_path: Path) -> None:
    """Else the tests above would prove nothing."""
    (tmp_path / "page.html").write_text(
        "<!doctype html><meta name='viewport' content='width=device-width'>"
        "<details><div style='overflow-x: auto'><div style='width: 900px'>x</div></div></details>"
        "<p style='width: 800px'>x<img src='nowhere.png'>"
        "<figure><svg width='200' height='200'></svg></figure>"
        "<script>console.error('said'); nothing()</script>"
    )
    page = chromium.Page(browser)
    page.show(tmp_path / "page.html", 390, 844)
    found: list[Any] = sorted(problems(page))
    starts = ["console", "console", "console", "not loaded", "scrolls", "scrolls"]
    assert [next(s for s in starts if line.startswith(s)) for line in found] == starts, found
    assert "said" in "".join(found) and "nothing" in "".join(found)
    (box,) = page.evaluate(DRAWINGS)
    assert box[4:] == [0, 0]
    x, y, w, h = (round(number) for number in box[:4])
    assert not is_drawn(picture(page)[y : y + h, x : x + w])

"""The report stage: evaluation.json and figures.npz in, figures and one self-contained page out."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json, write_bytes
from mole_jax.report import html, questions, story, style
from mole_jax.report.evaluation_file import read_evaluation
from mole_jax.report.figures import FIGURES, render
from mole_jax.report.findings import Result, main_split, split_name
from mole_jax.report.spec import FigureSpec, Recorded

LOSSES = (
    *("zoo_loss", "prompts", "achieved_loss", "zoo_loss_range", "pca_loss", "pca_prompts"),
    *("adam_curve_loss", "generated_loss_median"),
)
SMALLEST_LOSS = 1e-3  # the meta-model does not distinguish smaller ones either


def build(config: ConfigDict | Mapping[str, Any], workdir: str | Path) -> None:
    """Write WORKDIR/report/index.html and WORKDIR/report/figures/*.{png,svg}.

    Reads WORKDIR/report/evaluation.json and, for the figures, WORKDIR/evaluate/figures.npz
    (optional: a figure without its numbers is replaced by a sentence). Raises UserError when
    evaluation.json is missing or unusable.
    """
    workdir = Path(workdir)
    evaluation = read_evaluation(workdir / "report" / "evaluation.json")
    splits = evaluation["splits"]
    arrays = _drawable(_arrays(workdir / "evaluate" / "figures.npz"))
    folder, wanted = workdir / "report" / "figures", list(_wanted(splits, arrays))
    figures = questions.Figures(
        {s.name: _figure(s, data, folder) for s, data in wanted if not s.missing(data)},
        {s.name: _absent(s, data) for s, data in wanted if s.missing(data)},
    )
    body = story.body(evaluation, figures, _plain(config), _environment(workdir))
    write_bytes(workdir / "report" / "index.html", html.page("MOLE: report", body).encode())


def _wanted(
    splits: Mapping[str, Result], arrays: Mapping[str, np.ndarray]
) -> Iterator[tuple[FigureSpec, Recorded]]:
    """Yield each figure with what it draws; some are drawn for every split."""
    for spec in FIGURES.values():
        if not spec.every_split:
            yield spec, Recorded(arrays, splits[main_split(splits)])
            continue
        for split, result in splits.items():
            title = f"{spec.title}: {split_name(split)}"
            name = questions.of_split(spec.name, split)
            yield dataclasses.replace(spec, name=name, title=title), Recorded(arrays, result)


def _figure(spec: FigureSpec, data: Recorded, folder: Path) -> str:
    """Draw and save one figure, and return its HTML."""
    drawn = render(spec, data)
    svg = style.to_svg(drawn)
    write_bytes(folder / f"{spec.name}.png", style.to_png(drawn))
    write_bytes(folder / f"{spec.name}.svg", svg.encode())
    caption = spec.caption(data)
    label = html.escape(f"{spec.title}. {caption}")
    return html.figure(style.inline_svg(svg, spec.name, label), spec.title, caption)


def _absent(spec: FigureSpec, data: Recorded) -> str:
    """Return the sentence in place of a figure whose numbers were not recorded."""
    reason = f"Not drawn: this evaluation did not record {', '.join(spec.missing(data))}."
    return html.absent(spec.title, reason)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the recorded arrays, none without a file; nothing is unpickled."""
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); run the evaluate stage again") from error


def _drawable(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays, losses raised to what a logarithmic axis can show: a policy's may be 0."""
    return {
        name: np.maximum(values, SMALLEST_LOSS) if name in LOSSES else values
        for name, values in arrays.items()
    }


def _environment(workdir: Path) -> dict[str, Any]:
    """Return the environment that the evaluate stage recorded, empty without a record."""
    path = workdir / "evaluate" / "stage.json"
    return dict(read_json(path).get("environment") or {}) if path.exists() else {}


def _plain(config: ConfigDict | Mapping[str, Any]) -> dict[str, Any]:
    return config.to_dict() if isinstance(config, ConfigDict) else dict(config)

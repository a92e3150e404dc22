"""What `python -m mole_jax.predict` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mole_jax.predict_inputs import ONNX

if TYPE_CHECKING:
    from mole_jax.predict import Predicted


def summary(found: Predicted) -> Iterator[str]:
    """Yield the lines that the command prints: what was asked, then a row for each network."""
    flags, model, task, network = found.flags, found.model, found.task, found.nets.network
    if task.y is None:
        yield f"support   {len(task.x)} transitions of {flags.support}"
    else:
        n_classes = len(np.unique(task.y))
        of = "x".join(map(str, task.resized_from or ()))
        resized = f", resized from {of}" if of else ""
        yield f"support   {len(task.x)} images of {n_classes} classes of {flags.support}{resized}"
    if task.test is not None:
        yield f"test      {len(task.test[1])} images of {flags.test}"
    yield f"asked     {found.target.words}"
    yield f"networks  {network.name}, {network.spec.size:,} parameters"
    if flags.out and flags.out.suffix == ONNX:
        shape = ", ".join(map(str, ("n", *network.input_shape)))
        yield f"inputs    float32 [{shape}], as they come: the graph scales them"
    elif task.y is not None:
        yield f"inputs    {_inputs(*model.standardise)}"
    polished = f", polished for {flags.polish} steps" if flags.polish else ""
    yield f"model     {model.objective}, {model.passes}{polished}, seed {flags.seed}"
    yield ""
    known = found.metrics
    names = found.files or range(1, flags.n + 1)
    rows = [[str(p), *(_shown(m, x[i]) for m, x in known.items())]
            for i, p in enumerate(names)]  # fmt: skip
    if flags.n > 1 and known:
        rows.append(["mean", *(_shown(m, x.mean()) for m, x in known.items())])
        rows.append(["standard deviation", *(_shown(m, x.std(ddof=1)) for m, x in known.items())])
    if flags.n > 1 and found.tested is not None:
        together = _shown("test_accuracy", found.tested.together)
        rows.append(["all, probabilities averaged", *[""] * (len(known) - 1), together])
    yield from _table([["network", *(m.replace("_", " ") for m in known)], *rows])
    if found.tested is not None:
        yield ""
        error = 100 * found.tested.calibration_error
        yield f"expected calibration error of the average: {error:.1f} points"
    if not found.files:
        yield ""
        yield "nothing was written: name a file with --out"


def _shown(metric: str, value: float) -> str:
    return f"{100 * value:.1f} %" if metric.endswith("accuracy") else f"{value:.4f}"


def _inputs(scale: Any, shift: Any) -> str:
    if np.ndim(scale) or np.ndim(shift):
        return "each pixel has its own scale and shift, which the card has"
    return f"pixel * {scale:.6g} {'-' if shift < 0 else '+'} {abs(shift):.6g}"


def _table(rows: list[list[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [first.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()

"""Metrics of a training run, as JSON lines for programs and TensorBoard events for people."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

import jax
from tensorboardX import SummaryWriter

from mole_jax.core.storage import files

FILE = "metrics.jsonl"


class MetricWriter:
    """Write scalars by step to `logdir`; only process 0 writes.

    `metrics.jsonl` has one line a step: {"step": 10, "loss": 0.5}. A run that resumes from a
    checkpoint passes that step as `resume_step`: what a killed run logged beyond it is dropped,
    since it will be logged again. Without it the run starts again and earlier lines are dropped.
    """

    def __init__(self, logdir: str | Path, resume_step: int | None = None) -> None:
        self._active = jax.process_index() == 0
        if not self._active:
            return
        path = Path(logdir) / FILE
        last = -1 if resume_step is None else resume_step
        files.write_bytes(path, "".join(_lines_up_to(path, last)).encode())
        self._lines = path.open("a", encoding="utf-8")
        # purge_step makes TensorBoard forget events of earlier processes from that step on.
        self._events = SummaryWriter(str(logdir), purge_step=last + 1)

    def write(self, step: int, scalars: dict[str, float]) -> None:
        """Log named scalars (Python, NumPy or JAX numbers) at `step`."""
        if not self._active:
            return
        row = {name: float(value) for name, value in scalars.items()}
        self._lines.write(files.to_json({"step": int(step), **row}) + "\n")
        for name, value in row.items():
            self._events.add_scalar(name, value, int(step))

    def flush(self) -> None:
        """Hand everything written so far to the operating system."""
        if self._active:
            self._lines.flush()
            self._events.flush()

    def close(self) -> None:
        """Flush and close both files."""
        if self._active:
            self.flush()
            self._lines.close()
            self._events.close()

    def __enter__(self) -> MetricWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _lines_up_to(path: Path, step: int) -> list[str]:
    """Return the whole lines of steps <= `step`; a kill may have cut the last line short."""
    if not path.exists():
        return []
    whole = [x for x in path.read_text(encoding="utf-8").splitlines(True) if x.endswith("\n")]
    return [line for line in whole if json.loads(line)["step"] <= step]

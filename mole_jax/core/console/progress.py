"""Progress bars in a terminal, occasional plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType

import jax
from tqdm import tqdm

from mole_jax.core.console import terminal

SECONDS_BETWEEN_LINES = 10.0


class Progress:
    """Show a loop's progress, rate, remaining time and latest numbers.

    `total` and `initial` count `unit`s; a resumed loop passes what is already done as `initial`,
    which the rate leaves out. Only process 0 shows anything.

        with Progress("zoo", total=1600, unit="runs", initial=0) as bar:
            bar.update(200, loss=0.3)
    """

    def __init__(self, name: str, total: int, unit: str = "steps", initial: int = 0) -> None:
        self._terminal = terminal.width() > 0
        self._bar = tqdm(
            desc=name,
            total=total,
            unit=f" {unit}",
            initial=initial,
            disable=jax.process_index() != 0,
            # Away from a terminal tqdm only keeps count, and never draws.
            delay=0 if self._terminal else float("inf"),
            miniters=1,
            dynamic_ncols=self._terminal,
            leave=True,
        )
        self._last_line = time.monotonic()

    def update(self, n: int = 1, **values: float) -> None:
        """Count `n` more units as done and show the latest `values`."""
        if values and not self._bar.disable:
            shown = {name: f"{float(value):.4g}" for name, value in values.items()}
            self._bar.set_postfix(shown, refresh=False)
        with terminal.may_be_gone():
            self._bar.update(n)
            if not self._terminal and time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
                self._line()

    def close(self) -> None:
        """Leave the finished bar, or print the last line."""
        with terminal.may_be_gone():
            if not self._terminal:
                self._line()
            self._bar.close()

    def _line(self) -> None:
        self._last_line = time.monotonic()
        if self._bar.disable:
            return
        # No {bar} in the format: logs want numbers, not a drawing.
        shape = "{desc}: {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
        state = {**self._bar.format_dict, "bar_format": shape, "ncols": None}
        print(tqdm.format_meter(**state), file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

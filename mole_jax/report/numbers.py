"""How numbers are written in the report: one place, so that text, tables and captions agree.

A number that is missing (None) or not finite is written as a dash.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import TypeGuard

DASH = "–"
_SPACE = "\N{NO-BREAK SPACE}"


def known(value: object) -> TypeGuard[float]:
    """Return True for a finite number, Python's or NumPy's."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def percent(fraction: float | None, digits: int = 1) -> str:
    """Write a fraction of 1 as a percentage: 0.974 -> '97.4 %'."""
    return f"{100 * fraction:.{digits}f}{_SPACE}%" if known(fraction) else DASH


def points(fraction: float | None, digits: int = 1) -> str:
    """Write a difference of fractions in percentage points, sign shown: 0.013 -> '+1.3'."""
    if not known(fraction):
        return DASH
    text = f"{100 * fraction:+.{digits}f}"
    return text.replace("-", "−")


def number(value: float | None, digits: int = 3) -> str:
    """Write a plain number with `digits` significant digits, for tables."""
    if not known(value):
        return DASH
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    # Three decimals align columns; more are shown only if a number would vanish without them.
    places = min(places, 3) if abs(value) >= 0.001 else min(places, 6)
    return f"{value:,.{places}f}".replace("-", "−")


def short(value: float | None) -> str:
    """Write a number in prose: two significant digits, no trailing zeros: 0.05, 0.079, 1.6."""
    if not known(value):
        return DASH
    return f"{float(f'{value:.2g}'):,.6g}".replace("-", "−")


def interval(ci: Sequence[float] | None, digits: int = 1) -> str:
    """Write a confidence interval of fractions in percent: '97.0 to 97.8 %'."""
    if ci is None or len(ci) != 2 or not (known(ci[0]) and known(ci[1])):
        return DASH
    low, high = (f"{100 * v:.{digits}f}".replace("-", "−") for v in ci)
    return f"{low} to {high}{_SPACE}%"


def interval_points(ci: Sequence[float] | None, digits: int = 1) -> str:
    """Write a confidence interval of differences in percentage points: '+0.8 to +1.4'."""
    if ci is None or len(ci) != 2 or not (known(ci[0]) and known(ci[1])):
        return DASH
    return f"{points(ci[0], digits)} to {points(ci[1], digits)}"


def duration(seconds: float | None) -> str:
    """Write seconds as a person says them: '48 s', '4 min 12 s', '2 h 5 min'."""
    if not known(seconds):
        return DASH
    if seconds < 10:
        return f"{seconds:.1f}{_SPACE}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}{_SPACE}s"
    if whole < 3600:
        return f"{whole // 60}{_SPACE}min {whole % 60}{_SPACE}s"
    return f"{whole // 3600}{_SPACE}h {whole % 3600 // 60}{_SPACE}min"

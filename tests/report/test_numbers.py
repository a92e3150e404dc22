"""How numbers are written."""

import math

import numpy as np
import pytest

from mole_jax.report import numbers


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (numbers.percent(0.974), "97.4 %"),
        (numbers.points(0.013), "+1.3"),
        (numbers.points(-0.013), "−1.3"),
        (numbers.number(0.0943), "0.094"),
        (numbers.number(12.345), "12.3"),
        (numbers.number(12345.6), "12,346"),
        (numbers.number(0.00012), "0.000120"),
        (numbers.number(0), "0"),
        (numbers.number(np.float32(0.5)), "0.500"),
        (numbers.short(0.05), "0.05"),
        (numbers.short(1.0), "1"),
        (numbers.short(-1.34), "−1.3"),
        (numbers.interval([0.968, 0.976]), "96.8 to 97.6 %"),
        (numbers.interval_points([-0.001, 0.016]), "−0.1 to +1.6"),
        (numbers.duration(4.23), "4.2 s"),
        (numbers.duration(151.0), "2 min 31 s"),
        (numbers.duration(7500), "2 h 5 min"),
    ],
)
def test_writing(written, expected):
    assert written.replace("\N{NO-BREAK SPACE}", " ") == expected


@pytest.mark.parametrize("missing", [None, math.nan, math.inf])
def test_what_is_not_known_is_a_dash(missing):
    for write in (numbers.percent, numbers.points, numbers.number, numbers.short, numbers.duration):
        assert write(missing) == numbers.DASH
    assert numbers.interval([missing, 0.5]) == numbers.DASH
    assert numbers.interval(None) == numbers.interval_points(None) == numbers.DASH


def test_truth_values_are_not_numbers():
    assert not numbers.known(True) and numbers.known(1)

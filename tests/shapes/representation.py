"""Wrong shapes that functions of representation refuse."""

from __future__ import annotations

import functools

import numpy as np

from mole_jax.representation import normalise, permutation, rotation
from tests.shapes.things import CODEC, MLP, VIT, B, C, Case, D, L, R, S, floats, ints


def of_encode() -> Case:
    bad = (("flat", floats(B, D + 1), "flat [..., D]"),)
    return Case(CODEC.encode, {"flat": floats(B, D)}, bad)


def of_decode() -> Case:
    bad = (
        ("tokens", floats(B, C, L), "tokens [..., L, C]"),
        ("tokens", floats(B, L * C), "tokens [..., L, C]"),
    )
    return Case(CODEC.decode, {"tokens": floats(B, L, C)}, bad)


def of_permute() -> Case:
    return Case(
        functools.partial(permutation.permute, MLP),
        {"flat": floats(D), "orders": [ints(6)]},
        (
            ("flat", floats(D + 1), "flat [D]"),
            ("orders", [ints(5)], "an order [n] of each axis"),
        ),
    )


def of_permute_outputs() -> Case:
    return Case(
        functools.partial(permutation.permute_outputs, MLP),
        {"flat": floats(D), "order": ints(3)},
        (("order", ints(2), "order [K]"),),
    )


def of_rotate() -> Case:
    return Case(
        functools.partial(rotation.rotate, VIT),
        {"flat": floats(VIT.spec.size), "turns": [floats(2, 3, 3)] * 2},
        (
            ("flat", floats(VIT.spec.size + 1), "flat [D]"),
            ("turns", [floats(1, 3, 3)] * 2, "turns [m, n, n]"),
        ),
    )


def of_fit() -> Case:
    draw = np.random.default_rng(0).normal
    bad = (("runs", draw(size=(R, S, D + 1)), "runs [R, S, D]"),)
    good = {"runs": draw(size=(R, S, D))}
    return Case(functools.partial(normalise.fit, MLP.spec), good, bad, traced=False)


def of_fit_shared() -> Case:
    draw = np.random.default_rng(0).normal
    bad = (("others", draw(size=(2, D + 1)), "others [n, D]"),)
    good = {"runs": draw(size=(R, S, D)), "others": draw(size=(2, D))}
    return Case(functools.partial(normalise.fit_shared, MLP), good, bad, traced=False)

"""Things: a mirrored one is mirrored, parts lie at the body."""

from __future__ import annotations

import numpy as np

from mole_jax.tasks.sources.silhouettes import things
from mole_jax.tasks.sources.silhouettes.copies import copies

THINGS = [things.make_up(np.random.default_rng(seed)) for seed in range(60)]


def test_there_are_all_kinds() -> None:
    parts = [part for thing in THINGS for part in thing.parts]
    holes = [np.isneginf(part.surface.level) for part in parts]
    for flags in (
        [thing.mirrored for thing in THINGS],
        [len(thing.parts) > 1 for thing in THINGS],
        [thing.free > 0.4 for thing in THINGS],
        [part.smooth for part in parts],
        [part.twin for part in parts],
        holes,
        [part.surface.stripes > 0 for part in parts],
        [part.surface.spots > 0 for part in parts],
        [bool(part.surface.slope.any()) for part in parts],
    ):
        assert 0 < sum(flags) < len(flags)
    assert not any(np.isneginf(thing.parts[0].surface.level) for thing in THINGS)


def test_both_sides_of_a_mirrored_thing_are_alike() -> None:
    for thing in (t for t in THINGS if t.mirrored):
        points = np.concatenate([o[0] for o, _ in copies(thing, 1, 0.0, np.random.default_rng(0))])
        flipped = points * [1, -1]
        apart = np.abs(points[:, None] - flipped[None]).sum(-1)
        assert apart.min(1).max() < 1e-9  # each point has one on the other side


def test_things_differ_more_the_more_unlike_they_are() -> None:
    spread = [
        np.mean([copies(thing, 50, u, np.random.default_rng(1))[0][0].std(0) for u in us])
        for thing in THINGS[:1]
        for us in ((0.0,), (0.5,), (1.3,))
    ]
    assert spread[0] < 1e-12 < spread[1] < spread[2]


def test_surfaces_differ_where_they_are_free() -> None:
    thing = THINGS[0]
    level = [
        copies(thing._replace(free=f), 100, 1.0, np.random.default_rng(1))[0][1].level.std()
        for f in (0.0, 0.5, 1.0)
    ]
    assert level[0] < 1e-12 < level[1] < level[2]

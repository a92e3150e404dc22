"""Tasks whose networks are of several sizes, and sizes that are held out."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.core.errors import UserError
from mole_jax.tasks import family as families
from mole_jax.tasks.images import ImageFamily
from mole_jax.tasks.networks import sizes
from mole_jax.tasks.subsets import DataSubset
from tests import tiny

SETTINGS: dict[str, Any] = {
    "network__name": "mlps",
    "network__hidden": (6, 5),
    "network__widths": (2, 5),
    "network__unseen": ("4", "3-5"),
    "data__train_subsets": 40,
}


def build(**changes: Any) -> ImageFamily:
    found = families.build(tiny.tiny_config(**{**SETTINGS, **changes}))
    assert isinstance(found, ImageFamily)
    return found


@pytest.fixture(scope="module")
def family() -> ImageFamily:
    return build()


def test_training_has_every_trained_size_and_no_other(family: ImageFamily) -> None:
    found = {s.network for s in family.subsets if s.split == "train"}
    assert found == {"2", "5", "2-2", "2-5", "5-2", "5-5"}
    assert {s.network for s in family.subsets if s.split == "S1"} <= found


def test_held_out_sizes_have_the_classes_of_s1(family: ImageFamily) -> None:
    known = [s.classes for s in family.subsets if s.split == "S1"]
    held_out = family.held_out()
    assert list(held_out) == ["S1", "S4-4", "S4-3-5"]
    for name in ("4", "3-5"):
        own = [family.subsets[i] for i in held_out[f"S4-{name}"]]
        assert [s.classes for s in own] == known
        assert {s.network for s in own} == {name}
    assert len({s.id for s in family.subsets}) == len(family.subsets)
    assert family.manifest()["subsets"]["S4"] == [s.id for s in family.subsets if s.split == "S4"]


def test_the_data_subsets_are_those_of_networks_of_one_size(family: ImageFamily) -> None:
    one = families.build(tiny.tiny_config(data__train_subsets=40))
    plain = [(s.classes, s.split) for s in one.subsets]
    assert [(s.classes, s.split) for s in family.subsets][: len(plain)] == plain
    assert not any(s.network for s in one.subsets)


def test_a_task_begins_with_its_own_sizes(family: ImageFamily) -> None:
    network, n = family.network, len(family.subsets)
    fresh = jnp.ones((n, 2, network.spec.size))
    begun = family.device_data.begun(
        network, fresh, jnp.arange(n)[:, None] + jnp.zeros((1, 2), int)
    )
    units = network.spec.unflatten(sizes.there(network, begun))
    for i, subset in enumerate(family.subsets):
        found = [int(units[f"hidden_{at}"]["bias"][i, 0].sum()) for at in range(2)]
        assert "-".join(str(n) for n in found if n) == subset.network
    # With classes drawn afresh a task keeps its network.
    tasks = jnp.array([3, 0])
    data = family.device_data.with_classes(tasks, family.device_data.classes[tasks])
    np.testing.assert_array_equal(
        data.begun(network, fresh[:2], jnp.arange(2)[:, None] + jnp.zeros((1, 2), int)),
        begun[tasks],
    )


def test_a_subset_survives_json(family: ImageFamily) -> None:
    for subset in family.subsets:
        assert DataSubset.from_json(subset.to_json()) == subset
    assert "network" not in dataclasses.replace(family.subsets[0], network="").to_json()


def test_unseen_sizes_need_held_out_subsets() -> None:
    with pytest.raises(UserError, match=r"network.unseen: .* raise data.held_out_subsets"):
        build(data__held_out_subsets=0)


def test_the_draw_depends_on_the_seed_alone(family: ImageFamily) -> None:
    assert build().subsets == family.subsets
    other = build(seed=1).subsets
    assert [s.network for s in other] != [s.network for s in family.subsets]


def test_it_is_a_function_of_arrays(family: ImageFamily) -> None:
    network, data = family.network, family.device_data
    fresh = jax.random.normal(jax.random.key(0), (2, network.spec.size))
    tasks = jnp.array([1, 5])
    found = jax.jit(lambda data, task: data.begun(network, fresh, task))(data, tasks)
    np.testing.assert_allclose(found, data.begun(network, fresh, tasks), rtol=1e-6)

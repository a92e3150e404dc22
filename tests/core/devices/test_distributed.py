"""How --distributed is read; and one process alone does what is plain. Several: tests/launch."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.devices.distributed import Cluster
from mole_jax.core.errors import UserError


def test_the_flag_is_read() -> None:
    assert distributed.parse("") is None
    assert distributed.parse("auto") == Cluster()
    assert distributed.parse("10.0.0.1:7000,4,3") == Cluster("10.0.0.1:7000", 4, 3)
    assert distributed.parse("[::1]:7000, 2, 0") == Cluster("[::1]:7000", 2, 0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("Auto", "has 1 parts, not 3: use auto or HOST:PORT,PROCESSES,INDEX"),
        ("host:1,2", "has 2 parts, not 3"),
        ("host,2,0", "'host' is not HOST:PORT"),
        ("host:,2,0", "'host:' is not HOST:PORT"),
        (":7000,2,0", "':7000' is not HOST:PORT"),
        ("host:70000,2,0", "'host:70000' is not HOST:PORT"),
        ("host:7000,0,0", "'0' is not a number of processes"),
        ("host:7000,two,0", "'two' is not a number of processes"),
        ("host:7000,2,2", r"lies in 0\.\.1, '2' does not"),
        ("host:7000,2,-1", r"lies in 0\.\.1, '-1' does not"),
    ],
)
def test_mistakes_in_it_are_explained(value: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        distributed.parse(value)


def test_alone_everything_is_plain() -> None:
    assert (distributed.index(), distributed.count()) == (0, 1)
    assert distributed.is_first()
    assert distributed.from_first(lambda: {"a": 1}) == {"a": 1}
    assert distributed.agree(lambda: "mine") == "mine"
    assert distributed.largest(7) == 7
    distributed.barrier()
    distributed.end(1)  # returns
    with pytest.raises(UserError, match="mine") as caught:
        distributed.agree(lambda: refuse("mine"))
    assert not isinstance(caught.value, distributed.Agreed)
    assert not distributed.is_loss(RuntimeError("Gloo AllGather failed"))


def refuse(message: str) -> None:
    raise UserError(message)


def test_what_is_put_on_many_devices_is_gathered_whole() -> None:
    mesh = mesh_lib.make_mesh()
    x = np.arange(24.0).reshape(8, 3)
    tree = {"x": x, "keys": jax.random.split(jax.random.key(0), 8)}
    there = distributed.put(tree, mesh_lib.along(mesh, "data"))
    assert len(there["x"].sharding.device_set) == 8
    assert (there["keys"] == tree["keys"]).all()
    np.testing.assert_array_equal(distributed.gather(there["x"]), x)

"""What devices exchange is read from compiled programs, loops and all."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from mole_jax.core.devices import collectives
from mole_jax.core.devices import mesh as meshes
from mole_jax.core.devices.collectives import Collective

PROGRAM = """\
HloModule jit_f, entry_computation_layout={()->f32[]}

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%part (p: f32[8,16], i: s32[]) -> f32[1,16] {
  %p = f32[8,16]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %zero = s32[] constant(0)
  ROOT %slice = f32[1,16]{1,0} dynamic-slice(%p, %i, %zero), dynamic_slice_sizes={1,16}
}

%narrow (q: f32[8,16]) -> bf16[8,16] {
  %q = f32[8,16]{1,0} parameter(0)
  ROOT %less = bf16[8,16]{1,0} convert(%q)
}

%body (state: (s32[], f32[8,16])) -> (s32[], f32[8,16]) {
  %state = (s32[], f32[8,16]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %x = f32[8,16]{1,0} get-tuple-element(%state), index=1
  %gathered = f32[8,16]{1,0} all-gather(%x), channel_id=1, GROUPS, dimensions={0}, \
metadata={op_name="jit(f)/layer"}
  ROOT %next = (s32[], f32[8,16]{1,0}) tuple(%i, %gathered)
}

%test (state: (s32[], f32[8,16])) -> pred[] {
  %state = (s32[], f32[8,16]{1,0}) parameter(0)
  ROOT %go = pred[] constant(true)
}

ENTRY %main (x: f32[8,16], i: s32[]) -> f32[1,16] {
  %x = f32[8,16]{1,0} parameter(0)
  %i = s32[] parameter(1)
  %begin = (s32[], f32[8,16]{1,0}) tuple(%i, %x)
  %loop = (s32[], f32[8,16]{1,0}) while(%begin), condition=%test, body=%bodyTRIPS
  %y = f32[8,16]{1,0} get-tuple-element(%loop), index=1
  %both = (f32[8,16]{1,0}, /*index=1*/f32[8,16]{1,0}) all-reduce(%x, %y), replica_groups={}, \
to_apply=%add
  %one = f32[8,16]{1,0} get-tuple-element(%both), index=0
  %two = f32[8,16]{1,0} get-tuple-element(%both), index=1
  %mine = f32[1,16]{1,0} fusion(%one, %i), kind=kLoop, calls=%part
  %light = bf16[8,16]{1,0} fusion(%two), kind=kLoop, calls=%narrow
  %moved = f32[1,16]{1,0} collective-permute(%mine), source_target_pairs={{0,1},{1,0},{2,2}}
  ROOT %result = f32[1,16]{1,0} copy(%moved)
}
"""
TRIPS = ', backend_config={"known_trip_count":{"n":"12"}}'
SIZE = 8 * 16 * 4


def read(groups: str = "replica_groups={{0,1},{2,3}}", trips: str = TRIPS) -> list[Collective]:
    return collectives.read(PROGRAM.replace("GROUPS", groups).replace("TRIPS", trips), 4)


def test_a_program_by_hand() -> None:
    gather, reduced, scattered, moved = read()
    assert (gather.kind, gather.times, gather.result) == ("all-gather", 12, SIZE)
    assert gather.label == "jit(f)/layer"
    assert gather.sent == 12 * SIZE / 2
    # Of the sum of two arrays one is needed in bfloat16, and of the other each device has a part.
    assert (reduced.kind, reduced.times, reduced.result) == ("all-reduce", 1, SIZE / 2)
    assert reduced.groups.tolist() == [[0, 1, 2, 3]]
    assert reduced.sent == 2 * SIZE / 2 * 3 / 4
    assert (scattered.kind, scattered.result) == ("reduce-scatter", SIZE / 4)
    assert scattered.sent == SIZE / 4 * 3
    assert (moved.kind, moved.sent) == ("collective-permute", SIZE / 8)
    assert moved.groups.tolist() == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("replica_groups={{0,2},{1,3}}", [[0, 2], [1, 3]]),
        ("replica_groups=[2,2]<=[4]", [[0, 1], [2, 3]]),
        ("replica_groups=[2,2]<=[2,2]T(1,0)", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2] {'a'}", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2] {'b'}", [[0, 1], [2, 3]]),
        (
            "replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'b'}",
            [[0, 2], [1, 3]],
        ),
        ("replica_groups=mesh['a'=2,'b'=2] {'a','b'}", [[0, 1, 2, 3]]),
    ],
)
def test_groups_are_written_in_many_ways(text: str, groups: list[list[int]]) -> None:
    assert read(text)[0].groups.tolist() == groups


def test_a_loop_without_an_end_cannot_be_counted() -> None:
    with pytest.raises(ValueError, match="gathered is in a loop"):
        read(trips="")


def test_what_the_compiler_makes_of_a_loop() -> None:
    """A product with a divided matrix in each turn of a scan: each turn gathers it."""
    mesh = meshes.make_mesh({"fsdp": 8})
    weights = jax.ShapeDtypeStruct(
        (5, 64, 64), "float32", sharding=NamedSharding(mesh, PartitionSpec(None, "fsdp", None))
    )
    x = jax.ShapeDtypeStruct((16, 64), "float32", sharding=meshes.along(mesh, "fsdp"))

    def f(x: jax.Array, weights: jax.Array) -> jax.Array:
        def turn(x: jax.Array, w: jax.Array) -> tuple[jax.Array, None]:
            w = jax.lax.with_sharding_constraint(w, meshes.replicated(mesh))
            return jnp.tanh(x @ w), None

        return jax.lax.scan(turn, x, weights)[0]

    compiled = jax.jit(f, out_shardings=x.sharding).lower(x, weights).compile()
    (found,) = collectives.read(compiled.as_text() or "", 8)
    assert (found.kind, found.times, found.result) == ("all-gather", 5, 64 * 64 * 4)


def test_links_carry_what_stays_in_a_machine_and_the_network_the_rest() -> None:
    def seconds(groups: list[list[int]]) -> float:
        found = Collective("all-gather", 1000.0, 2, np.array(groups), "")
        return found.seconds(link=100.0, linked=4, network=10.0)

    assert seconds([[0, 1], [2, 3]]) == 1000 / 100
    assert seconds([[0, 4], [1, 5]]) == 1000 / 10
    # Two devices of each machine share what leaves it: each sends half through its own card.
    assert seconds([[0, 1, 4, 5]]) == 1500 / 20

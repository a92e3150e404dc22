"""Compile training steps for a mesh that is not there, and estimate what they cost.

Virtual devices on a CPU compile the program that real ones would share. What each device keeps is
exact. A step's temporary memory, and what devices send to one another, are those of XLA's CPU
compiler: it fuses less than others, and keeps some bfloat16 products in float32.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mole_jax.core.errors import UserError

if TYPE_CHECKING:  # importing them starts JAX
    from mole_jax.training.learner import Learner
    from mole_jax.training.source import Source
    from mole_jax.training.train_config import TrainConfig

# Share of their peak that devices are assumed to reach while they compute.
MFU = 0.4
FILE = "dry_run.json"
_FLAG = "--xla_force_host_platform_device_count"


def dry_run(
    pieces: Callable[[], Mapping[str, tuple[Learner, TrainConfig, Source]]],
    mesh_shape: Mapping[str, int],
    workdir: str,
) -> None:
    """Compile a step of each learner, and print what it needs and its shortest possible time.

    Args:
        pieces: makes each learner with its hyperparameters and its source of batches, whose arrays
            may be shapes; called after JAX has the virtual devices.
        mesh_shape: sizes of the mesh axes; those left out are 1.
        workdir: where to write `dry_run.json` with the same figures by learner; "" for nowhere.

    Raises:
        UserError: for an invalid config or mesh, and where JAX has started with too few devices.
    """
    shape = {"data": 1, "fsdp": 1, "tensor": 1} | dict(mesh_shape)
    pretend(shape)
    from mole_jax.core.storage import files

    found = {}
    for i, (name, own) in enumerate(pieces().items()):
        found[name] = measure(*own, shape)
        lines = [*[""] * bool(i), f"learner     {name}", *table(found[name])]
        print("\n".join(lines), flush=True)
    if workdir:
        files.write_json(Path(workdir) / FILE, found)


def pretend(shape: Mapping[str, int]) -> None:
    """Start JAX with virtual devices, or check that it was started with this many.

    Call it before anything imports JAX.
    """
    n = 1
    for size in shape.values():
        n *= size
    if "jax" not in sys.modules:
        os.environ["JAX_PLATFORMS"] = "cpu"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}={n}".strip()
    import jax

    if jax.device_count() != n or jax.default_backend() != "cpu":
        raise UserError(
            f"--dry_run: JAX runs on {jax.device_count()} devices of {jax.default_backend()}, but "
            f"--mesh needs {n} virtual ones: run it in a process of its own"
        )


def measure(
    learner: Learner, hyper: TrainConfig, source: Source, mesh_shape: Mapping[str, int]
) -> dict[str, Any]:
    """Return everything that `dry_run` prints, as plain data, for the devices that JAX has."""
    import jax

    from mole_jax.core.devices import collectives
    from mole_jax.core.devices import mesh as mesh_lib
    from mole_jax.core.devices.chips import CHIPS
    from mole_jax.training import state as states
    from mole_jax.training.programs import Programs

    mesh = mesh_lib.make_mesh(mesh_shape)
    like = states.shapes(learner, hyper, mesh)
    step = Programs(learner, hyper, source, mesh, jax.random.key(0), like).measured(1)
    found = collectives.read(step.compiled.as_text() or "", mesh.size)
    memory = step.memory
    return {
        "mesh": dict(mesh.shape),
        "devices": mesh.size,
        "parameters": sum(x.size for x in jax.tree.leaves(like.params)),
        "flop": step.flops,
        "tokens": hyper.batch_size * learner.n_tokens,
        "batch_size": hyper.batch_size,
        "accumulate": hyper.accumulate,
        "steps": hyper.steps,
        "memory": dataclasses.asdict(memory) | {"total": memory.total},
        "collectives": _sums(found),
        "mfu": MFU,
        "chips": [
            _times(chip, mesh.size, hyper.steps, step.flops, memory, found) for chip in CHIPS
        ],
    }


def _sums(found: Iterable[Any]) -> list[dict[str, Any]]:
    """Add up collectives of the same kind between the same number of devices."""
    sums: dict[tuple[str, int], dict[str, Any]] = {}
    for c in found:
        key = (c.kind, c.groups.shape[1])
        row = sums.setdefault(key, {"kind": key[0], "among": key[1], "times": 0, "sent": 0.0})
        row["times"] += c.times
        row["sent"] += c.sent
    return sorted(sums.values(), key=lambda row: -row["sent"])


def _times(
    chip: Any, n_devices: int, steps: int, flops: float, memory: Any, found: Iterable[Any]
) -> dict[str, Any]:
    """Return how long a step takes on a chip: the slowest of three things that run at once."""
    state = memory.parameters + memory.average + memory.optimizer
    seconds = {
        "compute": flops / (n_devices * chip.peak * MFU),
        "exchange": sum(c.seconds(chip.link, chip.linked, chip.network) for c in found),
        # The state and all temporaries are written and read at least once.
        "memory": 2 * (state + (memory.temporary or 0)) / chip.bandwidth,
    }
    bound = max(seconds, key=lambda name: seconds[name])
    return {
        "chip": chip.name,
        "share_of_memory": memory.total / chip.memory,
        "share_without_zoo": (memory.total - memory.zoo) / chip.memory,
        "seconds": seconds,
        "step": seconds[bound],
        "bound": bound,
        "hours": steps * seconds[bound] / 3600,
    }


def table(found: Mapping[str, Any]) -> list[str]:
    """Return the figures of `measure` as lines."""
    from mole_jax.core.devices import memory

    written = memory.written
    mesh = ",".join(f"{axis}:{size}" for axis, size in found["mesh"].items() if size > 1)
    lines = [
        f"mesh        {mesh or 'data:1'} ({found['devices']} virtual devices)",
        f"model       {found['parameters'] / 1e6:,.1f} million parameters, "
        f"{found['flop'] / 1e12:,.2f} TFLOP and {found['tokens']:,} tokens a step "
        f"({found['batch_size']} networks in {found['accumulate']} part(s))",
        "memory      on each device "
        + ", ".join(f"{name} {written(n)}" for name, n in found["memory"].items() if n is not None),
        "",
        "exchange            among   times   sent by each device and step",
    ]
    for row in found["collectives"]:
        lines.append(f"{row['kind']:18}{row['among']:7}{row['times']:8}   {written(row['sent'])}")
    lines += [
        "",
        f"{'':10}{'compute':>9}{'exchange':>10}{'memory':>9}{'step':>9}  ms, {'bound by':10}"
        f"{found['steps']:>9,} steps, of its memory (without the zoo)",
    ]
    for row in found["chips"]:
        times = [*row["seconds"].values(), row["step"]]
        shown = "".join(
            f"{1000 * t:{width}.2f}" for t, width in zip(times, (9, 10, 9, 9), strict=True)
        )
        lines.append(
            f"{row['chip']:10}{shown}      {row['bound']:10}{row['hours']:13.1f} h"
            f"{row['share_of_memory']:9.0%} ({row['share_without_zoo']:.0%})"
        )
    lines.append(
        f"compute at {found['mfu']:.0%} of the peak; exchange at the full rate of links, and of "
        "the network between machines; memory written and read once"
    )
    return lines

"""Where the time of a training step goes.

    python -m benchmarks.step_profile --workdir=runs/digits
    python -m benchmarks.step_profile --workdir=runs/glyphs --learner=end_to_end

It trains a fresh learner of the workdir's config on its zoo for a few steps, lets JAX's profiler
see some of them, and adds up what each operation took by the part of the step that it belongs to.
The workdir is left as it is. Shares are of all operations' time together: some run side by side on
several cores, so it is not that of a clock.

Writes benchmarks/results/step_profile.json, an entry for each workdir's name and learner.
"""

from __future__ import annotations

import argparse
import collections
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from benchmarks import machine
from mole_jax.core import compat, rng
from mole_jax.core.devices import distributed
from mole_jax.core.devices import mesh as mesh_lib
from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage.paths import user_path
from mole_jax.learners import meta_training, registry, scales
from mole_jax.training import data
from mole_jax.training import state as states
from mole_jax.training.programs import Programs
from mole_jax.zoo import prompt_metric
from mole_jax.zoo.storage.reader import open_zoo

# Parts of a step by what its operations are named after: the first that is found counts.
PARTS = (
    ("inner steps", r"Transformer\._refine"),
    ("support set", r"/support/"),
    ("blocks: probe gradients", r"/blocks/.*probe_gradient"),
    ("blocks: attention and MLPs", r"/blocks/.*_mix"),
    ("blocks: else", r"/blocks"),
    ("start, context, output", r"Transformer"),
    ("batch, loss, optimizer", r""),
)
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = \S+ ([\w\-]+)\((.*)$", re.M)
_AROUND = ("while", "call", "conditional")  # what they contain is counted
STEPS = 4  # of a dispatch


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--workdir", type=user_path, required=True, help="of a finished training")
    parser.add_argument("--learner", default="", help="the config's first one when left out")
    flags = parser.parse_args()
    try:
        found = measured(flags.workdir, flags.learner)
    except UserError as error:
        sys.exit(f"error: {error}")
    shares = found["share"]
    print(f"{found['ms_per_step']:.0f} ms a step, {found['gflop_per_step']:.1f} GFLOP, "
          f"{found['gflop_per_step'] / found['ms_per_step'] * 1e3:.0f} GFLOP/s")  # fmt: skip
    rows = [[part, *(f"{100 * of[k]:.0f} %" for k in ("products", "else"))]
            for part, of in shares.items()]  # fmt: skip
    print(machine.table(("part", "products", "everything else"), rows))
    known = machine.known("step_profile", "steps")
    name = f"{flags.workdir.name}, {found['learner']}"
    machine.write("step_profile", rates=machine.product_rates(), steps=known | {name: found})


def measured(workdir: Path, name: str) -> dict[str, Any]:
    """Return seconds, FLOP and shares of a step of one of a workdir's learners."""
    if not stages.is_done(workdir, "train"):
        raise UserError(f"--workdir={workdir} holds no finished training")
    config = stages.record(workdir, "train")["config"]
    names = registry.of(config)
    if (name or names[0]) not in names:
        raise UserError(f"--learner={name} is not there: choose from {', '.join(names)}")
    zoo, mesh, root = open_zoo(workdir / "zoo"), mesh_lib.first_device(), rng.key(0)
    family = data.checked_family(config, zoo)
    placement, _ = data.choose_placement(config, zoo)
    scaling = compat.get(config, "representation.normaliser")
    runs = data.read(zoo, family, placement, scaling, prompt_metric.of(config, zoo.schema))
    learner, hyper, source = meta_training.of_learner(
        config, name or names[0], zoo, family, runs, scales.read(workdir).fitted
    )
    like = states.shapes(learner, hyper, mesh)
    program = Programs(learner, hyper, source, mesh, root, like).measured(STEPS)
    here = distributed.put((learner, source.constants, root), mesh_lib.replicated(mesh))
    state = states.fresh(learner, hyper, root, like)
    seconds = []
    with (
        source.feed(root, mesh, 0, 8 * STEPS, 2 * STEPS) as feed,
        tempfile.TemporaryDirectory() as folder,
    ):
        for i in range(8):
            drawn, last = feed.take(i * STEPS, (i + 1) * STEPS), i == 7
            if last:
                jax.profiler.start_trace(folder)
            began = time.perf_counter()
            state, _ = jax.block_until_ready(program.compiled(state, *here, drawn))
            seconds.append((time.perf_counter() - began) / STEPS)
            if last:
                jax.profiler.stop_trace()
        share = shares(program.compiled.as_text() or "", Path(folder))
    return {
        "learner": learner.name,
        "ms_per_step": 1e3 * min(seconds[1:-1]),
        "gflop_per_step": program.flops / 1e9,
        "share": share,
    }


def shares(text: str, folder: Path) -> dict[str, dict[str, float]]:
    """Return the share of the operations' time of each part, in products and in everything else.

    Args:
        text: the compiled program.
        folder: of the profiler's trace.
    """
    parts: dict[str, tuple[str, str]] = {}
    for name, code, rest in _INSTRUCTION.findall(text):
        if code not in _AROUND:
            source = re.search(r'op_name="([^"]*)"', rest)
            of = source.group(1) if source else ""
            part = next(part for part, pattern in PARTS if re.search(pattern, of))
            product = code == "dot" or of.endswith("dot_general")
            parts[name] = part, "products" if product else "else"
    total: collections.Counter[tuple[str, str]] = collections.Counter()
    for file in folder.rglob("*.xplane.pb"):
        for plane in jax.profiler.ProfileData.from_file(str(file)).planes:
            for line in plane.lines:
                for event in line.events:
                    if event.name in parts:
                        total[parts[event.name]] += event.duration_ns
    whole = sum(total.values())
    if not whole:
        raise UserError("the profiler saw none of the program's operations on this backend")
    kinds = ("products", "else")
    return {part: {kind: total[part, kind] / whole for kind in kinds} for part, _ in PARTS}


if __name__ == "__main__":
    leave(explained(main))

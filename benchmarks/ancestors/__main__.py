"""Figures of the ancestors' own papers, reproduced with MOLE's learners on a CPU.

    python -m benchmarks.ancestors --folder=runs/ancestors
    python -m benchmarks.ancestors sinusoids --folder=runs/ancestors --seeds 0 1

`clothes` is L2L on Fashion-MNIST (Debian: apt-get install dataset-fashion-mnist).

A training that is done is read and not run again. Writes benchmarks/results/ancestors.json, an
entry for each name and seed; other entries stay.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from benchmarks import machine
from benchmarks.ancestors import estimators, mutation, optimizers, readers, sinusoids, tables
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path

NAMES: dict[str, Any] = {
    "sinusoids": sinusoids.run,
    "optimizers": optimizers.run,
    "clothes": optimizers.run_clothes,
    "readers": readers.run,
    "mutation": mutation.run,
    "estimators": estimators.run,
}


def main() -> None:
    """Train, print tables, write JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all")
    parser.add_argument("--folder", type=user_path, required=True, help="for trainings")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0,))
    parser.add_argument("--shorter", type=int, default=1, help="divides steps, for a first look")
    flags = parser.parse_args()
    if unknown := sorted(set(flags.names) - set(NAMES)):
        parser.error(f"there is no {unknown[0]!r}: choose among {', '.join(NAMES)}")
    if flags.shorter < 1:
        parser.error(f"--shorter={flags.shorter} must be 1 or more")
    if "clothes" in (flags.names or NAMES):
        optimizers.clothes()  # without the data set nothing begins
    files.make_folder(flags.folder)
    for name in flags.names or NAMES:
        for seed in flags.seeds:
            began = time.monotonic()
            rows = NAMES[name](flags.folder / name, seed, flags.shorter)
            seconds = round(time.monotonic() - began, 1)
            print(f"\n{name}, seed {seed}, {seconds:.0f} s\n{tables.of(name, rows)}\n", flush=True)
            if flags.shorter == 1:
                found = machine.known("ancestors", "found")
                found[f"{name}_{seed}"] = {"rows": rows, "seconds": seconds}
                machine.write("ancestors", found=found)


if __name__ == "__main__":
    leave(explained(main))

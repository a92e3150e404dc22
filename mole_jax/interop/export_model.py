"""`python -m mole_jax.interop export-model`: a workdir's meta-model in one file."""

from __future__ import annotations

import argparse

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path
from mole_jax.learners import registry
from mole_jax.sampling import model_file
from mole_jax.sampling.load import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    text = "a workdir whose train stage is done; or a model file to write again"
    parser.add_argument("workdir", type=user_path, metavar="WORKDIR", help=text)
    text = "NAME.safetensors, which `mole_jax.load` and mole-predict take in place of a workdir"
    parser.add_argument("--out", type=user_path, required=True, metavar="FILE", help=text)
    text = f"which learner of a workdir: {', '.join(registry.NAMES)}; by default the first"
    parser.add_argument("--objective", metavar="NAME", help=text)
    text = "last (default), best, or the step of a kept checkpoint"
    parser.add_argument("--checkpoint", default="last", metavar="C", help=text)
    text = f"of the parameters: {' or '.join(model_file.DTYPES)}; by default the first"
    parser.add_argument("--dtype", default=model_file.DTYPES[0], metavar="TYPE", help=text)


def run(flags: argparse.Namespace) -> None:
    """Run the command."""
    checkpoint = int(flags.checkpoint) if flags.checkpoint.isdecimal() else flags.checkpoint
    if flags.out.is_dir():
        raise UserError(f"--out={flags.out} is a folder; name a file")
    files.refuse_overwriting([flags.out], [flags.workdir])
    model = load(flags.workdir, objective=flags.objective, checkpoint=checkpoint)
    about = model.about or {
        "workdir": flags.workdir.resolve().name,
        "checkpoint": flags.checkpoint,
        "mole": mole_jax.__version__,
    }
    model_file.save(flags.out, model, dtype=flags.dtype, about=about)
    print(f"{flags.out}: {flags.out.stat().st_size / 1e6:.1f} MB")

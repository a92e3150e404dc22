"""`python -m mole_jax.interop import-network`: a state_dict in safetensors as MOLE's parameters."""

from __future__ import annotations

import argparse

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import refuse_overwriting, write_npz
from mole_jax.core.storage.paths import user_path
from mole_jax.interop.network_files import load_network
from mole_jax.tasks.networks import shorthand


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    text = "the state_dict; its card is the .json next to it"
    parser.add_argument("file", type=user_path, metavar="FILE.safetensors", help=text)
    text = f"needed without a card: {shorthand.usage()}"
    parser.add_argument("--network", default="", help=text)
    text = "NAME.npz: MOLE's tensors by path, such as hidden_0/kernel"
    parser.add_argument("--out", type=user_path, required=True, metavar="FILE", help=text)


def run(flags: argparse.Namespace) -> None:
    """Run the command."""
    if flags.out.suffix != ".npz":
        raise UserError(f"--out={flags.out} must end in .npz")
    refuse_overwriting([flags.out], [flags.file, flags.file.with_suffix(".json")])
    found = load_network(flags.file, flags.network)
    flat = found.network.spec.flatten(found.params)
    arrays = {f.path: flat[f.slice].reshape(f.shape) for f in found.network.spec.fields}
    write_npz(flags.out, **arrays)
    size = np.abs(flat).max()
    print(f"{flags.out}: {found.network.name}, D = {flat.size}, largest weight {size:.4g}")

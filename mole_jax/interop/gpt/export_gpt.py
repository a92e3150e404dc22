"""A meta-model in G.pt's form -> a checkpoint that the reference, and PyTorch, can load."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mole_jax.core import compat
from mole_jax.core.errors import UserError
from mole_jax.core.storage import files, torch_file
from mole_jax.core.storage.paths import user_path
from mole_jax.interop.gpt import gpt_weights
from mole_jax.interop.gpt.gpt_settings import NOISE_SCHEDULES, Settings, n_params
from mole_jax.learners import stored
from mole_jax.metamodel.networks.gpt_transformer import Tokens
from mole_jax.representation import flat
from mole_jax.sampling import load
from mole_jax.tasks.networks import Network, torch_layout


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    text = "a workdir, trained with metamodel.name='gpt' or imported"
    parser.add_argument("workdir", type=user_path, metavar="DIR", help=text)
    text = "the checkpoint, with the entries G and G_ema; FILE.json next to it has its settings"
    parser.add_argument("--out", type=user_path, required=True, metavar="FILE.pt", help=text)


def run(flags: argparse.Namespace) -> None:
    """Run the command."""
    convert(flags.workdir, flags.out)
    print(f"{flags.out} and {flags.out.with_suffix('.json')}: written")


def convert(workdir: Path, out: Path) -> None:
    """Write OUT, and its settings next to it as a `.json`; needs no PyTorch.

    Raises:
        UserError: if the workdir has no finished training, or the reference has no such meta-model.
    """
    if out.suffix == ".json":
        raise UserError(f"--out={out} is where its settings go: let it end in .pt")
    config, network = load.described(workdir)
    trained = stored.load(workdir, config, network, "diffusion")
    imported = (workdir / load.IMPORTED_NETWORK).exists()
    settings = _settings(config, network, trained.scales.fitted.normaliser, imported)
    tokens = Tokens.of(compat.get(config, "metamodel.gpt"))
    content: dict[str, Any] = {}
    for name, params in (("G", trained.last), ("G_ema", trained.theta)):
        content[name] = gpt_weights.save(settings, params)
        content[name][gpt_weights.FREQUENCIES] = tokens.rates
    torch_file.write(out, content | {"epoch": 0})
    files.write_json(out.with_suffix(".json"), written(settings))


def _settings(
    config: Mapping[str, Any], network: Network, normaliser: Any, imported: bool
) -> Settings:
    m, d = config["metamodel"], config["diffusion"]
    if compat.get(config, "metamodel.name") != "gpt":
        raise UserError(
            f"metamodel.name={compat.get(config, 'metamodel.name')!r} is not a model of the "
            "reference: only 'gpt' can be exported"
        )
    if m["mlp_ratio"] != 4 or d["prediction"] not in ("x0", "eps"):
        raise UserError(
            "the reference has metamodel.mlp_ratio=4 and diffusion.prediction='x0' or 'eps', but "
            f"this meta-model has {m['mlp_ratio']} and {d['prediction']!r}: it cannot be exported"
        )
    if d["schedule"] not in NOISE_SCHEDULES:
        raise UserError(
            "the reference has diffusion.schedule='linear' or 'cosine', but this meta-model "
            f"has {d['schedule']!r}: it cannot be exported"
        )
    mean, scale = np.asarray(normaliser.mean), np.asarray(normaliser.scale)
    if mean.any() or np.ptp(scale):
        raise UserError(
            "the reference multiplies all parameters by one number, but this meta-model was "
            "trained with representation.normaliser='tensor': it cannot be exported"
        )
    tokens = Tokens.of(compat.get(config, "metamodel.gpt"))
    for name in ("visible_norms", "scaled_time", "log_metrics"):
        if getattr(tokens, name):
            raise UserError(
                f"metamodel.gpt.{name}=True is not the reference's: it cannot be exported"
            )
    # An imported policy's only turn our metric into the return of its prompts.
    if not imported and (tokens.metric_scale, tokens.metric_shift) != (1.0, 0.0):
        raise UserError(
            "the reference reads metrics as they are, but this meta-model has "
            f"metamodel.gpt.metric_scale={tokens.metric_scale:g} and metric_shift="
            f"{tokens.metric_shift:g}: it cannot be exported"
        )
    # A training does not fix the sampler; the config of an imported model has it.
    small = config.get("sampling", {}).get("name") == "ancestral"
    return Settings(
        parameter_sizes=flat.sizes(network),
        parameter_names=_names(network),
        split_policy=tokens.split,
        chunk_size=tokens.chunk_size,
        n_embd=m["width"],
        n_layer=m["layers"],
        n_head=m["heads"],
        encoder_depth=tokens.encoder_depth,
        decoder_depth=tokens.decoder_depth,
        max_freq_log2=tokens.max_frequency_log2,
        num_frequencies=tokens.n_frequencies,
        predict_xstart=d["prediction"] == "x0",
        absolute_loss_conditioning=tokens.absolute_metrics,
        diffusion_steps=d["steps"],
        noise_schedule=d["schedule"],
        variance="fixed_small" if small else "fixed_large",
        scale=float(1 / scale[0]),
    )


def _names(network: Network) -> tuple[str, ...]:
    """Return PyTorch's names of the network's tensors, or names made from ours if it has none."""
    if network.kind.torch is None:
        return tuple(_name(field.path) for field in torch_layout.fields(network))
    return tuple(tensor.name for tensor in torch_layout.layout(network).tensors)


def _name(path: str) -> str:
    layer, _, name = path.rpartition("/")
    name = "weight" if name in ("kernel", "scale") else name
    return f"{layer}.{name}".lstrip(".").replace("/", ".")


def written(settings: Settings) -> dict[str, Any]:
    """Return the settings as their file has them."""
    written = dataclasses.asdict(settings)
    names = {"diffusion_steps": "steps", "noise_schedule": "noise_schedule", "variance": "variance"}
    process = {theirs: written.pop(ours) for ours, theirs in names.items()}
    sizes = settings.tokens().sizes(settings.parameter_sizes)
    return {
        **written,
        "diffusion": process | {"predict": "x0" if settings.predict_xstart else "eps"},
        "n_params": n_params(settings),
        "input_splits": list(sizes.inputs),
        "output_splits": list(sizes.outputs),
    }

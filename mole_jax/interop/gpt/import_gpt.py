"""A published G.pt checkpoint -> a workdir without a zoo, which `mole_jax.load` predicts from."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.core.storage import files
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.core.storage.paths import user_path
from mole_jax.core.storage.torch_file import Tensor, TorchFile
from mole_jax.interop.gpt import gpt_network, gpt_settings, gpt_weights
from mole_jax.interop.gpt.gpt_settings import Settings
from mole_jax.learners import scales
from mole_jax.learners.scales import Scales
from mole_jax.representation.fitted import Fitted
from mole_jax.representation.normalise import Normaliser
from mole_jax.sampling.load import IMPORTED_NETWORK
from mole_jax.tasks import control, environments
from mole_jax.tasks.networks import Network
from mole_jax.tasks.networks.state_dict import check_weight_dtype, without_prefixes
from mole_jax.training import adamw
from mole_jax.training.state import State
from mole_jax.training.train_config import TrainConfig

WEIGHTS = ("G", "G_ema")
METRICS = ("test_loss", "test_error")  # in nats, in percent
# What the published models multiply parameters by, keyed by the sizes of their tensors.
PUBLISHED_SCALES = {
    (7840, 10, 100, 10): 4.185,
    (432, 4608, 320, 10): 1.646,
    (1, 128, 32, 1024, 32, 32, 1): 2.06,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument(
        "file", type=user_path, metavar="FILE.pt", help="with the entries G and G_ema"
    )
    text = "sizes and choices of the model: see docs/gpt.md"
    parser.add_argument("--settings", type=user_path, required=True, metavar="FILE.json", help=text)
    text = "a new folder"
    parser.add_argument("--out", type=user_path, required=True, metavar="DIR", help=text)
    text = "which entry to predict with; by default the moving average"
    parser.add_argument("--weights", choices=WEIGHTS, default="G_ema", help=text)
    text = "the prompt metric of classifiers: loss in nats (default) or error in percent"
    parser.add_argument("--metric", choices=METRICS, help=text)
    text = "what parameters are multiplied by before the model reads them; by default the "
    text += "settings' `scale`, that of a published model with the same sizes, or 1"
    parser.add_argument("--scale", type=float, metavar="NUMBER", help=text)
    text = "the network that it writes, if sizes alone leave this open"
    parser.add_argument("--network", type=user_path, metavar="FILE.json", help=text)


def run(flags: argparse.Namespace) -> None:
    """Run the command."""
    convert(
        flags.file,
        flags.settings,
        flags.out,
        weights=flags.weights,
        metric=flags.metric,
        scale=flags.scale,
        network_file=flags.network,
    )
    print(f"{flags.out}: predict with mole_jax.load({str(flags.out)!r})")


def convert(
    file: Path,
    settings_file: Path,
    out: Path,
    *,
    weights: str = "G_ema",
    metric: str | None = None,
    scale: float | None = None,
    network_file: Path | None = None,
) -> None:
    """Write a workdir in which only the train stage is done.

    `mole_jax.load` samples from it as the reference does, with all the steps of its diffusion;
    targets and starts are in the metric that the model was trained with.

    Args:
        file: the checkpoint.
        settings_file: the model's settings.
        out: a folder that does not exist, or is empty.
        weights: which of WEIGHTS to predict with; both are kept if the file has both.
        metric: one of METRICS, the prompt metric of a model that writes classifiers; None: loss.
        scale: what parameters are multiplied by; None for the known one.
        network_file: description of the network that is written; None to find it out.

    Raises:
        UserError: for files that cannot be read or do not belong together.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists already: give --out a new folder")
    for given in (file, settings_file, *filter(None, (network_file,))):
        files.check_file(given)
    settings = gpt_settings.read(settings_file)
    described, network = gpt_network.find(settings, network_file)
    if metric is not None and not network.classifies:
        raise UserError(f"--metric={metric} is for classifiers, and {described['name']} is not one")
    scale = _scale(settings, scale)
    params, frequencies = _weights(file, settings)
    if weights not in params:
        raise UserError(f"{file} has no {weights}: it has {', '.join(params)}")

    metric = metric or METRICS[0] if network.classifies else ""
    config = make_config(settings, described, network, frequencies, metric)
    config["sampling"]["weights"] = "last" if weights == "G" else "average"
    last, average = (params.get(name, params[weights]) for name in WEIGHTS)
    optimizer = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype),
        jax.eval_shape(adamw.optimizer(TrainConfig.of(config)).init, last),
    )
    parts = (jnp.ones((), jnp.int32), last, average, optimizer)
    state = State(*jax.tree.map(jnp.asarray, parts))
    with Checkpoints(out / "train" / "diffusion" / "checkpoints", keep=1) as checkpoints:
        checkpoints.save(1, state, 0.0)  # its loss is unknown, and no other checkpoint competes
    ones = np.ones(network.spec.size, np.float32)
    # By default, a policy's start has learned nothing and a classifier's guesses.
    n = network.n_outputs
    start = {"test_loss": math.log(n), "test_error": 100 * (1 - 1 / n)}.get(metric, 1.0)
    fitted = Fitted(Normaliser(0 * ones, ones / scale, ones), {})
    scales.write(out, Scales(fitted, 1.0, 0.0, start))
    files.write_json(out / IMPORTED_NETWORK, described)
    stages.write_done(out, "train", config)
    print(f"parameters are multiplied by {scale:g}; the network: {described}")


def _scale(settings: Settings, given: float | None) -> float:
    known = settings.scale or PUBLISHED_SCALES.get(settings.parameter_sizes, 1.0)
    scale = known if given is None else given
    if not 0 < scale < math.inf:
        raise UserError(f"--scale={scale} must be a positive number")
    return scale


def _weights(file: Path, settings: Settings) -> tuple[dict[str, Any], tuple[float, ...]]:
    """Return our parameters for each of WEIGHTS that a file has, and the frequencies of scalars."""
    found: dict[str, Any] = {}
    frequencies: tuple[float, ...] = ()
    with TorchFile(file) as opened:
        content = opened.content
        if not isinstance(content, Mapping) or not set(WEIGHTS) & set(content):
            raise UserError(f"{file} has neither G nor G_ema: it is not a G.pt checkpoint")
        for name in WEIGHTS:
            if name not in content:
                continue
            try:
                tensors = _tensors(content[name])
                # Before they are read: files that do not belong together are refused at once.
                gpt_weights.check(settings, {k: t.shape for k, t in tensors.items()})
                state = {k: opened.read(t) for k, t in tensors.items()}
                found[name] = gpt_weights.load(settings, state)
            except UserError as problem:
                raise UserError(f"{file}, {name}: {problem}") from None
            frequencies = gpt_weights.frequencies(state)
    return found, frequencies


def _tensors(state: Any) -> dict[str, Tensor]:
    """Return the tensors of a model, without the prefixes that wrappers give their names."""
    if not isinstance(state, Mapping) or not all(
        isinstance(k, str) and isinstance(t, Tensor) for k, t in state.items()
    ):
        raise UserError("it is not a collection of named tensors")
    found = without_prefixes(state)
    for name, tensor in found.items():
        check_weight_dtype(name, tensor.dtype)
    return found


def make_config(
    settings: Settings,
    described: dict[str, Any],
    network: Network,
    frequencies: tuple[float, ...],
    metric: str,
) -> dict[str, Any]:
    """Return a config with what prediction reads; training would also need a zoo."""
    tokens, process = settings.tokens(frequencies), settings.process()
    source = "imported"
    if not network.classifies:
        world = environments.build("cartpole")
        if network.input_shape == (world.n_observations,):
            source = f"{control.PREFIX}:cartpole"
            # Our metric of policies is 1 - return / horizon; the model was trained with returns.
            horizon = float(world.horizon)
            tokens = dataclasses.replace(tokens, metric_scale=-horizon, metric_shift=horizon)
    return {
        "seed": 0,
        "data": {"source": source, "support_per_class": 1},
        "network": described,
        "population": {"shared_start": False},
        "representation": {"name": "flat", "chunk_size": 1, "normaliser": "global"},
        "metamodel": {"name": "gpt", **settings.shape(), "gpt": dataclasses.asdict(tokens)},
        "diffusion": {
            "schedule": settings.noise_schedule,
            "steps": process.n_steps,
            "prediction": process.prediction,
        },
        "training": {
            "steps": 1,
            "regression_steps": 0,
            "batch_size": 1,
            "accumulate": 1,
            "learning_rate": 4e-4,
            "warmup_steps": 0,
            "weight_decay": 0.1,
            "beta2": 0.999,
            "gradient_clip": 0.75,
            "ema_decay": 0.9999,
            "ema_warmup": False,
            "function_weight": 0.0,
            "function_images": 1,
            "mix_images": False,
            "time_power": 1.0,
            "metric": metric,
            "spacing": "spacing_first",
            "first_start": 0.0,
            "support_min_per_class": 1,
            "permute_units": True,
            "permute_labels": 0.0,
            "drop": {"support": 0.0, "target_metric": 0.0, "start": 0.0},
        },
        "sampling": dataclasses.asdict(settings.plan()),
    }

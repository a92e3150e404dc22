"""The settings of a G.pt model, read from the JSON next to its weights and checked."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.metamodel.networks import tokenisation
from mole_jax.metamodel.networks.gpt_transformer import GPT, Tokens
from mole_jax.metamodel.networks.shape import Shape
from mole_jax.metamodel.process import noising
from mole_jax.metamodel.process.noising import Process
from mole_jax.metamodel.process.sampler import Plan

NOISE_SCHEDULES = ("cosine", "linear")
VARIANCES = ("fixed_small", "fixed_large")
_COUNTS = ("chunk_size", "n_embd", "n_layer", "n_head", "num_frequencies")
# Far beyond any model: a damaged file with more would take all memory and time.
_MOST = {"parameters": 2**31 - 1, "tokens": 100_000, "diffusion.steps": 1_000_000}


@dataclasses.dataclass(frozen=True)
class Settings:
    """A model's sizes and choices, by the reference's names."""

    parameter_sizes: tuple[int, ...]  # of each tensor of the network that is written
    parameter_names: tuple[str, ...]
    split_policy: str
    chunk_size: int
    n_embd: int
    n_layer: int
    n_head: int
    encoder_depth: int = 1
    decoder_depth: int = 1
    max_freq_log2: float = 14
    num_frequencies: int = 128
    predict_xstart: bool = True
    absolute_loss_conditioning: bool = True
    diffusion_steps: int = 1000
    noise_schedule: str = "linear"
    variance: str = "fixed_large"
    # What parameters are multiplied by before the model reads them; 0: unknown. Files of the
    # reference do not have it, those that we export do.
    scale: float = 0.0

    @property
    def size(self) -> int:
        """Return D, the number of parameters of a network that is written."""
        return sum(self.parameter_sizes)

    def tokens(self, frequencies: tuple[float, ...] = ()) -> Tokens:
        """Return the tokens of our model; `frequencies` as the weights' file has them."""
        return Tokens(
            split=self.split_policy,
            chunk_size=self.chunk_size,
            encoder_depth=self.encoder_depth,
            decoder_depth=self.decoder_depth,
            n_frequencies=self.num_frequencies,
            max_frequency_log2=float(self.max_freq_log2),
            absolute_metrics=self.absolute_loss_conditioning,
            frequencies=frequencies,
        )

    def process(self) -> Process:
        """Return its diffusion."""
        prediction = "x0" if self.predict_xstart else "eps"
        return noising.build(self.noise_schedule, self.diffusion_steps, prediction)

    def plan(self) -> Plan:
        """Return how it is sampled from."""
        name = "ancestral_large" if self.variance == "fixed_large" else "ancestral"
        return Plan(name, self.diffusion_steps)

    def shape(self) -> dict[str, Any]:
        """Return its sizes as keys of `config.metamodel`, with values for all that G.pt lacks."""
        return {
            "width": self.n_embd,
            "layers": self.n_layer,
            "heads": self.n_head,
            "mlp_ratio": 4,
            "conditioning": "context",
            "features": "dense",
            "feature_width": 1,
            "support_queries": 0,
            "pairwise": False,
            "probes": 0,
            "inner_steps": 0,
            "dtype": "float32",
            "remat": False,
            "unroll": 1,
        }

    def module(self, frequencies: tuple[float, ...] = ()) -> GPT:
        """Return our model of these settings."""
        return GPT(
            Shape(**self.shape()), self.tokens(frequencies), self.process(), self.parameter_sizes
        )


def read(path: Path) -> Settings:
    """Read and check a settings file.

    Raises:
        UserError: if the file is missing or not JSON, or if settings are missing, of another type,
            or contradict each other: token sizes, `n_params`.
    """
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise UserError(f"{path} is missing: the model's settings are read from it") from None
    except (OSError, ValueError, RecursionError) as problem:
        raise UserError(f"{path} is not a JSON file: {problem}") from None
    try:
        return _checked(found)
    except UserError as problem:
        raise UserError(f"{path}: {problem}") from None


def _checked(found: Any) -> Settings:
    if not isinstance(found, Mapping):
        raise UserError("it holds another JSON value than settings; expected an object")
    given = {k: v for k, v in found.items() if k not in _STATED}
    process = given.pop("diffusion", {})
    if not isinstance(process, Mapping):
        raise UserError(f"diffusion={process!r} must be an object")
    renamed = {"steps": "diffusion_steps"}
    given |= {renamed.get(k, k): v for k, v in process.items() if k != "predict"}
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    if given.get("chunk_size") in (None, False):  # layer_by_layer has none
        given["chunk_size"] = 0
    for name in sorted(set(given) - set(fields)):
        print(f"note: setting {name!r} is unknown, and is left out", file=sys.stderr)
        del given[name]
    for name, field in fields.items():
        if name not in given:
            if field.default is dataclasses.MISSING:
                raise UserError(f"setting {name!r} is missing")
            continue
        given[name] = _typed(name, given[name], str(field.type))
    settings = Settings(**given)
    _check_values(settings)
    predicts = process.get("predict", "x0" if settings.predict_xstart else "eps")
    known = {"x0": True, "xstart": True, "eps": False, "epsilon": False, "noise": False}
    if not isinstance(predicts, str) or known.get(predicts) != settings.predict_xstart:
        raise UserError(
            f"diffusion.predict={predicts!r} and predict_xstart={settings.predict_xstart} "
            "contradict each other"
        )
    _check_stated(settings, found)
    return settings


# What a settings file states although it follows from the rest.
_STATED = ("input_splits", "output_splits", "n_params")


def _check_stated(settings: Settings, found: Mapping[str, Any]) -> None:
    sizes = settings.tokens().sizes(settings.parameter_sizes)
    for name, follows in zip(("input_splits", "output_splits"), sizes, strict=True):
        stated = found.get(name)
        if stated is not None and stated != list(follows):
            shown = len(stated) if isinstance(stated, list) else stated
            raise UserError(
                f"{name} states {shown} tokens that do not follow from split_policy="
                f"{settings.split_policy!r} and chunk_size={settings.chunk_size}, which give "
                f"{len(follows)}"
            )
    stated = found.get("n_params")
    if stated is not None and stated != n_params(settings):
        raise UserError(
            f"n_params={stated!r}, but a model of these settings has {n_params(settings)}"
        )


def n_params(settings: Settings) -> int:
    """Count the parameters of a model: those of its encoders, blocks and decoders."""
    s, sizes = settings, settings.tokens().sizes(settings.parameter_sizes)
    w, n = s.n_embd, len(sizes.inputs)
    encoders = w * sum(sizes.inputs) + n * (s.encoder_depth - 1) * w * w
    decoders = w * sum(sizes.outputs) + len(sizes.outputs) * (s.decoder_depth - 1) * w * w
    block = 4 * (w * w + w) + (8 * w * w + 5 * w) + 4 * w  # attention, MLP, two LayerNorms
    return encoders + n * w + 4 * w + s.n_layer * block + decoders


def _check_values(settings: Settings) -> None:
    for name in (*_COUNTS, "encoder_depth", "decoder_depth"):
        if name == "chunk_size" and settings.split_policy == "layer_by_layer":
            continue
        if getattr(settings, name) < 1:
            raise UserError(f"{name}={getattr(settings, name)} must be 1 or more")
    if settings.n_embd % settings.n_head:
        raise UserError(f"n_embd={settings.n_embd} must be a multiple of n_head={settings.n_head}")
    if settings.split_policy not in tokenisation.POLICIES:
        raise UserError(
            f"split_policy={settings.split_policy!r} is unknown; there are {tokenisation.POLICIES}"
        )
    if not settings.parameter_sizes or min(settings.parameter_sizes) < 1:
        raise UserError("parameter_sizes must name at least one size, of 1 or more")
    if len(settings.parameter_names) != len(settings.parameter_sizes):
        raise UserError(
            f"{len(settings.parameter_names)} parameter_names and "
            f"{len(settings.parameter_sizes)} parameter_sizes: there must be equally many"
        )
    if settings.variance not in VARIANCES:
        raise UserError(
            f"diffusion.variance={settings.variance!r} is unknown; there are {VARIANCES}"
        )
    if settings.noise_schedule not in NOISE_SCHEDULES:
        raise UserError(
            f"diffusion.noise_schedule={settings.noise_schedule!r} is unknown; "
            f"there are {NOISE_SCHEDULES}"
        )
    if settings.diffusion_steps < 2:
        raise UserError(f"diffusion.steps={settings.diffusion_steps} must be 2 or more")
    counts = {
        "parameters": settings.size,
        "tokens": settings.size // max(settings.chunk_size, 1),
        "diffusion.steps": settings.diffusion_steps,
    }
    if settings.split_policy == "layer_by_layer":
        counts["tokens"] = len(settings.parameter_sizes)
    for name, count in counts.items():
        if count > _MOST[name]:
            raise UserError(f"{count} {name} are more than {_MOST[name]}")


def _typed(name: str, value: Any, kind: str) -> Any:
    """Return the value as the field's type, named as in its annotation; raise UserError."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind.startswith("tuple"):
        element = int if "int" in kind else str
        if isinstance(value, list) and all(type(v) is element for v in value):
            return tuple(value)
        raise UserError(f"{name}={str(value)[:60]} must be a list of {element.__name__}s")
    fits = {
        "int": whole,
        "float": whole or isinstance(value, float),
        "bool": isinstance(value, bool),
        "str": isinstance(value, str),
    }
    if not fits[kind]:
        raise UserError(f"{name}={str(value)[:60]!r} must be of type {kind}")
    return value

"""Compare our G.pt with numbers of the reference.

    python -m mole_jax.interop.gpt.gpt_parity CASE.npz ...

A case is a small model of the reference with what it computes. `CASE.json` next to it has the
model's settings. In `CASE.npz`, with B examples of networks with D parameters:

    state/NAME     the model's tensors, by PyTorch's names and in its layouts
    grad/NAME      gradients of the mean loss
    in/x0, x_prev, noise [B, D]; t [B] int; loss_target, loss_prev [B]
    in/chain_noise [T + 1, b, D]: the initial x_T, then the noise of the steps T - 1, ..., 0
    out/x_t, pred, p_mean, p_variance [B, D]; loss_per_example [B]; loss []
    out/chain_sample [b, D], from the first b of x_prev, loss_target and loss_prev

Only what a case has is compared. For every quantity the relative error |a - b| / |b| is printed, in
the Euclidean norm. The gradient of a key's bias is zero, since a softmax ignores what all keys have
in common; its values are rounding errors, so |b| is that of the key's weight. Other .npz files,
without any state/*, are named and left out. Exit code 0: all errors are at most 1e-4; 1: some are
not; 2: a case cannot be read (the others are still compared), or there is none.
"""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.program import command
from mole_jax.core.program.arguments import Parser
from mole_jax.core.storage.paths import user_path
from mole_jax.interop.gpt import gpt_settings, gpt_weights
from mole_jax.interop.gpt.gpt_settings import Settings
from mole_jax.interop.gpt.gpt_weights import FREQUENCIES
from mole_jax.metamodel.networks.probing import Denoising
from mole_jax.metamodel.process import sampler
from mole_jax.metamodel.process.prompt import Prompt, everything

TOLERANCE = 1e-4
_IN = ("x0", "x_prev", "noise", "t", "loss_target", "loss_prev")
_WANTED = ("out/", "grad/")
_KEY_BIAS = ".attn.key.bias"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return command.explained(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = Parser(
        prog="python -m mole_jax.interop.gpt.gpt_parity",
        description="Compare our G.pt with what the reference computes.",
        epilog="exit code 0: all relative errors are at most 1e-4; 1: some are not; 2: bad files",
    )
    parser.add_argument(
        "cases", type=user_path, nargs="+", metavar="CASE.npz", help="with CASE.json next to it"
    )
    flags = parser.parse_args(arguments)
    worst, compared, unread = 0.0, False, False
    for name in flags.cases:
        try:
            arrays = _read(name)
            if not any(key.startswith("state/") for key in arrays):
                print(f"{name} is not a case, since it has no state/*: left out", file=sys.stderr)
                continue
            errors = compare(name, arrays)
        except UserError as problem:
            print(f"error: {' '.join(str(problem).split())}", file=sys.stderr)
            unread = True
            continue
        compared = True
        width = max(map(len, errors))
        print(f"{name}")
        for quantity, error in errors.items():
            verdict = "" if error <= TOLERANCE else "  FAIL"
            print(f"  {quantity:{width}}  {error:.2e}{verdict}")
        worst = max([worst, *(e if e == e else np.inf for e in errors.values())])
    if compared:
        print(f"largest relative error {worst:.2e}; at most {TOLERANCE:.0e} is allowed")
    elif not unread:
        print("error: none of these files is a case: there is nothing to compare", file=sys.stderr)
    if unread or not compared:
        return 2
    return 0 if worst <= TOLERANCE else 1


def compare(path: Path, arrays: Mapping[str, np.ndarray] | None = None) -> dict[str, float]:
    """Return the relative error of every quantity of a case; NaN if it is unknown.

    `arrays`: the content of the file, if it has been read already.

    Raises:
        UserError: if the case cannot be read, or contradicts itself.
    """
    arrays = _read(path) if arrays is None else arrays
    settings = gpt_settings.read(path.with_suffix(".json"))
    state = {k.removeprefix("state/"): v for k, v in arrays.items() if k.startswith("state/")}
    try:
        params = gpt_weights.load(settings, state)
        _check(settings, arrays)
    except UserError as problem:
        raise UserError(f"{path}: {problem}") from None
    with jax.default_matmul_precision("float32"):  # accelerators round more by default
        found = _computed(settings, params, gpt_weights.frequencies(state), arrays)
    wanted = {k: v for k, v in arrays.items() if k.startswith(_WANTED)}
    errors = {}
    for name, value in wanted.items():
        size = np.linalg.norm(value.astype(np.float64))
        if name.endswith(_KEY_BIAS):
            weight = wanted.get(name.removesuffix("bias") + "weight", value)
            size = max(size, np.linalg.norm(weight.astype(np.float64)))
        apart = np.linalg.norm(found[name].astype(np.float64) - value)
        errors[name] = float(apart / size) if size else float(apart and np.inf)
    return errors


def _computed(
    settings: Settings,
    params: Any,
    frequencies: tuple[float, ...],
    arrays: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Compute our model's outputs for a case's inputs, by name."""
    module, process = settings.module(frequencies), settings.process()
    inputs = {name: jnp.asarray(arrays[f"in/{name}"], jnp.float32) for name in _IN if name != "t"}
    step = arrays["in/t"]
    t = jnp.asarray(process.time(step), jnp.float32)

    def predicted(params: Any, noisy: Any, t: Any, start: Any, target: Any, metric: Any) -> Any:
        """Return the model's own prediction, and the estimate of x0 it implies: [B, D] each."""
        x, start = noisy[:, None], start[:, None]  # [B, L = 1, D]
        of = Denoising(x, start, start, t, jnp.ones_like(x), None)  # type: ignore[arg-type]
        prompt = Prompt(start, metric, target, None, everything(len(t)))  # type: ignore[arg-type]
        output: Any = module.apply({"params": params}, of, prompt)
        clean = process.clean_estimate(output, x, start, t, of.scale)
        return (clean if settings.predict_xstart else output)[:, 0], clean[:, 0]

    conditions = inputs["x_prev"], inputs["loss_target"], inputs["loss_prev"]
    noisy = process.add_noise(inputs["x0"], inputs["noise"], t)

    def loss(params: Any) -> Any:
        prediction, clean = predicted(params, noisy, t, *conditions)
        wanted = inputs["x0"] if settings.predict_xstart else inputs["noise"]
        each = jnp.mean((prediction - wanted) ** 2, axis=1)
        return jnp.mean(each), (each, prediction, clean)

    (mean, (each, prediction, clean)), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(
        params
    )
    steps = sampler.steps_of(process, settings.plan())
    of_clean, of_noisy, variance = (
        jnp.asarray(x[::-1][step], jnp.float32)[:, None]
        for x in (steps.clean, steps.noisy, steps.fresh**2)
    )
    found = {
        "out/x_t": noisy,
        "out/pred": prediction,
        "out/loss_per_example": each,
        "out/loss": mean,
        "out/p_mean": of_clean * clean + of_noisy * noisy,
        "out/p_variance": jnp.broadcast_to(variance, noisy.shape),
    }
    for name, value in gpt_weights.save(settings, grads).items():
        found[f"grad/{name}"] = value
    if "out/chain_sample" in arrays:
        noise = jnp.asarray(arrays["in/chain_noise"], jnp.float32)
        few = tuple(x[: noise.shape[1]] for x in conditions)

        @jax.jit
        def chain(params: Any, noise: Any) -> Any:
            def estimate(x: Any, t: Any) -> Any:
                return predicted(params, x, jnp.full(len(x), t), *few)[1]

            return sampler.walk(estimate, noise[0], steps, lambda i: noise[i + 1])

        found["out/chain_sample"] = chain(params, noise)
    return {name: np.asarray(value) for name, value in found.items()}


def _read(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as opened:  # so that it is closed if it is not an archive
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise UserError(f"{path} is not a .npz file")
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise UserError(f"{path} is missing") from None
    except UserError:
        raise
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as problem:
        raise UserError(f"{path} cannot be read as .npz: {problem}") from None


def _check(settings: Settings, arrays: Mapping[str, np.ndarray]) -> None:
    """Raise UserError for inputs that do not fit the settings, or each other."""
    for name in _IN:
        if f"in/{name}" not in arrays:
            raise UserError(f"in/{name} is missing")
    batch, size, steps = len(arrays["in/t"].reshape(-1)), settings.size, settings.diffusion_steps
    shapes: dict[str, tuple[int, ...]] = {
        name: (batch, size) if name in ("x0", "x_prev", "noise") else (batch,) for name in _IN
    }
    if "out/chain_sample" in arrays:
        if "in/chain_noise" not in arrays:
            raise UserError("in/chain_noise is missing, but out/chain_sample is there")
        few = arrays["in/chain_noise"].shape[1:2]
        shapes["chain_noise"] = (steps + 1, *few, size)
        if few and few[0] > batch:
            raise UserError(f"in/chain_noise has {few[0]} examples, but there are {batch}")
    for name, shape in shapes.items():
        value = arrays[f"in/{name}"]
        if value.shape != shape:
            raise UserError(
                f"in/{name} has shape {list(value.shape)}, but the settings imply {list(shape)}"
            )
        if value.dtype.kind not in ("iu" if name == "t" else "iuf"):
            raise UserError(f"in/{name} holds {value.dtype}, not numbers of its kind")
        if not np.isfinite(value).all():
            raise UserError(f"in/{name} holds NaN or infinity")
    t = arrays["in/t"]
    if not batch or t.min() < 0 or t.max() >= steps:
        raise UserError(f"in/t must be steps in 0..{steps - 1}, and there must be some")
    _check_wanted(arrays, (batch, size))


def _check_wanted(arrays: Mapping[str, np.ndarray], networks: tuple[int, int]) -> None:
    """Raise UserError for unknown quantities, or wrong shapes: networks are [B, D]."""
    shapes: dict[str, tuple[int, ...]] = {
        f"out/{name}": networks for name in ("x_t", "pred", "p_mean", "p_variance")
    }
    shapes |= {"out/loss_per_example": networks[:1], "out/loss": ()}
    if "in/chain_noise" in arrays:
        shapes["out/chain_sample"] = arrays["in/chain_noise"].shape[1:]
    for name, value in arrays.items():
        of, _, rest = name.partition("/")
        if of == "state" and rest != FREQUENCIES:
            shapes[f"grad/{rest}"] = value.shape
    wanted = [name for name in arrays if name.startswith(_WANTED)]
    if not wanted:
        raise UserError("it has neither out/* nor grad/*: there is nothing to compare")
    for name in wanted:
        if name not in shapes:
            raise UserError(f"{name} is not a quantity that is compared")
        value = arrays[name]
        if value.shape != shapes[name] or value.dtype.kind != "f":
            raise UserError(
                f"{name} is {value.dtype} {list(value.shape)}, expected float {list(shapes[name])}"
            )


if __name__ == "__main__":
    command.leave(main())

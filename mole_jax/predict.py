"""The command `python -m mole_jax.predict`: networks for your labelled examples, as files.

    python -m mole_jax.predict glyphs-8 --support=mine.npz --out=net.safetensors

JAX starts only once the command line is known to be right.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np

from mole_jax.core.errors import MoleWarning, UserError
from mole_jax.core.program import compiled
from mole_jax.core.program.arguments import Parser
from mole_jax.core.program.command import explained, leave
from mole_jax.core.seeds import checked_seed
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path
from mole_jax.predict_inputs import (
    NPZ,
    ONNX,
    SAFETENSORS,
    Task,
    named_source,
    read_start,
    read_task,
)
from mole_jax.predict_summary import summary
from mole_jax.sampling import shipped

if TYPE_CHECKING:
    from mole_jax.sampling.load import Model, Networks
    from mole_jax.tasks.networks import Network

DESCRIPTION = """\
Predict networks for a task, from labelled examples of it, as good as the model can make them or
with the loss that you ask for, and write them as files. Nothing is trained or downloaded, and
nothing is written before everything has been checked.
"""
EPILOG = """\
models that come with MOLE, for grey images of 2 to 10 classes, pixels from 0 (background) to 255
  glyphs-8     8 x 8 pixels; other sizes with --resize
  glyphs-28    28 x 28 pixels, the same

files, none without --out
  --out=NAME.safetensors   tensors with PyTorch's names and layouts, and next to it a card
                           NAME.json: what the network is, how it computes, how pixels are scaled
  --out=NAME.onnx          a graph that takes images, float32 [n, H, W, channels], pixels on the
                           source's own scale, and gives logits and probabilities
  --out=NAME.npz           tensors with MOLE's names, for networks of any kind
  With -n N above 1 there is one file per network: NAME-0, NAME-1, ... Files of these names are
  replaced.

sources
  FILE.npz, or npz:FILE, is a file of numpy.savez with the arrays image [m, H, W] or
  [m, H, W, channels] and label [m], whole numbers 0..K-1. Images that its array test [m] marks are
  kept out of the support set; --test takes only those. README.md names the other data sources; they
  work, too, if their images and classes fit. For policies, the file has the array transitions
  [m, O + A + O]: observation, action, next observation.

examples
  python -m mole_jax.predict glyphs-8 --support=mine.npz --test=more.npz --resize -n 8
  python -m mole_jax.predict glyphs-28 --support=mine.npz --out=net.onnx
  python -m mole_jax.predict runs/digits --support=mine.npz --test=more.npz \\
      --target_loss=0.02 -n 8 --out=nets/net.safetensors
"""

# Share of the zoo's runs that reach the default target loss, for models that need a target.
BEST_SHARE = 0.1
MOST_FILES = 100_000
PIECE = 1000  # test images that run through all networks at once


class Tested(NamedTuple):
    """What n networks reach on a test set."""

    loss: np.ndarray  # [n] nats
    accuracy: np.ndarray  # [n] shares of 1
    together: float  # accuracy of the average of their probabilities
    calibration_error: float  # of the average, expected over 15 bins of confidence


class Target(NamedTuple):
    """What is asked for: a loss, a return or the best; and in words, with its origin."""

    loss: float | None  # in the metric of the model's prompts
    reward: float | None
    words: str


class Predicted(NamedTuple):
    """The networks, their files, and all that is recorded about them."""

    flags: argparse.Namespace
    model: Model
    task: Task
    target: Target
    nets: Networks
    tested: Tested | None
    files: list[Path]

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """Return what is known about the networks, [n] each."""
        known = {}
        if self.nets.predicted_metric is not None:
            known[f"support_{self.model.metric.kind}"] = np.asarray(self.nets.predicted_metric)
        if self.tested is not None:
            known |= {"test_loss": self.tested.loss, "test_accuracy": self.tested.accuracy}
        return known


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        The exit code: 0, or those of `command.explained`.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    return explained(lambda: run(_parser().parse_args(given)))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m mole_jax.predict",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )

    def add(name: str, metavar: str, text: str, **options: Any) -> None:
        parser.add_argument(name, metavar=metavar, help=text, **options)

    text = "the name of a model below; or a workdir of `python -m mole_jax.main` whose train stage "
    text += "is done; or a model file of export-model"
    add("workdir", "MODEL", text, type=shipped.place)
    text = "labelled examples of the task: FILE.npz, or another source"
    add("--support", "SOURCE", text, required=True, type=named_source)
    text = "NAME.safetensors, NAME.onnx or NAME.npz; see below"
    add("--out", "FILE", text, type=user_path)
    text = "other examples, on which the networks are measured"
    add("--test", "SOURCE", text, type=named_source)
    text = "resize images to the size that the networks take"
    parser.add_argument("--resize", action="store_true", help=text)
    text = "the loss to ask for, in nats; by default none: as good as the model can. A model that "
    text += "needs one is asked for what the best tenth of the zoo's runs reach"
    add("--target_loss", "X", text, type=float)
    add("--target_return", "X", "for policies, the return to ask for instead", type=float)
    add("-n", "N", "how many networks (1)", type=int, default=1)
    text = "for a model that writes several sizes, the network to write, such as "
    text += "mlp:64,24,12,5; by default the largest that were trained on"
    add("--network", "mlp:IN,HIDDEN,...,OUT", text)
    text = "gradient steps more on the examples: with ten of a new class 400 gain about a point, "
    text += "with one or two they lose (0)"
    add("--polish", "N", text, type=int, default=0)
    add("--seed", "S", "of the starts and the noise (0)", type=int, default=0)
    text = "a network to update, as export-network or import-network write it; by default a new one"
    add("--start", "FILE", text, type=user_path)
    text = "the learner that writes them: diffusion (default), or another one that was trained: "
    text += "regression, end_to_end, or an ancestor such as maml; a model file has only one"
    add("--objective", "NAME", text)
    add("--checkpoint", "C", "last (default), best, or a kept checkpoint's step", default="last")
    add("--sampler", "NAME", "ddim, heun, ancestral, ancestral_large; by default the evaluation's")
    add("--steps", "N", "of the sampler; by default the evaluation's", type=int)
    text = "where compiled programs are kept for the next time, or off; by default what "
    text += "MOLE_COMPILATION_CACHE says, or else ~/.cache/mole/compiled"
    add("--compilation_cache", "FOLDER", text, default="")
    return parser


def run(flags: argparse.Namespace) -> None:
    """Do what the command line says; raise UserError for what the user can fix."""
    if flags.n < 1:
        raise UserError(f"-n {flags.n}: ask for 1 network or more")
    checked_seed(flags.seed, "--seed")
    out = outputs(flags.out, flags.n) if flags.out else []
    cards = [path.with_suffix(".json") for path in out if path.suffix == SAFETENSORS]
    files.refuse_overwriting([*out, *cards], inputs(flags))
    with compiled.kept(flags.compilation_cache):
        found = predicted(flags, out)
    if found.files:
        write(found)
    print("\n".join(summary(found)))


def predicted(flags: argparse.Namespace, out: list[Path]) -> Predicted:
    """Read a model and a task, predict, and measure."""
    from mole_jax.core import rng

    model = load(flags)
    suffix = flags.out.suffix if flags.out else ""
    if suffix == SAFETENSORS:
        _check_layout(model.network())
    if suffix == ONNX:
        from mole_jax.interop import onnx_file

        onnx_file.check(model.network())
    task = read_task(flags.support, flags.test, model, resize=flags.resize)
    network = model.network(task.y, flags.network)
    start = None if flags.start is None else read_start(flags.start, network, flags.n)
    target = _target(flags, model)
    if sys.stderr.isatty():
        print(f"predicting {flags.n}; the sampler is compiled first", file=sys.stderr, flush=True)
    with _said_in_a_line():
        nets = model.predict(
            task.x,
            task.y,
            target_loss=target.loss,
            target_return=target.reward,
            n=flags.n,
            key=rng.key(flags.seed),
            start=start,
            network=flags.network,
            polish=flags.polish,
        )
        tested = None if task.test is None else measure(nets, *task.test)
    return Predicted(flags, model, task, target, nets, tested, out)


@contextlib.contextmanager
def _said_in_a_line() -> Iterator[None]:
    """Print a line for each warning of this block that is meant for the user."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(
            message: Warning | str, category: type[Warning], filename: str, lineno: int,
            file: TextIO | None = None, line: str | None = None,
        ) -> None:  # fmt: skip
            if issubclass(category, MoleWarning):
                print(f"warning: {message}", file=sys.stderr, flush=True)
            else:
                others(message, category, filename, lineno, file, line)

        warnings.simplefilter("default", MoleWarning)
        warnings.showwarning = show
        yield


def outputs(out: Path, n: int) -> list[Path]:
    """Name the files of n networks.

    Raises:
        UserError: for another ending, or if files cannot be written.
    """
    if n > MOST_FILES:
        raise UserError(f"-n={n}: at most {MOST_FILES:,} networks are written at once")
    if out.suffix not in (SAFETENSORS, ONNX, NPZ):
        raise UserError(f"--out={out} must end in {SAFETENSORS}, {ONNX} or {NPZ}")
    folder = next(above for above in (out.parent, *out.parent.parents) if above.exists())
    if not folder.is_dir():
        raise UserError(f"--out={out}: {folder} is a file, not a folder; name another one")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"--out={out}: the folder {folder} may not be written to; name another one")
    found = [out] if n == 1 else [out.with_stem(f"{out.stem}-{i}") for i in range(n)]
    for path in found:
        if path.is_dir():
            raise UserError(f"--out={out}: {path} is a folder; name a file")
    return found


def inputs(flags: argparse.Namespace) -> list[Path]:
    """Name the files that the command reads, as far as its sources are files."""
    sources = [part for text in (flags.support, flags.test) if text for part in text.split("+")]
    named = [user_path(part.partition(":")[2]) for part in sources if ":" in part]
    model = [flags.workdir] if flags.workdir.is_file() else []
    return [*model, *named, *([flags.start] if flags.start else [])]


def load(flags: argparse.Namespace) -> Model:
    """Load the meta-model that the command line names.

    Raises:
        UserError: if it cannot be loaded, or for flags of a sampler that it does not have.
    """
    import mole_jax

    checkpoint = int(flags.checkpoint) if flags.checkpoint.isdecimal() else flags.checkpoint
    sampling = {"name": flags.sampler, "steps": flags.steps}
    sampling = {key: value for key, value in sampling.items() if value is not None}
    load_model = functools.partial(
        mole_jax.load, flags.workdir, objective=flags.objective, checkpoint=checkpoint
    )
    model = load_model()
    if model.learner.uses.pool:
        raise UserError(
            f"the {model.objective} model practises in the environment, given its parameters: use "
            "mole_jax.load(WORKDIR, objective=...).predict(x, parameters=..., key=...) in Python"
        )
    if sampling and not model.learner.uses.samples:
        raise UserError(
            f"the {model.objective} model writes in one pass: leave --sampler and --steps out"
        )
    return load_model(**sampling) if sampling else model


def _check_layout(network: Network) -> None:
    from mole_jax.tasks.networks.torch_layout import layout

    try:
        layout(network)
    except UserError as problem:
        raise UserError(f"{problem}; name a file that ends in {NPZ} with --out") from None


def _target(flags: argparse.Namespace, model: Model) -> Target:
    loss, reward = flags.target_loss, flags.target_return
    if loss is not None and reward is not None:
        raise UserError("give only one of --target_loss and --target_return")
    if reward is not None:
        return Target(None, reward, f"return {reward:g}, as given")
    words = model.metric.words
    if loss is not None:
        return Target(loss, None, f"{words} {loss:g}, as given")
    if model.learner.uses.best or not model.learner.uses.target_metric:
        return Target(None, None, "as good as the model can")
    loss, n_runs = usual(flags.workdir, model)
    share = f"the best {BEST_SHARE:.0%} of the zoo's {n_runs} training runs end with it or better"
    return Target(loss, None, f"{words} {loss:.4g}: {share}")


def usual(workdir: Path, model: Model) -> tuple[float, int]:
    """Return the metric that the best tenth of the zoo's training runs end with, and their number.

    Raises:
        UserError: without a zoo, or without a finite training run in it.
    """
    from mole_jax.zoo.storage.reader import open_zoo

    if not (workdir / "zoo").is_dir():
        raise UserError(
            f"--target_loss is missing: {workdir} has no zoo whose runs would show what can be "
            "asked for; add --target_loss=X"
        )
    zoo = open_zoo(workdir / "zoo")
    final = model.metric.of_runs(zoo, zoo.select(split="train", finite=True))[:, -1]
    if not final.size:
        raise UserError(f"--target_loss is missing: no run of {zoo.path} is finite; add it")
    share = 1 - BEST_SHARE if model.metric.larger_is_better else BEST_SHARE
    return float(np.quantile(final, share)), final.size


def measure(nets: Networks, x: np.ndarray, y: np.ndarray) -> Tested:
    """Measure n networks on test images [m, F] and labels [m]."""
    import jax
    import jax.numpy as jnp

    from mole_jax.evaluation.harness.statistics import calibration_error
    from mole_jax.tasks.classification import loss_and_accuracy

    pieces = [nets.apply(x[i : i + PIECE]) for i in range(0, len(x), PIECE)]
    logits = jnp.concatenate(pieces, axis=1)  # [n, m, K]
    loss, accuracy = loss_and_accuracy(logits, jnp.asarray(y), jnp.ones(len(y), bool))
    shares = np.asarray(jax.nn.softmax(logits).mean(0))
    right = shares.argmax(-1) == y
    finite = np.isfinite(shares).all()
    error = calibration_error(shares.max(-1), right) if finite else float("nan")
    return Tested(np.asarray(loss), np.asarray(accuracy), float(right.mean()), error)


def write(found: Predicted) -> None:
    """Write every network to its file.

    Raises:
        UserError: if a file cannot be written.
    """
    from mole_jax.interop.network_files import save_network

    spec, task, source = found.nets.network.spec, *_card(found)
    flat = np.asarray(spec.flatten(found.nets.params))  # [n, D]
    for i, path in enumerate(found.files):
        metrics = {name: float(values[i]) for name, values in found.metrics.items()}
        its = source | {"network": i, "of": len(found.files)}
        try:
            if path.suffix == NPZ:
                arrays = {f.path: flat[i, f.slice].reshape(f.shape) for f in spec.fields}
                files.write_npz(path, **arrays)
                continue
            described, params = found.nets.description, spec.unflatten(flat[i])
            if path.suffix == ONNX:
                from mole_jax.interop.onnx_file import save_onnx

                about = {"task": task, "metrics": metrics, "source": its}
                scale, shift = found.model.standardise
                save_onnx(path, described, params, scale=scale, shift=shift, about=about)
            else:
                save_network(path, described, params, task=task, metrics=metrics, source=its)
        except OSError as problem:
            raise UserError(
                f"{path} cannot be written ({problem.strerror}): make space, or name another --out"
            ) from problem


def _card(found: Predicted) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the card of every network says about its task and its origin."""
    flags, model = found.flags, found.model
    task = {"support": flags.support, "support_examples": len(found.task.x)}
    if found.task.resized_from:
        task |= {"resized_from": found.task.resized_from}
    if flags.out.suffix == ONNX:
        task |= {"inputs": "as they come: the graph scales them"}
    elif found.task.y is not None:
        scale, shift = model.standardise
        task |= {"inputs": "pixel * scale + shift", "scale": scale, "shift": shift}
    source = {
        "workdir": flags.workdir.resolve(),
        **({"model": found.model.about} if found.model.about else {"checkpoint": flags.checkpoint}),
        "objective": model.objective,
        "sampler": model.plan.name if model.learner.uses.samples else None,
        "steps": model.plan.steps if model.learner.uses.samples else 1,
        "seed": flags.seed,
        "start": flags.start,
        "asked": found.target.words,
        **({"polish": flags.polish} if flags.polish else {}),
    }
    return task, source


if __name__ == "__main__":
    leave(main())

"""Stored metrics against weights: `python -m mole_jax.zoo check-metrics ZOO --data npz:FILE`."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.console.progress import Progress
from mole_jax.core.errors import UserError
from mole_jax.core.storage.paths import user_path
from mole_jax.tasks import networks
from mole_jax.tasks.classification import cross_entropy
from mole_jax.tasks.networks import Network
from mole_jax.tasks.sources import npz
from mole_jax.zoo.storage.reader import Zoo, open_zoo

TOLERANCE = 1e-4
# Metrics of a whole test set: the mean loss in nats, and the error in percent.
LOSSES, ERRORS = ("avg_test_loss", "test_loss"), ("avg_test_err", "test_err")
_NUMBERS = 2**24  # float32 numbers of images in one pass of a network


@dataclasses.dataclass(frozen=True)
class Difference:
    """The largest difference between a stored metric and the weights' own."""

    metric: str
    largest: float
    stored: float
    computed: float
    where: str  # run and snapshot

    def __str__(self) -> str:
        return (
            f"{self.metric}: largest difference {self.largest:.3g} (stored {self.stored:.9g}, "
            f"computed {self.computed:.9g}: {self.where})"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("zoo", type=user_path, metavar="ZOO", help="an imported zoo's folder")
    text = "the test set: image [n, ...] as the networks saw it (float32, normalised), label [n]"
    parser.add_argument("--data", required=True, metavar="npz:FILE", help=text)
    text = f"exit code 1 for a larger difference (default: {TOLERANCE:g})"
    parser.add_argument("--tolerance", type=float, default=TOLERANCE, metavar="X", help=text)
    text = "only N runs, evenly spaced (default: all)"
    parser.add_argument("--runs", type=int, default=0, metavar="N", help=text)


def run(flags: argparse.Namespace) -> int:
    """Run the command."""
    if not flags.tolerance >= 0 or flags.runs < 0:
        raise UserError(
            f"--tolerance={flags.tolerance:g} and --runs={flags.runs} must be numbers, 0 or more"
        )
    zoo = open_zoo(flags.zoo)
    network = networks.from_json(zoo.schema.network)
    images, labels = read_test_set(flags.data, network)
    found = differences(zoo, images, labels, flags.runs)
    for difference in found:
        print(difference)
    return int(max(difference.largest for difference in found) > flags.tolerance)


def read_test_set(source: str, network: Network) -> tuple[np.ndarray, np.ndarray]:
    """Return images [n, H, W, channels] or [n, F] and labels [n] of `npz:FILE`, for a network.

    Images for a CNN may be [n, channels, H, W], too, as PyTorch has them.

    Raises:
        UserError: for unusable files and arrays.
    """
    kind, _, name = source.partition(":")
    path = user_path(name)
    if kind != "npz" or not name:
        raise UserError(
            f"--data={source}: give npz:FILE, a file of numpy.savez with image and label"
        )
    if not network.classifies:
        raise UserError(
            f"the zoo holds policies ({network.name}): a return cannot be computed from a data file"
        )
    if not path.is_file():
        raise UserError(f"--data={source}: there is no such file")
    image, label = npz.read_arrays(path, ("image", "label")).values()
    if image.dtype.kind != "f" or label.dtype.kind not in "ui" or label.ndim != 1:
        raise UserError(
            f"--data={source}: image is {image.dtype}, label {label.dtype} {list(label.shape)}; "
            "give images as the networks saw them, in floating point, and a whole-number label each"
        )
    channels_first = _channels_first(network, image.shape[1:])
    if channels_first:
        image = np.moveaxis(image, 1, -1)
    fits = image.ndim > 1 and len(image) == len(label) > 0
    if network.kind.any_size and image.ndim == 4:
        fits &= image.shape[-1] == network.input_shape[-1]
    else:
        fits &= math.prod(image.shape[1:]) == network.n_inputs
    if not fits:
        raise UserError(
            f"--data={source}: image {list(image.shape)} and label {list(label.shape)} do not fit "
            f"a network that takes {list(network.input_shape)}"
        )
    with np.errstate(over="ignore"):
        image = image.astype(np.float32)
    if not np.isfinite(image).all() or label.min() < 0 or label.max() >= network.n_outputs:
        raise UserError(
            f"--data={source}: images must be finite, in float32, and labels "
            f"0..{network.n_outputs - 1}"
        )
    return image, label.astype(np.int32)


def differences(
    zoo: Zoo, images: np.ndarray, labels: np.ndarray, n_runs: int = 0
) -> list[Difference]:
    """Measure loss and error of every snapshot, against what the zoo has stored.

    Args:
        zoo: an imported zoo of classifiers.
        images: [n, ...], as `read_test_set` gives them.
        labels: [n].
        n_runs: how many runs to look at, evenly spaced; 0 for all.

    Raises:
        UserError: when the zoo has neither metric.
    """
    chosen = [(names, i) for i, names in enumerate((LOSSES, ERRORS))]
    stored = {name: i for names, i in chosen for name in names if name in zoo.schema.metrics}
    if not stored or not zoo.schema.imported or zoo.n_runs == 0:
        raise UserError(
            f"{zoo.path} has no metrics of one test set: check-metrics is for imported zoos of "
            f"classifiers with any of {', '.join((*LOSSES, *ERRORS))}"
        )
    network = networks.from_json(zoo.schema.network)
    if network.kind.any_size and images.ndim == 4:
        size = {"input_shape": list(images.shape[1:])}
        network = networks.from_json({**zoo.schema.network, **size})
    measure = _measure(network, images, labels)
    rows = np.arange(zoo.n_runs)
    if 0 < n_runs < zoo.n_runs:
        rows = np.unique(np.linspace(0, zoo.n_runs - 1, n_runs).round().astype(int))
    worst: dict[str, Difference] = {}
    with Progress("check", total=len(rows), unit="runs") as bar:
        for row in rows.tolist():
            found = measure(zoo.parameters([row])[0])  # [2, S]
            name = zoo.names([row])[0]
            for metric, i in stored.items():
                values = zoo.metric(metric, [row])[0].astype(np.float64)
                # NaN counts as the largest: an undefined difference must not be overlooked.
                apart = np.nan_to_num(np.abs(values - found[i]), nan=np.inf)
                s = int(apart.argmax())
                if metric not in worst or apart[s] > worst[metric].largest:
                    where = f"run {name}, snapshot {s}"
                    worst[metric] = Difference(
                        metric, float(apart[s]), float(values[s]), float(found[i, s]), where
                    )
            bar.update(1)
    return list(worst.values())


def _channels_first(network: Network, shape: tuple[int, ...]) -> bool:
    if not network.kind.any_size or len(shape) != 3:
        return False
    channels = network.input_shape[-1]
    return shape[0] == channels and shape[-1] != channels


def _measure(
    network: Network, images: np.ndarray, labels: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function: parameters [S, D] -> [2, S] loss in nats and error in percent."""
    flat = images.reshape(len(images), -1)
    # Activations of a convolution are several times its input.
    block = max(1, min(len(flat), _NUMBERS // (8 * flat.shape[1])))
    parts = [slice(i, i + block) for i in range(0, len(flat), block)]

    @jax.jit
    def sums(parameters: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
        def one(vector: jax.Array) -> tuple[jax.Array, jax.Array]:
            logits = network.apply(network.spec.unflatten(vector), x)
            return jnp.sum(cross_entropy(logits, y)), jnp.sum(jnp.argmax(logits, -1) != y)

        # One after another: side by side their activations might not fit.
        return jax.lax.map(one, parameters)

    def measure(parameters: np.ndarray) -> np.ndarray:
        total = np.zeros((2, len(parameters)))
        with jax.default_matmul_precision("highest"):
            for part in parts:
                found = sums(parameters, flat[part], labels[part])
                total += np.stack([np.asarray(values) for values in found])
        return total / len(flat) * np.array([[1.0], [100.0]])

    return measure

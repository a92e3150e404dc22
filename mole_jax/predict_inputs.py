"""What `python -m mole_jax.predict` is given: labelled examples, and a network to update."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage import files
from mole_jax.core.storage.paths import user_path

if TYPE_CHECKING:  # modules that start JAX are imported when needed
    from mole_jax.sampling.load import Model
    from mole_jax.tasks.networks import Network

SAFETENSORS, ONNX, NPZ = ".safetensors", ".onnx", ".npz"


class Task(NamedTuple):
    """The support set and, if there is one, the test set."""

    x: np.ndarray  # flat images [m, F], or transitions [m, O + A + O]
    y: np.ndarray | None  # labels [m]; None for policies
    test: tuple[np.ndarray, np.ndarray] | None
    resized_from: tuple[int, ...] | None = None  # former image size: height, width, channels


def named_source(text: str) -> str:
    """Return a source as `tasks.sources.load` takes it: FILE.npz is npz:FILE.npz."""
    return f"npz:{text}" if text.endswith(NPZ) and ":" not in text else text


def read_task(support: str, test: str | None, model: Model, *, resize: bool = False) -> Task:
    """Read the support set, and the test set if one is named.

    Args:
        support: a source.
        test: a source, or None.
        model: the model that writes networks for them.
        resize: whether to resize images to the size that the networks take.

    Raises:
        UserError: if something cannot be read, or does not fit the model's networks.
    """
    if model.environment is not None:
        if test is not None:
            raise UserError("--test is for images: measure policies in their environment")
        return Task(_transitions(support), None, None)
    network = model.learner.network
    x, y, size = _labelled("--support", support, network, of_test=False, resize=resize)
    tested = None
    if test is not None:
        tested = _labelled("--test", test, model.network(y), of_test=True, resize=resize)[:2]
    return Task(x, y, tested, size)


def _labelled(
    flag: str, source: str, network: Network, *, of_test: bool, resize: bool
) -> tuple[np.ndarray, np.ndarray, tuple[int, ...] | None]:
    """Read flat images [m, F] and labels [m] of a data source: its test examples or the rest.

    Returns:
        The images, the labels, and the size that images had before they were resized, if they were.
    """
    from mole_jax.sampling import resizing
    from mole_jax.tasks import sources
    from mole_jax.tasks.sources.image_data import NUMBERING

    try:
        data = sources.load(source)
    except UserError as problem:
        # Numbered by themselves, a test set's labels would not match the support set's.
        own = (
            str(problem).replace(NUMBERING, "; number them as in --support") if of_test else problem
        )
        raise UserError(f"{flag}: {own}") from None
    shape = data.images.shape[1:]
    # Stored networks of flat images have only the number of their inputs.
    wanted = network.input_shape
    fits = shape == wanted or (len(wanted) == 1 and wanted == (np.prod(shape),))
    if not fits and not (resize and len(wanted) == 3 and shape[-1] == wanted[-1]):
        hint = resizing.colour(shape, wanted)
        if not hint and len(wanted) == 3 and shape[-1] == wanted[-1]:
            hint = ": add --resize to make them fit"
        raise UserError(
            f"{flag}={source}: its images are {_by(shape)}, but the networks take {_by(wanted)}"
            f"{hint}"
        )
    if data.n_classes > network.n_outputs:
        raise UserError(
            f"{flag}={source}: it has {data.n_classes} classes, but the networks have "
            f"{network.n_outputs}; choose some, and label them 0..{network.n_outputs - 1}"
        )
    rows = data.official_test == of_test
    if of_test and not rows.any():
        rows = ~rows  # a source without test examples of its own: all of it
    if not rows.any():
        raise UserError(f"{flag}={source}: it marks all of its images as test images")
    images, labels = data.images[rows], data.labels[rows]
    if not fits:
        images = resizing.resized(flag, images, wanted)
    return images.reshape(len(images), -1), labels, None if fits else shape


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _transitions(source: str) -> np.ndarray:
    wanted = (
        "a policy's support set is npz:FILE with an array transitions [m, O + A + O]: "
        "observation, action, next observation"
    )
    kind, _, file = source.partition(":")
    if kind != "npz" or not file:
        raise UserError(f"--support={source}: {wanted}")
    arrays = files.read_npz(user_path(file))
    if "transitions" not in arrays:
        raise UserError(f"--support={source}: it has {', '.join(arrays) or 'no array'}; {wanted}")
    return arrays["transitions"]


def read_start(path: Path, network: Network, n: int) -> dict[str, Any]:
    """Read the parameters that n networks are updated from: see `start` of `Model.predict`.

    Raises:
        UserError: for files that cannot be read, and for tensors that are not the network's.
    """
    from mole_jax.core.storage.tensors import read_tensors
    from mole_jax.sampling import starts

    if path.suffix not in (SAFETENSORS, NPZ):
        raise UserError(f"--start={path} must end in {SAFETENSORS} or {NPZ}")
    tensors = read_tensors(path)[0] if path.suffix == SAFETENSORS else files.read_npz(path)
    try:
        starts.of_caller(network, tensors, n)
    except UserError as problem:
        raise UserError(f"--start={path}: {problem}") from None
    return tensors

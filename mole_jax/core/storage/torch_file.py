"""PyTorch's checkpoint files, read and written without PyTorch.

A `.pt` file (PyTorch 1.6 and later) is a zip archive: `NAME/data.pkl`, a pickle in which every
tensor stands for a piece of a storage, and `NAME/data/KEY`, the raw numbers of each storage. A
pickle can call any function of any package. Here only the functions that build tensors are known,
all others are refused, and none of PyTorch's own code runs.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import math
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import ml_dtypes
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.core.storage import files

_DTYPES: dict[str, Any] = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": ml_dtypes.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
    # Never weights, but a file may hold them: its reader says so.
    "ComplexFloatStorage": np.complex64,
    "ComplexDoubleStorage": np.complex128,
}


@dataclasses.dataclass(frozen=True)
class _Storage:
    """Numbers of one type in the archive."""

    key: str
    dtype: Any
    size: int


@dataclasses.dataclass(frozen=True)
class Tensor:
    """A tensor that has not been read yet."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.storage.dtype)


class TorchFile:
    """An open checkpoint file; a context manager.

    `content` is what was saved, with a `Tensor` in place of each tensor; `read` gives its numbers.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            UserError: when it is no such file, is damaged, or holds more than tensors, numbers,
                strings and collections of them.
        """
        self._path = path
        files.check_file(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except OSError as problem:
            raise UserError(f"{path} cannot be read ({problem.strerror})") from None
        except zipfile.BadZipFile:
            raise UserError(
                f"{path} is no checkpoint of PyTorch 1.6 or later, which are zip archives, or its "
                "end is missing: fetch it again, or load it with PyTorch and save it again"
            ) from None
        try:
            self._root = self._find_root()
            self._check_byte_order()
            self.content: Any = _Unpickler(self._bytes("data.pkl"), path).load()
        except UserError:
            self._zip.close()
            raise
        except Exception as problem:  # a damaged pickle may raise anything
            self._zip.close()
            raise UserError(f"{path} is damaged: {problem}") from None

    def read(self, tensor: Tensor) -> np.ndarray:
        """Return the numbers of a tensor; raise UserError where the file lacks them."""
        kind, n = tensor.dtype, tensor.storage.size
        name = f"data/{tensor.storage.key}"
        if self._size(name) != n * kind.itemsize:
            raise UserError(f"{self._path} is damaged: {name} lacks the {n} numbers it should have")
        try:
            numbers = np.frombuffer(self._bytes(name), kind)
        except (zipfile.BadZipFile, EOFError, OSError) as problem:
            raise UserError(f"{self._path} is damaged: {problem}") from None
        count = math.prod(tensor.shape)
        if not count:
            return np.zeros(tensor.shape, kind)
        reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
        # Overlapping elements are refused, too: they could make a huge array of few numbers.
        if min((0, tensor.offset, *tensor.strides)) < 0 or not (
            tensor.offset + reach < n and count <= n
        ):
            raise UserError(f"{self._path} is damaged: a tensor reaches beyond {name}")
        strides = tuple(s * kind.itemsize for s in tensor.strides)
        return np.lib.stride_tricks.as_strided(
            numbers[tensor.offset :], tensor.shape, strides, writeable=False
        ).copy()

    def _find_root(self) -> str:
        roots = [n.removesuffix("data.pkl") for n in self._zip.namelist() if _is_pickle(n)]
        if len(roots) != 1:
            raise UserError(f"{self._path} is a zip archive, but no checkpoint of PyTorch")
        return roots[0]

    def _check_byte_order(self) -> None:
        if f"{self._root}byteorder" in self._zip.namelist():
            order = self._bytes("byteorder")
            if order != b"little":
                raise UserError(f"{self._path} has numbers in byte order {order!r}, not little")

    def _size(self, name: str) -> int:
        try:
            return self._zip.getinfo(self._root + name).file_size
        except KeyError:
            raise UserError(f"{self._path} is damaged: it has no {name}") from None

    def _bytes(self, name: str) -> bytes:
        return self._zip.read(self._root + name)

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()


def _is_pickle(name: str) -> bool:
    return name.count("/") == 1 and name.endswith("/data.pkl")


class _Unpickler(pickle.Unpickler):
    """Build tensors; refuse everything else that a pickle could call."""

    def __init__(self, pickled: bytes, path: Path) -> None:
        super().__init__(io.BytesIO(pickled))
        self._path = path

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _Kind(name)
        found = _CALLED.get((module, name))
        if found is None:
            raise UserError(
                f"{self._path} names {module}.{name}, which is no part of a tensor: only tensors, "
                "numbers, strings and collections of them are read"
            )
        # A new object each time, without attributes, so that the file can tamper with no other.
        return _Function(found)

    def persistent_load(self, pid: Any) -> _Storage:
        what, kind, key, _, size = pid
        if what != "storage" or not isinstance(kind, _Kind) or type(size) is not int or size < 0:
            raise ValueError("an invalid storage")
        return _Storage(str(key), _DTYPES[kind.name], size)


@dataclasses.dataclass(frozen=True, slots=True)
class _Kind:
    name: str


@dataclasses.dataclass(frozen=True, slots=True)
class _Function:
    function: Callable[..., Any]

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)


def _tensor(storage: _Storage, offset: int, shape: Any, strides: Any, *_: Any) -> Tensor:
    sizes, steps = tuple(map(int, shape)), tuple(map(int, strides))
    if not isinstance(storage, _Storage) or len(sizes) != len(steps) or min((0, *sizes)) < 0:
        raise ValueError("an invalid tensor")
    return Tensor(storage, int(offset), sizes, steps)


def _parameter(tensor: Tensor, *_: Any) -> Tensor:
    return tensor


class _NumpyKind:
    """A NumPy dtype, of which only the name counts."""

    def __init__(self, name: Any, *_: Any) -> None:
        if name not in _NUMBERS:
            raise ValueError(f"a number of type {name!r}")
        self.name = name

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or state[1:2] not in (("<",), ("|",), ("=",)):
            raise ValueError("a number that is not little-endian")


# NumPy scalars come as bytes, which pickles of protocol 2 write as text.
_NUMBERS = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


def _number(kind: _NumpyKind, raw: bytes) -> int | float | bool:
    if not isinstance(kind, _NumpyKind) or not isinstance(raw, bytes):
        raise ValueError("an invalid number")
    (value,) = np.frombuffer(raw, kind.name)
    return value.item()


def _encode(text: str, encoding: str) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("invalid bytes")
    return text.encode("latin1")


def _size(values: Any) -> tuple[int, ...]:
    return tuple(map(int, values))


# Optimizer states hold NumPy scalars: the reference code computes its learning rate with NumPy.
_CALLED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch", "Size"): _size,
    ("numpy", "dtype"): _NumpyKind,
    ("numpy.core.multiarray", "scalar"): _number,
    ("numpy._core.multiarray", "scalar"): _number,
    ("_codecs", "encode"): _encode,
}


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Save a nested dict of float32 arrays, whole numbers and strings as PyTorch does.

    `torch.load(path, weights_only=True)` gives it back with tensors.

    Raises:
        TypeError: for anything else in it.
    """
    storages: list[np.ndarray] = []
    pickled = b"\x80\x02" + _pickled(content, storages) + b"."
    with files.writing(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/byteorder", b"little")
        for key, storage in enumerate(storages):
            archive.writestr(f"archive/data/{key}", storage.astype("<f4").tobytes())
        archive.writestr("archive/version", b"3\n")


def _pickled(value: Any, storages: list[np.ndarray]) -> bytes:
    """Return the operations of pickle protocol 2 that put a value on the stack."""
    if isinstance(value, Mapping):
        items = b"".join(
            _pickled(key, storages) + _pickled(item, storages) for key, item in value.items()
        )
        return b"}(" + items + b"u"
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        number = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(number)]) + number
    if isinstance(value, tuple):
        return b"(" + b"".join(_pickled(item, storages) for item in value) + b"t"
    if isinstance(value, np.ndarray) and value.dtype == np.float32:
        key = str(len(storages))
        storages.append(value)
        strides = tuple(math.prod(value.shape[i + 1 :]) for i in range(value.ndim))
        names = (_pickled(x, storages) for x in ("storage", key, "cpu", value.size))
        what, key_, where, size = names
        storage = b"(" + what + b"ctorch\nFloatStorage\n" + key_ + where + size + b"tQ"
        hooks = b"ccollections\nOrderedDict\n)R"
        return (
            b"ctorch._utils\n_rebuild_tensor_v2\n("
            + storage
            + b"".join(_pickled(x, storages) for x in (0, value.shape, strides, False))
            + hooks
            + b"tR"
        )
    raise TypeError(f"{type(value).__name__} cannot be saved")

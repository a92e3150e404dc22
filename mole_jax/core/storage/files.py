"""Files that are either whole or absent: a killed process never leaves half of one."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import secrets
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mole_jax.core.errors import UserError


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` atomically, making the parent folder when it is missing."""
    with writing(path) as file:
        file.write(data)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file to write; it appears at `path` if the block ends without an error."""
    path = Path(path)
    make_folder(path.parent)
    # In the same folder, because os.replace is atomic only within one file system. Opened by hand
    # rather than through tempfile, which would leave the file readable by its owner alone.
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with _opened(temporary, path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def make_folder(path: str | Path) -> None:
    """Make a folder and its parents where they are missing; raise UserError if that fails."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        if is_disk_full(problem):
            raise
        raise UserError(
            f"the folder {path} cannot be made ({problem.strerror}): choose another path"
        ) from problem


def _opened(temporary: Path, path: Path) -> BinaryIO:
    try:
        return open(temporary, "xb")
    except OSError as problem:
        if is_disk_full(problem):
            raise
        raise UserError(
            f"{path} cannot be written ({problem.strerror}): choose another path"
        ) from problem


def refuse_overwriting(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Raise UserError if a file to be written is also read."""
    known = {path.resolve() for path in read}
    for path in written:
        if path.resolve() in known:
            raise UserError(f"{path} would be overwritten, but it is also read: name another --out")


def write_json(path: str | Path, obj: Any) -> None:
    """Write `obj` as indented JSON, atomically; see `to_json` for what it may hold."""
    write_bytes(path, (to_json(obj, indent=2) + "\n").encode())


def write_npz(path: str | Path, **arrays: Any) -> None:
    """Write named arrays as an uncompressed .npz, atomically."""
    buffer = io.BytesIO()
    # np.savez has parameters of its own whose names an array may not take: "file", "allow_pickle".
    np.savez(buffer, allow_pickle=False, **{name: np.asarray(a) for name, a in arrays.items()})
    write_bytes(path, buffer.getvalue())


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read the named arrays of an .npz; raise UserError if it is missing, damaged or no .npz."""
    path = Path(path)
    try:
        # Opened here, because NumPy leaves a file open if it cannot read its beginning.
        with path.open("rb") as opened:
            stored = np.load(opened, allow_pickle=False)
            if not isinstance(stored, np.ndarray):
                return {name: stored[name] for name in stored.files}
    except FileNotFoundError:
        raise UserError(f"there is no file {path}; check the path") from None
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as problem:
        raise UserError(
            f"{path} cannot be read as npz ({type(problem).__name__}); make it with numpy.savez"
        ) from problem
    raise UserError(f"{path} is one array (npy), not npz; make it with numpy.savez")


def read_json(path: str | Path) -> Any:
    """Read a JSON file; raise UserError naming the file if it is missing or not JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the stage that writes it") from None
    except (ValueError, OSError) as problem:
        raise UserError(
            f"{path} cannot be read as JSON ({problem}): restore it, or move it elsewhere and run "
            "again"
        ) from None


def check_file(path: str | Path) -> None:
    """Raise UserError if there is no file to read at `path`, or a folder."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; give a file")
    if not path.exists():
        raise UserError(f"there is no file {path}; check the path")


def is_disk_full(problem: BaseException) -> bool:
    """Return whether an exception, or one that it came from, says that there is no space left.

    C++ libraries say so only in their message.
    """
    seen: BaseException | None = problem
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if os.strerror(errno.ENOSPC) in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def to_json(obj: Any, indent: int | None = None) -> str:
    """Turn plain data into strict JSON text.

    NumPy and JAX scalars become numbers, arrays become lists, paths become strings. NaN and the
    infinities become null, because JSON has no word for them. Raises TypeError for anything else.
    """
    return json.dumps(_plain(obj), indent=indent, allow_nan=False, ensure_ascii=False)


def _plain(obj: Any) -> Any:
    if isinstance(obj, dict):
        return {str(key): _plain(value) for key, value in obj.items()}
    if isinstance(obj, (list, tuple)):
        return [_plain(value) for value in obj]
    if isinstance(obj, Path):
        return str(obj)
    if isinstance(obj, (np.ndarray, np.generic)) or hasattr(obj, "__array__"):
        return _plain(np.asarray(obj).tolist())
    if isinstance(obj, float) and not math.isfinite(obj):
        return None
    return obj


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; network file systems that cannot sync a folder sync renames anyway."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)

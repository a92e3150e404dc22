"""A cache of compiled programs on disk, so that the next run need not compile them again.

JAX has such a cache, too. In this one a file is whole or absent, however its writer ended, the
folder stays below a size limit, and programs from another machine are never used.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.core.storage.paths import cache_folder, user_path

OFF = ("off", "no", "none", "false", "0")
LIMIT = 2 * 2**30  # bytes for the programs of all machines that share a home
_KEPT = 0.8  # share of LIMIT that stays once it is reached
_BETWEEN = 0.02  # share of LIMIT that may be written between two looks at all files
_FAILURES = 3  # failed writes after which no more programs are kept
# Only files of these names in such folders are removed: a user's folder may hold other files.
_FOLDER, _FILE, _WRITING = "programs-", ".program", ".program.tmp"
_OLD = 24 * 3600  # seconds after which another process's unfinished file counts as abandoned


@contextlib.contextmanager
def kept(where: str = "") -> Iterator[str]:
    """Have JAX keep its compiled programs in this block; yield a line for people on what was done.

    JAX's own settings hold: JAX_ENABLE_COMPILATION_CACHE can switch the cache off, and the folder
    in JAX_COMPILATION_CACHE_DIR is used unless `where` names another.

    Args:
        where: a folder; "off" to use and keep none; empty for what MOLE_COMPILATION_CACHE says, or
            else for `compiled` in MOLE's cache folder.

    Raises:
        UserError: if `where` cannot be a folder.
    """
    import jax

    where = (where or os.environ.get("MOLE_COMPILATION_CACHE", "")).strip()
    if where.lower() in OFF or not jax.config.values["jax_enable_compilation_cache"]:
        with _settings(None, jax_enable_compilation_cache=False):
            yield "not kept"
        return
    of_jax = jax.config.values["jax_compilation_cache_dir"]
    if of_jax and not where:
        yield f"kept by JAX in {of_jax}"
        return
    above = _folder(where) if where else cache_folder() / "compiled"
    folder = above / f"{_FOLDER}{machine()}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # who can write programs can run them
    except OSError as problem:
        if where:
            raise UserError(
                f"--compilation_cache={where} cannot be a folder ({problem.strerror}): give "
                "another one, or off"
            ) from None
        yield f"not kept: {problem}"
        return
    settings = {
        "jax_compilation_cache_dir": str(folder),
        # Small ones, too: hundreds of them take as long as a large one.
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_enable_xla_caches": "",  # their files may be torn
    }
    with _settings(KeptPrograms(folder), **settings):
        yield f"kept in {above} (about {LIMIT / 2**30:.0f} GiB at most)"


def _folder(where: str) -> Path:
    if "://" in where:
        raise UserError(f"--compilation_cache={where} is not a folder: give one, or off")
    return user_path(where)


def machine() -> str:
    """Return a digest of the facts about this processor that programs need and JAX's key lacks.

    XLA compiles for the instructions that a processor has, and for the cores that it may use.
    """
    usable = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    said = [platform.machine(), platform.processor(), str(len(usable))]
    with contextlib.suppress(OSError):
        first = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        wanted = ("model name", "flags", "Features", "CPU part")
        said += [line for line in first.splitlines() if line.startswith(wanted)]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]


class KeptPrograms:
    """The cache that JAX asks for programs: files in a folder, each with a digest of its data."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        """Use the folder of a machine's programs; it and its siblings may take `limit` bytes."""
        self._path = folder  # JAX's name for it
        self._limit = limit
        self._room = 0  # bytes that may be written before files are looked at again
        self._failures = 0

    def get(self, key: str) -> bytes | None:
        """Return a program; None where there is none, or a damaged one."""
        path = self._path / (key + _FILE)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        with contextlib.suppress(OSError):  # it is another user's
            os.utime(path)  # the least recently used are removed first
        digest, value = data[: hashlib.sha256().digest_size], data[hashlib.sha256().digest_size :]
        return value if _digest(key, value) == digest else None

    def put(self, key: str, value: bytes) -> None:
        """Keep a program, replacing a damaged one; report the first failure."""
        data = _digest(key, value) + value
        if self._failures >= _FAILURES or len(data) > self._limit:
            return
        path = self._path / (key + _FILE)
        # Not synced to disk, which takes long for hundreds of files: the digest shows what is torn.
        temporary = path.with_name(f".{secrets.token_hex(8)}{_WRITING}")
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(data))
            try:
                temporary.write_bytes(data)
                os.replace(temporary, path)
            finally:
                temporary.unlink(missing_ok=True)
        except OSError as problem:
            self._failures += 1
            if self._failures == 1:
                print(f"a compiled program is not kept: {problem}", file=sys.stderr)

    def _make_room(self, size: int) -> None:
        """Remove the least recently used programs if new ones would not fit."""
        self._room -= size
        if self._room >= 0:
            return
        found, now = [], time.time()
        for path in self._path.parent.glob(f"{_FOLDER}*/*{_FILE}"):
            with contextlib.suppress(OSError):  # another process has removed it
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        for path in self._path.parent.glob(f"{_FOLDER}*/.*{_WRITING}"):
            with contextlib.suppress(OSError):
                if now - path.stat().st_mtime > _OLD:
                    path.unlink()
        total = size + sum(n for _, n, _ in found)
        if total > self._limit:
            for _, n, path in sorted(found):
                if total <= _KEPT * self._limit:
                    break
                with contextlib.suppress(OSError):  # it is another user's
                    path.unlink()
                    total -= n
        # Not all that is left: other processes write, too.
        self._room = int(min(_BETWEEN * self._limit, max(0, self._limit - total)))


def _digest(key: str, value: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + value).digest()


@contextlib.contextmanager
def _settings(programs: Any, **values: Any) -> Iterator[None]:
    """Apply settings of JAX in this block and install KeptPrograms, if given."""
    import jax
    from jax._src import compilation_cache as of_jax

    # JAX's cache, and whether it has been initialised, checked and used.
    state = ("_cache", "_cache_initialized", "_cache_checked", "_cache_used")
    settings = {name: jax.config.values[name] for name in values}
    before = {name: getattr(of_jax, name) for name in state}
    for name, value in values.items():
        jax.config.update(name, value)
    of_jax.reset_cache()
    if programs is not None:
        # JAX's own cache leaves torn files when a process is killed, and then complains whenever it
        # reads one.
        of_jax._cache = programs
        of_jax._cache_initialized = True
    try:
        yield
    finally:
        for name, value in settings.items():
            jax.config.update(name, value)
        for name, value in before.items():
            setattr(of_jax, name, value)

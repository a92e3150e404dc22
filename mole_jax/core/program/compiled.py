"""Compiled programs that are kept on disk, so that the next run need not compile them again.

JAX can keep them; here a file is found whole or not at all, however the process that wrote it
ended, and the folder stays below a size. What another machine compiled is never used.
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
LIMIT = 2 * 2**30  # bytes that programs may take, those of all machines that share a home
_KEPT = 0.8  # of it, once it is reached
_BETWEEN = 0.02  # of it may be written before all files are looked at again
_FAILURES = 3  # after which no more are kept
# What is removed has such a name in such a folder: users may give a folder with files of their own.
_FOLDER, _FILE, _WRITING = "programs-", ".program", ".program.tmp"
_OLD = 24 * 3600  # seconds after which what another process was writing is left over


@contextlib.contextmanager
def kept(where: str = "") -> Iterator[str]:
    """Have JAX keep its compiled programs in this block, and give what was done, for people.

    Where JAX is kept from using such a folder (JAX_ENABLE_COMPILATION_CACHE), that holds; where it
    has been given one (JAX_COMPILATION_CACHE_DIR), that holds unless `where` names another.

    Args:
        where: a folder; "off" to use and keep none; empty for what MOLE_COMPILATION_CACHE says, or
            else for `compiled` in MOLE's cache folder.

    Raises:
        UserError: for what is no folder.
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
    """Name what programs for this machine's processor depend on, beyond what JAX knows of it.

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
    """What JAX asks for programs: files in a folder, each with a digest of what it holds."""

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
            os.utime(path)  # those that were not used for long go first
        digest, value = data[: hashlib.sha256().digest_size], data[hashlib.sha256().digest_size :]
        return value if _digest(key, value) == digest else None

    def put(self, key: str, value: bytes) -> None:
        """Keep a program, in place of a damaged one if there is; say once where that fails."""
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
        """Remove the programs that were not used for longest, where others would not fit."""
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
    """Set JAX in this block, and give it KeptPrograms, if any."""
    import jax
    from jax._src import compilation_cache as of_jax

    # What JAX's cache is, and whether it has been made and looked at.
    state = ("_cache", "_cache_initialized", "_cache_checked", "_cache_used")
    settings = {name: jax.config.values[name] for name in values}
    before = {name: getattr(of_jax, name) for name in state}
    for name, value in values.items():
        jax.config.update(name, value)
    of_jax.reset_cache()
    if programs is not None:
        # JAX would make one of its own, whose files are torn where a process is killed, and which
        # then complains whenever it reads one.
        of_jax._cache = programs
        of_jax._cache_initialized = True
    try:
        yield
    finally:
        for name, value in settings.items():
            jax.config.update(name, value)
        for name, value in before.items():
            setattr(of_jax, name, value)

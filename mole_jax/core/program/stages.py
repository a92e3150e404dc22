"""Stages of an experiment in a workdir: skipped when done, resumed when not, never mixed up.

A workdir is named by the user and never time-stamped, so that the same command resumes:

    WORKDIR/workdir.json        {"format": "mole-workdir", "version": 6}
    WORKDIR/STAGE/stage.json    the config the stage ran with, its status, its seconds, where it ran
    WORKDIR/.lock               held by the process at work here; by the first of several

Of several processes only the first reads and writes these files: all act on what it finds.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from mole_jax.core import compat
from mole_jax.core.console import interrupts
from mole_jax.core.devices import distributed
from mole_jax.core.errors import RefusedError, UserError
from mole_jax.core.program.config import differing_keys, nearest, sections
from mole_jax.core.program.sections import Schema, relevant
from mole_jax.core.storage import files

FORMAT = "mole-workdir"
VERSION = 6
MARK = "workdir.json"
LOCK = ".lock"
HEARTBEAT_SECONDS = 10.0


@dataclass(frozen=True)
class Stage:
    """One stage: its name, what it does, and which sections of the config it depends on.

    `sections` are the top-level config keys that affect it, those of earlier stages included.
    `run(config, workdir)` does the work, or what is left of it after an interruption. All processes
    call it together, unless it runs `alone`: then only the first does.

    `parts` names a section whose subsections are parts of the stage, each with its `steps` and a
    folder WORKDIR/STAGE/PART. Parts can be added and left out: what is on record of a part matters
    only while its folder exists and the config asks for it. Keys of parts that begin with "try_"
    belong to later stages.
    """

    name: str
    sections: tuple[str, ...]
    run: Callable[[ConfigDict, Path], None]
    alone: bool = False
    parts: str = ""


def select(stages: Sequence[Stage], names: Sequence[str]) -> list[str]:
    """Return `names` in the order of `stages`; raise UserError for one that is not a stage."""
    known = [stage.name for stage in stages]
    for name in names:
        if name not in known:
            close = nearest(name, known)
            remedy = f"did you mean {close}?" if close else "choose among them"
            raise UserError(f"stage {name!r} is unknown, there are {', '.join(known)}: {remedy}")
    if not names:
        raise UserError(f"no stage is selected: choose among {', '.join(known)}")
    return [name for name in known if name in names]


@contextlib.contextmanager
def open_workdir(workdir: str | Path) -> Iterator[Path]:
    """Make or reopen a workdir and hold its lock.

    Raises UserError when another process holds it, it is no folder, has another version, or is not
    the same folder for all processes.
    """
    workdir = Path(workdir)
    with contextlib.ExitStack() as lock:
        token = distributed.from_first(lambda: lock.enter_context(_locked(workdir)))
        distributed.agree(_check_token, workdir, token)
        yield workdir


@contextlib.contextmanager
def _locked(workdir: Path) -> Iterator[str]:
    """Hold the lock file, and yield what was written to it: a new random token."""
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = (workdir / LOCK).open("a+")
    except OSError as problem:
        raise UserError(
            f"workdir {workdir} cannot be written ({problem.strerror}): use another --workdir"
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"another process is at work in {workdir}: wait for it, end it, "
                "or use another --workdir"
            ) from None
        # The kernel frees the lock when this process ends, however it ends.
        path = workdir / MARK
        if not path.exists():
            files.write_json(path, {"format": FORMAT, "version": VERSION})
        _check_version(workdir)
        token = secrets.token_hex(8)
        lock.truncate(0)
        lock.write(token)
        lock.flush()
        yield token


def _check_token(workdir: Path, token: str) -> None:
    path = workdir / LOCK
    if not path.exists() or path.read_text() != token:
        raise UserError(
            f"{workdir} is not the folder that process 0 sees there: --workdir has to lie on a "
            "file system that all processes mount"
        )


def check(
    workdir: str | Path,
    stages: Sequence[Stage],
    config: ConfigDict,
    ignored: Sequence[str] = (),
    before: Mapping[str, Any] | None = None,
    schema: Schema | None = None,
) -> None:
    """Raise UserError unless every stage begun in `workdir` ran with the values `config` has now.

    The keys `ignored`, such as "zoo.placement", may change: no result depends on them. `before`
    maps keys that configs have gained to the values that held before: a record without such a key
    ran with that value. The value {} agrees with any current value. `schema` shows which recorded
    keys belong to choices that were not made: nothing has read them. A stage compares only its own
    sections, so those of later stages that have not begun may change. To be called before anything
    runs.
    """
    distributed.from_first(
        _check, Path(workdir), stages, config, ignored, before or {}, schema or {}
    )


def _check(
    workdir: Path,
    stages: Sequence[Stage],
    config: ConfigDict,
    ignored: Sequence[str],
    before: Mapping[str, Any],
    schema: Schema,
) -> None:
    known = {name for stage in stages for name in stage.sections}
    if strangers := [name for name in config if name not in known]:
        raise UserError(
            f"the config has a section {strangers[0]!r} that no stage reads: rename or remove it"
        )
    begun = [stage for stage in stages if _record(workdir, stage.name)]
    for earlier, later in _gaps(workdir, stages):
        raise UserError(
            f"{workdir / later} was made from a {earlier} stage that is gone: "
            f"move {_and_what_follows(workdir, stages, later)} elsewhere"
        )
    lines: list[str] = []
    first: str | None = None
    for stage in begun:
        now = sections(config, stage.sections)
        was = relevant(_record(workdir, stage.name)["config"], schema)
        was = _completed(was, now, before)
        found = differing_keys(was, _completed(now, was, before))
        keys = [line.partition(":")[0] for line in found]
        found = [
            line
            for line, key in zip(found, keys, strict=True)
            if key not in ignored and _matters(workdir, stage, key, was, now)
        ]
        first = first or (stage.name if found else None)
        lines += [line for line in found if line not in lines]
    if first:
        raise UserError(
            f"{workdir} was made with another config ({'; '.join(lines)}): use another --workdir, "
            f"put the values back, or move {_and_what_follows(workdir, stages, first)} elsewhere"
        )


def _matters(
    workdir: Path, stage: Stage, key: str, was: Mapping[str, Any], now: Mapping[str, Any]
) -> bool:
    """Return whether a differing key means that the stage would act differently now."""
    section, _, rest = key.partition(".")
    name, _, own = rest.partition(".")
    if not stage.parts or section != stage.parts:
        return True
    asked = all(x.get(section, {}).get(name, {}).get("steps") for x in (was, now))
    return asked and not own.startswith("try_") and (workdir / stage.name / name).exists()


def _lacks_parts(workdir: Path, stage: Stage, config: Mapping[str, Any] | ConfigDict) -> bool:
    """Return whether a part that the config asks for is missing."""
    parts = config.get(stage.parts, {}) if stage.parts else {}
    return any(
        own.get("steps") and not (workdir / stage.name / name).exists()
        for name, own in parts.items()
    )


def _completed(
    config: Mapping[str, Any], other: Mapping[str, Any], before: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the config with those keys of `before` that it lacks and another config has."""
    whole = copy.deepcopy(dict(config))
    for key, value in before.items():
        *path, name = key.split(".")
        there: Any = other
        for part in path:
            there = there.get(part, {})
        if name not in there:
            continue
        section = whole
        for part in path:
            section = section.setdefault(part, {})
        section.setdefault(name, there[name] if value == {} else value)
    return whole


def run(
    workdir: str | Path, stages: Sequence[Stage], selected: Sequence[str], config: ConfigDict
) -> None:
    """Run the selected stages that are not done yet, in order, keeping a record of each.

    Raises UserError, before anything runs, when a stage needs an earlier one that is neither
    done nor selected.
    """
    workdir = Path(workdir)
    selected = select(stages, selected)
    distributed.from_first(_check_order, workdir, stages, selected)
    for stage in stages:
        if stage.name not in selected:
            continue
        interrupts.check()
        found = distributed.from_first(_record, workdir, stage.name)
        lacks = distributed.from_first(_lacks_parts, workdir, stage, config)
        if found.get("status") == "done" and not lacks:
            _say(f"{stage.name}: done before, in {found['seconds']:.0f} s")
            continue
        with _recorded(workdir, stage, config):
            _say(f"{stage.name}: {'resumes' if found else 'begins'}")
            if stage.alone:
                distributed.from_first(stage.run, config, workdir)
            else:
                stage.run(config, workdir)
            distributed.barrier()
        if distributed.is_first():
            _say(f"{stage.name}: done, in {_record(workdir, stage.name)['seconds']:.0f} s")


def _check_order(workdir: Path, stages: Sequence[Stage], selected: Sequence[str]) -> None:
    for i, stage in enumerate(stages):
        for earlier in stages[:i] if stage.name in selected else ():
            if earlier.name not in selected and not is_done(workdir, earlier.name):
                raise UserError(
                    f"stage {stage.name} needs stage {earlier.name}, which is not done in "
                    f"{workdir}: run --stages={earlier.name},{stage.name}"
                )


def is_done(workdir: str | Path, name: str) -> bool:
    """Return whether the stage has finished in `workdir`."""
    return _record(Path(workdir), name).get("status") == "done"


def is_begun(workdir: str | Path, name: str) -> bool:
    """Return whether the stage has a record in `workdir`."""
    return bool(_record(Path(workdir), name))


def record(workdir: str | Path, name: str) -> dict[str, Any]:
    """Return the record of a stage: stage, config, status, seconds (over resumes), environment.

    Raises UserError when the stage has not begun in `workdir`, or `workdir` has another version.
    """
    _check_version(Path(workdir))
    found = _record(Path(workdir), name)
    if not found:
        raise UserError(f"stage {name} has not run in {workdir}: run it with --stages={name}")
    return found


def write_done(workdir: str | Path, name: str, config: Mapping[str, Any]) -> None:
    """Record a stage as done in a new workdir, with results that came from elsewhere.

    To be called last, when all that the stage leaves is there.
    """
    from mole_jax.core.storage.provenance import environment

    workdir = Path(workdir)
    files.write_json(workdir / MARK, {"format": FORMAT, "version": VERSION})
    facts = {"config": dict(config), "environment": environment()}
    head = {"stage": name, "status": "done", "seconds": 0.0}
    files.write_json(_path(workdir, name), {**head, **facts})


@contextlib.contextmanager
def _recorded(workdir: Path, stage: Stage, config: ConfigDict) -> Iterator[None]:
    """Record a stage as running, its seconds as they pass, and as done when the block succeeds."""
    if not distributed.is_first():
        yield
        return
    # Imported here because it starts JAX, for which a refused command need not wait.
    from mole_jax.core.storage.provenance import environment

    found = _record(workdir, stage.name)
    fresh, before = not found, float(found.get("seconds", 0.0))
    start = time.monotonic()
    facts = {"config": sections(config, stage.sections), "environment": environment()}

    def write(status: str) -> None:
        seconds = round(before + time.monotonic() - start, 1)
        head = {"stage": stage.name, "status": status, "seconds": seconds}
        files.write_json(_path(workdir, stage.name), {**head, **facts})

    # A thread, so that even a killed stage has its time on record, to within a heartbeat.
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(HEARTBEAT_SECONDS):
            write("running")

    write("running")
    thread = threading.Thread(target=beat, name=f"{stage.name}-clock", daemon=True)
    thread.start()
    status = "running"
    try:
        yield
        status = "done"
    except RefusedError:
        status = "" if fresh else status
        raise
    finally:
        stop.set()
        thread.join()
        if status:
            write(status)
        else:
            _path(workdir, stage.name).unlink(missing_ok=True)


def _check_version(workdir: Path) -> None:
    if not (workdir / MARK).exists():
        return
    found = files.read_json(workdir / MARK)
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise UserError(f"{workdir} is not a workdir of this program: use another --workdir")
    if found.get("version") != VERSION:
        raise UserError(
            f"{workdir} is a workdir of version {found.get('version')}, this program writes "
            f"version {VERSION}: use another --workdir, or the MOLE that made this one (the "
            "stage.json of its stages names the commit)"
        )


def _path(workdir: Path, name: str) -> Path:
    return workdir / name / "stage.json"


def _record(workdir: Path, name: str) -> dict[str, Any]:
    path = _path(workdir, name)
    if not path.exists():
        return {}
    found = files.read_json(path)
    kinds: dict[str, Any] = {"status": str, "seconds": (int, float), "config": dict}
    if not isinstance(found, dict) or not all(
        isinstance(found.get(key), kind) for key, kind in kinds.items()
    ):
        raise UserError(
            f"{path} is damaged: it has no {', '.join(kinds)} of a stage: restore it from a copy, "
            "or use another workdir"
        )
    return {**found, "config": compat.renamed(found["config"])}


def _gaps(workdir: Path, stages: Sequence[Stage]) -> Iterator[tuple[str, str]]:
    """Yield (earlier, later) where the later stage is on record and the earlier is not done."""
    for i, later in enumerate(stages):
        for earlier in stages[:i]:
            if _record(workdir, later.name) and not is_done(workdir, earlier.name):
                yield earlier.name, later.name


def _and_what_follows(workdir: Path, stages: Sequence[Stage], first: str) -> str:
    names = [stage.name for stage in stages]
    later = names[names.index(first) :]
    return " and ".join(str(workdir / name) for name in later if _record(workdir, name))


def _say(line: str) -> None:
    if distributed.is_first():
        print(line, file=sys.stderr, flush=True)

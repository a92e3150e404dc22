"""Compiled programs: kept, found again, never torn, never those of another machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jax._src import compilation_cache

from mole_jax.core.errors import UserError
from mole_jax.core.program import compiled
from mole_jax.core.program.compiled import KeptPrograms
from tests import tiny

FOLDER = f"programs-{compiled.machine()}"
# Compiles a program, and says whether it was found.
PROGRAM = """
import sys
from mole_jax.core.program import compiled
with compiled.kept(sys.argv[1]) as said:
    import jax, jax.numpy as jnp
    found = []
    jax.monitoring.register_event_listener(
        lambda name, **_: found.append(name.endswith("cache_hits")))
    x = jax.jit(lambda x: jnp.sin(x) @ x.T + 1)(jnp.arange(6.0).reshape(2, 3))
    print(said, sum(found), float(x.sum()))
"""


@pytest.fixture
def own() -> Iterator[None]:
    """JAX as users have it: without a folder of its own, which tests have given it."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tiny.settings_of_jax(jax_compilation_cache_dir=None),
    ):
        patch.delenv("MOLE_COMPILATION_CACHE")
        yield


def ran(where: Path | str, **environment: str) -> list[str]:
    known = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(where)],
        env={**known, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    return result.stdout.rsplit(maxsplit=2)


def test_the_next_process_finds_what_one_has_compiled(tmp_path: Path) -> None:
    said, none, first = ran(tmp_path / "c")
    assert said == f"kept in {tmp_path / 'c'} (about 2 GiB at most)"
    _, found, second = ran(tmp_path / "c")
    assert int(none) == 0 < int(found) and first == second
    assert [p.name for p in (tmp_path / "c").iterdir()] == [FOLDER]
    # It finds none of another machine's.
    (tmp_path / "c" / FOLDER).rename(tmp_path / "c" / "programs-other")
    assert int(ran(tmp_path / "c")[1]) == 0


def test_off_and_what_jax_has_been_set_to_hold(tmp_path: Path) -> None:
    mine = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "j"), "MOLE_COMPILATION_CACHE": ""}
    assert ran("off", **mine)[0] == "not kept"
    assert ran(tmp_path / "c", JAX_ENABLE_COMPILATION_CACHE="false")[0] == "not kept"
    assert not (tmp_path / "c").exists() and not (tmp_path / "j").exists()
    assert ran("", **mine)[0] == f"kept by JAX in {tmp_path / 'j'}"
    assert ran(tmp_path / "c", **mine)[0].startswith(f"kept in {tmp_path / 'c'} ")


@pytest.mark.parametrize("where", ["off", "OFF", " Off", "none", "0"])
def test_words_for_off(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with compiled.kept(where) as said:
        assert not jax.config.values["jax_enable_compilation_cache"]
    assert said == "not kept" and list(tmp_path.iterdir()) == []
    assert jax.config.values["jax_enable_compilation_cache"]


def test_what_is_no_folder_is_refused_where_it_was_asked_for(
    tmp_path: Path, own: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    file = str(tmp_path / "file")
    for where, reason in ((file, "Not a directory"), ("gs://b/x", "not a folder")):
        refused = pytest.raises(UserError, match=f"--compilation_cache=.*{reason}.*or off")
        with refused, compiled.kept(where):
            pass
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with compiled.kept() as said:
        assert said.startswith("not kept: ")


def test_the_default_is_in_the_cache_folder(
    tmp_path: Path, own: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    before = compilation_cache._cache
    with compiled.kept() as said:
        assert str(tmp_path / "mole" / "compiled") in said
        inside = jax.config.values["jax_compilation_cache_dir"]
        assert isinstance(compilation_cache._cache, KeptPrograms)
        assert compilation_cache._cache is not before
    assert inside == str(tmp_path / "mole" / "compiled" / FOLDER)
    assert jax.config.values["jax_compilation_cache_dir"] != inside
    assert compilation_cache._cache is before


def test_what_is_put_is_found(tmp_path: Path) -> None:
    programs = KeptPrograms(tmp_path / "programs-m")
    assert programs.get("a") is None
    programs.put("a", b"one")
    programs.put("b", b"")
    assert (programs.get("a"), programs.get("b")) == (b"one", b"")


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_torn_program_is_compiled_again_and_replaced(tmp_path: Path, damage: str) -> None:
    programs = KeptPrograms(tmp_path / "programs-m")
    programs.put("a", b"of many bytes")
    (file,) = (tmp_path / "programs-m").iterdir()
    data = file.read_bytes()
    file.write_bytes({"cut": data[:-3], "changed": data[:-1] + b"?", "empty": b""}[damage])
    assert programs.get("a") is None
    programs.put("a", b"of many bytes")
    assert programs.get("a") == b"of many bytes"


def test_a_killed_writer_leaves_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = KeptPrograms(tmp_path / "programs-m")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", killed)
        programs.put("a", b"one")
    assert list((tmp_path / "programs-m").iterdir()) == []
    # After kill -9 the file is left; it is no program, and goes when it is a day old.
    left = tmp_path / "programs-m" / ".0123.program.tmp"
    left.write_bytes(b"half")
    KeptPrograms(tmp_path / "programs-m").put("b", b"two")
    assert left.exists()
    os.utime(left, (0, time.time() - 2 * 24 * 3600))
    KeptPrograms(tmp_path / "programs-m").put("c", b"three")
    assert not left.exists()


def test_programs_stay_below_the_limit_and_the_oldest_go(tmp_path: Path) -> None:
    other = KeptPrograms(tmp_path / "programs-other")
    other.put("old", bytes(300))
    programs = KeptPrograms(tmp_path / "programs-m", limit=2000)
    now = time.time()
    for k in range(12):
        programs.put(f"p{k}", bytes(200))
        for n in range(k + 1):  # written one second after another; p0 is used all the time
            path = tmp_path / "programs-m" / f"p{n}.program"
            if path.exists():
                os.utime(path, (now + n, now + (100 if n == 0 else n)))
    sizes = [p.stat().st_size for p in tmp_path.glob("*/*.program")]
    assert 1000 < sum(sizes) <= 2000
    left = {p.stem for p in tmp_path.glob("*/*.program")}
    assert {"p0", "p11", "p10"} <= left and not {"p1", "p2", "old"} & left
    programs.put("huge", bytes(3000))
    assert programs.get("huge") is None and programs.get("p11") is not None


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    programs = KeptPrograms(tmp_path / "file" / "programs-m")
    programs.put("a", b"one")
    programs.put("b", b"two")
    assert programs.get("a") is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("a compiled program is not kept: ")


def test_one_program_that_cannot_be_written_keeps_no_other_from_it(tmp_path: Path) -> None:
    programs = KeptPrograms(tmp_path / "programs-m")
    (tmp_path / "programs-m" / "a.program").mkdir(parents=True)
    programs.put("a", b"one")
    programs.put("b", b"two")
    assert (programs.get("a"), programs.get("b")) == (None, b"two")


def test_files_of_others_stay(tmp_path: Path) -> None:
    """The folder may be one that a user has things in."""
    others = [
        tmp_path / "thesis.tmp",
        tmp_path / "project" / "old.program",
        tmp_path / "project" / ".old.program.tmp",
        tmp_path / "programs-m" / "notes.txt",
        tmp_path / "programs-m" / "old.tmp",
    ]
    for path in others:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(500))
        os.utime(path, (0, 0))
    programs = KeptPrograms(tmp_path / "programs-m", limit=600)
    for key in "abc":
        programs.put(key, bytes(400))
    assert all(path.exists() for path in others)
    assert programs.get("a") is None and programs.get("c") == bytes(400)


def test_a_program_under_the_name_of_another_is_not_used(tmp_path: Path) -> None:
    programs = KeptPrograms(tmp_path / "programs-m")
    programs.put("a", b"one")
    (tmp_path / "programs-m" / "a.program").rename(tmp_path / "programs-m" / "b.program")
    assert programs.get("b") is None


def test_threads_and_processes_may_share_a_folder(tmp_path: Path) -> None:
    """Readers find whole programs or none while others write and make room."""
    values = {f"k{i}": bytes([i]) * (100 + i) for i in range(20)}
    wrong: list[str] = []

    def work() -> None:
        programs = KeptPrograms(tmp_path / "programs-m", limit=1500)
        for _ in range(10):
            for key, value in values.items():
                programs.put(key, value)
                if programs.get(key) not in (None, value):
                    wrong.append(key)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not list(tmp_path.glob("programs-m/*.tmp"))

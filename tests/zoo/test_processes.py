"""Two processes on a shared file system write the zoo that one process writes, byte for byte."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from mole_jax.zoo.making import generation
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.store import ZooWriter
from mole_jax.zoo.storage.verify import verify
from tests import tiny

# Groups of two data subsets with four members each are one shard.
CHANGES = {
    "population__members": 4,
    "zoo__subsets_per_group": 2,
    "zoo__runs_per_shard": 8,
    "zoo__runs_per_chunk": 4,
}
WORKER = """
import sys
from mole_jax.core.devices import distributed
address, process, *workdirs = sys.argv[1:]
distributed.start(distributed.Cluster(address, 2, int(process)))
from mole_jax.zoo.making import generation
from tests import tiny
from tests.zoo.test_processes import CHANGES
with tiny.quick_compilation():
    for workdir in workdirs:
        generation.generate(tiny.tiny_config(**CHANGES), workdir)
distributed.end(0)
"""


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


@pytest.fixture(scope="module")
def config() -> ConfigDict:
    return tiny.tiny_config(**CHANGES)


def together(*workdirs: Path) -> None:
    """Make or finish zoos with two processes; raises AssertionError with what they said."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, address, str(process), *map(str, workdirs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        for process in range(2)
    ]
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)


def stored(path: Path) -> dict[str, bytes]:
    """All files of a zoo but the one with dates and hardware."""
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file() and file.name != "zoo.json"
    }


def test_two_processes_make_the_zoo_of_one_and_finish_one_that_was_begun(
    config: ConfigDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, begun, fresh = (tmp_path / name for name in ("alone", "begun", "fresh"))
    commit = ZooWriter.commit

    def commit_and_copy(writer: ZooWriter, n_runs: int) -> None:
        commit(writer, n_runs)
        if n_runs == 8:  # one group of five
            shutil.copytree(writer.path, begun / "zoo")

    with monkeypatch.context() as patch:
        patch.setattr(ZooWriter, "commit", commit_and_copy)
        generation.generate(config, alone)
    assert open_zoo(begun / "zoo").n_runs == 8

    together(fresh, begun)
    for workdir in (fresh, begun):
        assert verify(workdir / "zoo") == []
        assert open_zoo(workdir / "zoo").n_runs == 40
        assert stored(workdir / "zoo") == stored(alone / "zoo")

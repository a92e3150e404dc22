"""Every test runs on eight virtual CPU devices, and silent broadcasting is an error."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compiling import EIGHT_DEVICES, QUICK

# Read when JAX starts, hence before anything imports it; subprocesses of tests inherit them.
assert "jax" not in sys.modules, "JAX was imported before tests/conftest.py could configure it"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["XLA_FLAGS"] = " ".join([os.environ.get("XLA_FLAGS", ""), QUICK, *EIGHT_DEVICES]).strip()
os.environ["MPLBACKEND"] = "agg"  # figures are drawn to files, on machines without a screen

# Shells start what they put into the background with Ctrl-C ignored; tests of it want it heard.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # as nohup ignores it

# A process may map so many pieces of memory (vm.max_map_count, 65,530 by default), and every
# compiled program takes a few. All tests together need more, and then compiling ends in a crash.
MAPPINGS = Path("/proc/self/maps")
MANY = 20_000

# Files of a minute and more, longest first. Workers take one file after another in this order: was
# one of these left for last, the other workers would stand idle.
LONG = (
    "test_networks.py",
    "launch/test_processes.py",
    "metamodel/networks/test_sharding.py",
    "test_kills.py",
    "test_learning.py",
    "evaluation/test_evaluate.py",
    "test_pipeline.py",
    "training/test_train.py",
    "training/test_live.py",
    "training/test_feeding.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first; within a file, and of the others, the order stays."""
    rank = {Path(__file__).parent / name: i for i, name in enumerate(LONG)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_configure() -> None:
    missing = [name for name in LONG if not (Path(__file__).parent / name).exists()]
    assert not missing, f"tests/conftest.py orders files that are gone: {missing}"


@pytest.fixture(scope="session", autouse=True)
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A program is compiled for the first test that runs it, in whichever process, and kept.

    So are those of one run for the next: most of a run's time is compiling.
    """
    from mole_jax.core.program import compiled
    from mole_jax.core.storage.paths import cache_folder

    folder = cache_folder() / "tests"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # a home that cannot be written to
        folder = tmp_path_factory.getbasetemp()
    # Also for processes that tests start, some of which have another home.
    os.environ["MOLE_COMPILATION_CACHE"] = str(folder)
    with compiled.kept():
        yield


@pytest.fixture
def collected() -> Iterator[None]:
    """Collect what a test leaves, so that what it complains of is not laid at another one's door.

    A restore that Orbax refuses leaves coroutines behind.
    """
    yield
    gc.collect()


@pytest.fixture(scope="module", autouse=True)
def few_mappings() -> Iterator[None]:
    """Forget compiled programs, between modules, where there are many."""
    yield
    if MAPPINGS.exists() and MAPPINGS.read_bytes().count(b"\n") > MANY:
        import jax

        jax.clear_caches()
        gc.collect()

"""These tests ask what the functions compute; compiling them well would take most of the time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import tiny


@pytest.fixture(scope="package", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield


@pytest.fixture(scope="module")
def compile_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """For modules that begin the same program several times: `usefixtures("compile_once")`."""
    with tiny.compilation_cache(tmp_path_factory.mktemp("compiled")):
        yield

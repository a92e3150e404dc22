"""These tests ask what the functions compute; compiling them well would take most of the time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import tiny


@pytest.fixture(scope="package", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield

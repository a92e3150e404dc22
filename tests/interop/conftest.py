"""Cases of the G.pt reference, and a quick compiler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny

CASES = Path(__file__).parents[1] / "data" / "gpt_parity"


@pytest.fixture(scope="package", autouse=True)
def quick_compilation() -> Iterator[None]:
    with tiny.quick_compilation():
        yield

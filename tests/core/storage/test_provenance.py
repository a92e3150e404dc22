"""Provenance names code, versions and hardware, without paths of this machine."""

from __future__ import annotations

import json
from pathlib import Path

import jax
import pytest

import mole_jax
from mole_jax.core.storage import files, provenance


def test_the_environment_is_plain_and_complete() -> None:
    facts = provenance.environment()
    assert json.loads(files.to_json(facts)) == facts
    assert facts["mole"] == mole_jax.__version__
    assert facts["packages"]["jax"] == jax.__version__
    assert facts["hardware"]["devices"] == {"cpu": 8}
    assert facts["hardware"]["cores"] >= 1
    assert facts["date"].endswith("+00:00")
    assert str(Path.home()) not in files.to_json(facts)


def test_outside_a_checkout_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mole_jax, "__file__", str(tmp_path / "mole_jax" / "__init__.py"))
    facts = provenance.environment()
    assert facts["commit"] is None
    assert facts["dirty"] is None


def test_the_devices_fit_on_a_line() -> None:
    line = provenance.devices_line()
    assert line.startswith("8 x cpu (")
    assert "\n" not in line

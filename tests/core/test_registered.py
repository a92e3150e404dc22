"""Names that are added to those that a config can choose from."""

from __future__ import annotations

import sys
import types

import pytest

from mole_jax.core.errors import UserError
from mole_jax.core.registered import Names


def test_the_same_module_may_take_a_name_again_and_another_may_not() -> None:
    names, known = Names("network.name"), {"mlp"}
    for _ in range(2):
        names.take("gated", "mine", known)
        known.add("gated")
    with pytest.raises(UserError, match=r"network\.name='gated' is taken, by mine: choose another"):
        names.take("gated", "others", known)


def test_a_file_may_take_a_name_as_two_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a config file that is also imported."""
    names = Names("network.name")
    for module in ("mine", "config_mine"):
        found = types.ModuleType(module)
        found.__file__ = "/somewhere/mine.py"
        monkeypatch.setitem(sys.modules, module, found)
        names.take("gated", module, {"gated"} if module != "mine" else ())
    with pytest.raises(UserError, match=r"taken, by /somewhere/mine\.py"):
        names.take("gated", "others", {"gated"})


def test_a_name_of_moles_own_is_refused() -> None:
    with pytest.raises(UserError, match=r"network\.name='mlp' is taken, by MOLE"):
        Names("network.name").take("mlp", "mine", {"mlp"})


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a+b", "a-b", "8x8", "große"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="take letters, digits and underscores"):
        Names("data.source").take(name, "mine", ())

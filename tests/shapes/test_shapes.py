"""Wrong shapes are refused where a function begins, while it is traced, by the letters' names.

Each of them would else broadcast in silence, read past the end of an array, or fail far away.
"""

from __future__ import annotations

from typing import Any

import chex
import jax
import pytest

from tests.shapes import evaluation, metamodel, population, representation, tasks

ABOUT = (tasks, population, representation, metamodel, evaluation)
CASES = {
    name[3:]: make
    for module in ABOUT
    for name, make in vars(module).items()
    if name.startswith("of_")
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_shapes_are_refused_by_name_and_right_ones_are_not(name: str) -> None:
    case = CASES[name]()
    if case.traced:
        jax.eval_shape(lambda arguments: case.function(**arguments), case.good)
    for argument, wrong, message in case.bad:
        arguments = {**case.good, argument: wrong}
        with pytest.raises(AssertionError) as caught:
            if case.traced:
                jax.eval_shape(lambda arguments: case.function(**arguments), arguments)
            else:
                case.function(**arguments)
        assert str(caught.value).startswith("[Chex]"), (argument, caught.value)
        assert message in str(caught.value), (argument, wrong)


def test_nothing_is_left_of_a_check_when_a_function_runs() -> None:
    """The same program comes out with and without the checks: none of them is of a value."""
    case = metamodel.of_clean_estimate()

    def program() -> str:
        def fresh(arguments: dict[str, Any]) -> Any:  # a function that JAX has not traced yet
            return case.function(**arguments)

        return str(jax.make_jaxpr(fresh)(case.good))

    checked = program()
    chex.disable_asserts()
    try:
        assert program() == checked
    finally:
        chex.enable_asserts()

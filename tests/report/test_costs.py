"""What a prediction costs, as a table."""

import copy

from mole_jax.report import costs
from tests.report import synthetic


def test_a_prediction_stands_beside_adam() -> None:
    text = costs.section(synthetic.measured())
    for cell in ("batch of 64", "2.1 ms", "4.2 ms", "59 MFLOP", "13 ms", "120 MFLOP"):
        assert cell in text
    assert "after 23,457 tasks" in text and "never as good" in text


def test_what_never_pays_is_said() -> None:
    result = copy.deepcopy(dict(synthetic.measured()))
    result["cost"]["adam"]["seconds_per_network"] = 0.002
    result["cost"]["tasks_until_paid_back"]["adam"] = None
    assert ">never</td>" in costs.section(result)


def test_without_costs_there_is_no_section() -> None:
    assert costs.section({}) == costs.section({"cost": {"seconds_per_network": 1.0}}) == ""


def test_numbers_read_at_once() -> None:
    assert costs.milliseconds(0.00062) == "0.62 ms"
    assert costs.milliseconds(1.24) == "1,240 ms"
    assert costs.operations(5.9e9) == "5.9 GFLOP"
    assert costs.operations(900.0) == "0.9 kFLOP"
    assert costs.milliseconds(None) == costs.operations(float("nan"))


def test_learners_are_shown_next_to_one_another() -> None:
    one = {
        "label": "MAML",
        "meta_training_steps": 1400,
        "meta_training_seconds": 57.2,
        "seconds_per_task": 0.0011,
        "seconds_alone": None,
        "flops_per_task": 46e6,
    }
    page = costs.of_learners({"learner_costs": {"a": one, "b": {**one, "label": "L2L"}}})
    for text in ("MAML", "L2L", "1,400", "57 s", "1.1 ms", "46 MFLOP"):
        assert text in page
    assert costs.of_learners({"learner_costs": {"a": one}}) == costs.of_learners({}) == ""

"""The verdicts: the best baseline is the best rival, and losing is said out loud."""

from mole_jax.report import findings, questions
from tests.report import synthetic


def sentences(result):
    return " ".join(findings.headline(result, "S1")).replace("\N{NO-BREAK SPACE}", " ")


def test_the_best_baseline_is_never_an_optimizer():
    result = synthetic.result()
    assert findings.best_baseline(result).key == "regression"
    result["baselines"]["soup"] = synthetic.quality(0.99)
    assert findings.best_baseline(result).key == "soup"
    assert findings.best_baseline({**result, "baselines": {}}) is None


def test_the_main_split_is_the_unseen_subsets():
    assert findings.main_split({"S0": {}, "S1": {}}) == "S1"
    assert findings.main_split({"S0": {}}) == "S0"


def test_headline_gives_the_figures():
    text = sentences(synthetic.result())
    for figure in ("97.2 %", "98.5 %", "+1.3 points", "+1.0 to +1.6", "93.1 %", "intervals apart"):
        assert figure in text


def test_headline_says_when_a_baseline_wins():
    result = synthetic.result()
    result["baselines"]["regression"] = synthetic.quality(0.99, 0.001)
    assert "beats MOLE" in sentences(result)


def test_headline_does_not_claim_a_win_inside_the_intervals():
    result = synthetic.result()
    result["baselines"]["regression"] = synthetic.quality(0.970, 0.01)
    assert "call it level" in sentences(result)
    result["baselines"]["regression"] = synthetic.quality(0.974, 0.01)
    assert "above MOLE; the intervals overlap" in sentences(result)


def test_headline_says_when_training_on_the_support_set_alone_is_better():
    result = synthetic.result()
    result["baselines"]["adam_support"] = synthetic.quality(0.99, 0.001)
    assert "more than MOLE does" in sentences(result)


def test_headline_says_when_adam_cannot_be_told_from_generation():
    result = {**synthetic.result(), "regret_mean": -0.001, "regret_ci95": [-0.004, 0.002]}
    assert "behind MOLE" in sentences(result) and "cannot distinguish from zero" in sentences(
        result
    )


def test_headline_without_baselines_or_adam():
    result = synthetic.result()
    del result["adam"], result["baselines"]
    assert "No baseline was evaluated" in sentences(result)


def test_what_is_harder_than_the_headline_is_told_with_who_wins_there():
    far = {**synthetic.result(-0.6), "n_tasks": 40}
    splits = {"S0": synthetic.result(), "S1": synthetic.result(), "S3": far}
    text = " ".join(findings.beyond(splits, "S1")).replace("\N{NO-BREAK SPACE}", " ")
    for part in ("40 data subsets of unseen data sets (S3)", "37.2 %", "98.5 %", "beats MOLE"):
        assert part in text
    assert "94.1 %, more than MOLE does" in text
    assert findings.beyond({"S0": synthetic.result(), "S1": synthetic.result()}, "S1") == []
    assert findings.beyond({"S3": far}, "S3") == []  # then it is the headline


def test_networks_that_training_has_none_of_have_one_sentence():
    low, high = synthetic.result(), synthetic.result()
    low["generated"]["mean"], low["adam"]["mean"] = 0.91, 0.95
    high["generated"]["mean"], high["adam"]["mean"] = 0.94, 0.99
    splits = {"S1": synthetic.result(), "S4-12": low, "S4-24-12": high}
    (text,) = findings.beyond(splits, "S1")
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Networks of 2 kinds absent from training (S4: 12, 24-12) reach 91.0 %" in text
    assert text.endswith(
        "to 94.0 % on unseen data subsets, Adam from the same starts 95.0 % to 99.0 %."
    )
    assert findings.split_name("S4-24-12") == "S4-24-12, hidden layers of 24-12 units, unseen"
    assert findings.split_name("S4-vit") == "S4-vit, networks of kind vit, unseen"


def test_names_stand_in_sentences_as_they_are_read():
    for name, within in (
        ("End to end", "end to end"),
        ("First-order MAML", "first-order MAML"),
        ("MAML", "MAML"),
        ("L2L", "L2L"),
        ("Soup", "soup"),
    ):
        assert findings.in_sentence(name) == within


def test_learners_are_compared_by_seconds_where_these_are_known():
    baselines = {"regression": {}, "maml": {}, "l2l": {}}
    methods = {name: {"label": name.upper(), "steps": n} for name, n in
               (("generated", 900), ("regression", 300), ("maml", 100), ("l2l", 100))}  # fmt: skip
    costs = {
        name: {"meta_training_seconds": seconds}
        for name, seconds in (("diffusion", 60.0), ("maml", 57.0), ("l2l", 20.0))
    }
    result = {"baselines": baselines, "methods": methods, "learner_costs": costs}
    said = questions.handicap(result, {})
    assert "L2L had only 20 s of meta-training, against MOLE's 60" in said
    assert "MAML" not in said  # as long, in fewer steps
    assert "REGRESSION had only 300 training steps, against MOLE's 900" in said

"""The report stage: one self-contained page from whatever was recorded, and clear errors."""

import re
from html.parser import HTMLParser

import pytest
from ml_collections import ConfigDict

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import write_json
from mole_jax.report.build import build
from mole_jax.report.figures import FIGURES
from tests.report import synthetic

CONFIG = ConfigDict({"seed": 0, "population": {"members": 8}})
VOID = {"meta", "br", "hr", "img", "link", "input"}


class Balance(HTMLParser):
    """Checks that elements close in the order in which they opened."""

    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def page(workdir):
    build(CONFIG, workdir)
    return (workdir / "report" / "index.html").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    workdir = synthetic.write(tmp_path_factory.mktemp("work"))
    write_json(
        workdir / "evaluate" / "stage.json",
        {"environment": {"python": "3.11.2", "packages": {"jax": "0.10.2"}}},
    )
    return workdir, page(workdir)


def test_all_figures_are_saved(built):
    workdir, _ = built
    names = {path.name for path in (workdir / "report" / "figures").iterdir()}
    expected = {f"{name}_S1" if spec.every_split else name for name, spec in FIGURES.items()}
    assert names == {f"{name}.{kind}" for name in expected for kind in ("png", "svg")}


def test_few_shot_figures_are_of_the_split_that_they_name(tmp_path):
    record = synthetic.evaluation()
    record["splits"]["S3-digits"] = far = synthetic.measured()
    for methods in far["few_shot"]["shots"].values():
        methods["svm"]["mean"]["accuracy"] = 0.123
    text = page(synthetic.write(tmp_path, record))
    assert "Learning from few examples: S1, unseen data subsets" in text
    figure = text.split("Learning from few examples: S3-digits, the unseen data set digits")[2]
    assert "against Adam, support set only" in figure.split("</figure>")[0]  # no longer the SVM
    drawn = {path.stem for path in (tmp_path / "report" / "figures").iterdir()}
    assert {"few_shot_S1", "few_shot_S3-digits"} <= drawn and "few_shot_S0" not in drawn


def test_the_page_is_self_contained_and_well_formed(built):
    _, text = built
    assert "<script" not in text
    for link in re.findall(r'(?:src|href)="([^"]*)"', text):
        assert link.startswith(("#", "data:image/"))
    for link in re.findall(r"url\(([^)]*)\)", text):
        assert link.startswith(("#", "data:image/"))
    ids = re.findall(r'\bid="([^"]*)"', text)
    assert len(ids) == len(set(ids))
    balance = Balance()
    balance.feed(text)
    assert balance.open == []


def test_the_page_tells_what_was_found(built):
    text = built[1].replace("\N{NO-BREAK SPACE}", " ")
    for expected in (
        "97.2 %",
        "regression at 93.1 %",
        "Not reached: regret",
        "1 of 2",
        "2 min 31 s",
        "packages jax",
        "Adam, support set only",
        "from a model.",
        "Regression had only 1,000 training steps, against MOLE&#x27;s 4,000",
        "<dt>Regression</dt><dd>No noise.</dd>",
        "prefers-color-scheme: dark",
    ):
        assert expected in text
    assert "nan" not in re.sub(r"<[^>]*>", "", text).split()


def test_the_headline_split_comes_first(built):
    text = built[1]
    assert text.index("S1, unseen data subsets:") < text.index("S0, unseen runs")


def test_a_rebuild_gives_the_same_bytes(built):
    workdir, text = built
    assert page(workdir) == text


def test_figures_without_numbers_become_a_sentence(tmp_path):
    text = page(synthetic.write(tmp_path, figure_arrays={}))
    drawn = {path.stem for path in (tmp_path / "report" / "figures").iterdir()}
    assert drawn == {"methods", "conditions", "few_shot_S1"}
    # A task that was not looked at is not missed, and has two figures.
    assert text.count("Not drawn: this evaluation did not record") == len(FIGURES) - 5


def test_a_stranger_reads_a_task_and_few_examples_first_and_opens_the_rest(built):
    text = built[1]
    headings = re.findall(r"<h2>([^<]*)</h2>", text)
    assert headings[1:5] == [
        "One task, as it went",
        "Learning from few examples",
        "How good the networks are",
        "What does a network cost?",
    ]
    folded = re.findall(r'<details class="section"><summary><h2>([^<]*)</h2></summary>', text)
    assert headings[5:] == folded and {"Targets", "New networks, or copies?", "Words"} <= set(
        folded
    )
    assert "11 of 12 are right" in text and "takes class 2 for 0: 25 % of its images" in text


def test_the_hardest_split_comes_first_where_few_examples_are_learned(tmp_path):
    record = synthetic.evaluation()
    for split in ("S2", "S3-digits"):
        record["splits"][split] = synthetic.measured()
    text = page(synthetic.write(tmp_path, record))
    places = [text.index(f"Learning from few examples: {split}") for split in ("S3", "S2", "S1")]
    assert places == sorted(places)


def test_the_least_evaluation_is_still_reported(tmp_path):
    least = {"n_tasks": 1, "n_networks": 1, "generated": {"mean": 0.5}}
    text = page(synthetic.write(tmp_path, {"splits": {"S2": least}}, {}))
    assert "unseen classes" in text and "No baseline was evaluated" in text


def test_what_was_not_measured_is_one_line(tmp_path):
    record = synthetic.evaluation()
    for result in record["splits"].values():
        del result["novelty"], result["condition_use_gap"]
    text = page(synthetic.write(tmp_path, record, {}))
    assert text.count("Not measured in this evaluation.") == 2
    assert "costly look-up table" not in text and "is a knob" in text


def test_an_evaluation_that_names_no_methods_is_reported_by_their_keys(tmp_path):
    record = synthetic.evaluation()
    for result in record["splits"].values():
        del result["methods"]
    workdir = synthetic.write(tmp_path, record)
    config = {"training": {"steps": 1500, "regression_steps": 300}}
    build(config, workdir)
    text = (workdir / "report" / "index.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert "Adam support</td>" in text and "regression at 93.1 %" in text
    assert "Regression had only 300 training steps, against MOLE&#x27;s 1,500" in text


def test_text_from_files_is_escaped(tmp_path):
    record = synthetic.evaluation()
    record["targets"][0]["name"] = "<b>&"
    record["splits"]["S1"]["baselines"]["<i>"] = synthetic.quality(0.5)
    text = page(synthetic.write(tmp_path, record, {}))
    assert "&lt;b&gt;&amp;" in text and "<b>&" not in text and "<i>" not in text


def test_missing_or_unusable_evaluations_are_said_clearly(tmp_path):
    with pytest.raises(UserError, match=r"evaluation\.json is missing; run the evaluate stage"):
        build(CONFIG, tmp_path)
    for record, match in (
        ({"splits": {}}, "no splits"),
        ({"splits": {"S1": {"n_tasks": 3}}}, "S1 lacks n_networks, generated"),
        (
            {"splits": {"S1": {"n_tasks": 1, "n_networks": 1, "generated": {}}}},
            "no mean of generated",
        ),
    ):
        write_json(tmp_path / "report" / "evaluation.json", record)
        with pytest.raises(UserError, match=match):
            build(CONFIG, tmp_path)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (("config",), "seed: 0", "config: 'seed: 0' is not of type 'object'"),
        (("splits", "S1"), [], r"splits.S1: \[\] is not of type 'object'"),
        (("splits", "S1", "n_tasks"), "four", "splits.S1.n_tasks: 'four' is not of type 'integer'"),
        (("splits", "S1", "adam"), None, "splits.S1.adam: None is not of type 'object'"),
        (("splits", "S1", "adam", "ci95"), [0.5], r"splits.S1.adam.ci95: \[0.5\] is too short"),
        (("splits", "S1", "metric"), "x" * 500, r"splits.S1.metric: 'xxx.*\.\.\. \(enum\)"),
    ],
)
def test_a_damaged_evaluation_is_said_with_its_place(tmp_path, at, value, said):
    record = synthetic.evaluation()
    node = record
    for key in at[:-1]:
        node = node[key]
    node[at[-1]] = value
    synthetic.write(tmp_path, record)
    with pytest.raises(UserError, match=f"is damaged: {said}; run the evaluate") as found:
        build(CONFIG, tmp_path)
    assert len(str(found.value)) < 400


def test_numbers_that_were_not_finite_are_no_damage(tmp_path):
    record = synthetic.evaluation()
    record["splits"]["S1"]["adam"]["mean"] = None
    page(synthetic.write(tmp_path, record))


def test_a_broken_figures_file_is_said_clearly(tmp_path):
    synthetic.write(tmp_path, figure_arrays={})
    (tmp_path / "evaluate").mkdir()
    (tmp_path / "evaluate" / "figures.npz").write_bytes(b"not an archive")
    with pytest.raises(UserError, match=r"figures\.npz cannot be read"):
        build(CONFIG, tmp_path)


def test_few_shot_numbers_have_a_table_where_they_were_measured(tmp_path):
    text = page(synthetic.write(tmp_path)).replace("\xa0", " ")
    assert "Learning from few examples" in text
    assert "68.0 / 70.0" in text  # one network, and the mean
    assert "72.0 *" in text and "93.0 / 95.0 *" in text  # the best of each number of shots


def test_gradient_steps_on_the_support_set_are_said(tmp_path):
    folder = synthetic.write(tmp_path)
    assert "No gradient is computed on your task" in page(folder)
    build({"seed": 0, "metamodel": {"support_probes": 10, "inner_steps": 24}}, folder)
    text = (folder / "report" / "index.html").read_text()
    assert "24 gradient steps on the support set" in text and "No gradient" not in text


def test_a_target_that_was_not_measured_is_not_missed(tmp_path):
    record = synthetic.evaluation()
    record["targets"].append({"name": "speed", "value": None, "target": "<= 20", "met": False})
    text = page(synthetic.write(tmp_path, record))
    assert "not measured" in text and "1 of 2" in text
    assert "Not reached: regret (points)." in text  # and not speed
    record["targets"] = record["targets"][1:]
    assert "Not measured: speed." in page(synthetic.write(tmp_path, record))

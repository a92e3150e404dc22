"""The report's sections that answer a question, each from recorded numbers only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mole_jax.report import findings, html, numbers


@dataclass(frozen=True)
class Figures:
    """HTML by name: of figures that are drawn, and of the sentences in place of the others."""

    drawn: Mapping[str, str]
    absent: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.drawn[name] if name in self.drawn else self.absent[name]


def of_split(name: str, split: str) -> str:
    """Return the name of a split's own figure."""
    return f"{name}_{split}"


def one_task(figures: Figures) -> str:
    """Write about a single task; "" if none was recorded."""
    if "one_task" not in figures.drawn:
        return ""
    words = "Before any average: the examples of a task, and what became of them."
    return section("One task, as it went", words, figures, ("one_task", "confusions"))


def quality(splits: Mapping[str, findings.Result], figures: Figures, handicap: str) -> str:
    tables = []
    for split, result in splits.items():
        rows, kinds = [], []
        best = findings.best_baseline(result)
        for method in findings.methods(result):
            q = method.quality
            rows.append(
                (
                    method.name,
                    numbers.percent(q.get("mean")),
                    numbers.interval(q.get("ci95")),
                    numbers.percent(q.get("median")),
                    numbers.percent(q.get("p10")),
                    numbers.percent(q.get("failure_rate")),
                    numbers.number(q.get("loss_mean")),
                )
            )
            ours, rival = (
                method.key == "generated",
                best is not None and method.key == best.key,
            )
            kinds.append("ours" if ours else "rival" if rival else "")
        caption = (
            f"{findings.split_name(split)}: {result['n_tasks']} "
            f"{'runs' if split == 'S0' else 'subsets'}, {result['n_networks']} networks per method"
        )
        heads = ("method", "mean", "95 % interval", "median", "p10", "failures", "loss")
        tables.append(html.table(heads, rows, kinds, caption))
    return html.section(
        "How good the networks are",
        html.paragraph(
            "All methods face the same tasks, starts and tests. The best baseline is in "
            f"orange; Adam is what generation is measured against.{handicap}"
        ),
        _grid(figures["methods"], figures["per_task"]),
        *tables,
    )


NEARLY_AS_LONG = 0.8  # of the main learner's seconds; less than this is mentioned


def handicap(result: findings.Result, config: Mapping[str, Any]) -> str:
    """Say so if another learner was trained for less than the main one.

    Compare seconds if they are known: steps of different learners are not alike.
    """
    before = config.get("training", {})  # where older evaluations have the steps
    ours = findings.described(result, "generated").get("steps", before.get("steps", 0))
    costs = result.get("learner_costs", {})
    seconds = {key: own["meta_training_seconds"] for key, own in costs.items()}
    main, text = next(iter(seconds.values()), None), ""
    for key in result.get("baselines", {}):
        spent = seconds.get(key)
        if spent is not None and main is not None:
            if spent < NEARLY_AS_LONG * main:
                text += (
                    f" {findings.method_name(result, key)} had only {spent:,.0f} s of "
                    f"meta-training, against MOLE's {main:,.0f}: the comparison favours MOLE."
                )
            continue
        theirs = findings.described(result, key).get("steps", before.get(f"{key}_steps", 0))
        if 0 < theirs < ours:
            text += (
                f" {findings.method_name(result, key)} had only {theirs:,} training steps, against "
                f"MOLE's {ours:,}: the comparison favours MOLE."
            )
    return text


def obedience(splits: Mapping[str, findings.Result], figures: Figures) -> str:
    rows = []
    for split, result in splits.items():
        for key, where in (
            ("prompt_alignment", "in the zoo's range"),
            ("alignment_to_guessing", "of these, better than guessing"),
            ("alignment_outside", "better than the zoo's best"),
        ):
            a = result.get(key)
            if a:
                measured = ("r2_mean", "r2_median", "spearman_mean", "mae_mean")
                rows.append((f"{split}, {where}", *(numbers.number(a.get(k)) for k in measured)))
    heads = ("prompts", "R², mean", "R², median", "Spearman", "mean error")
    prompted = [
        _by_prompt(split, result["achieved_by_prompt"])
        for split, result in splits.items()
        if result.get("achieved_by_prompt")
    ]
    return section(
        "Does it do what it is asked?",
        "The loss asked for is a knob: the same start and the same examples should give a "
        "good network when a low loss is asked for, and a deliberately mediocre one when a "
        "high loss is.",
        figures,
        ("prompt", "trajectories"),
        below=[html.table(heads, rows) if rows else "", *prompted],
    )


def _by_prompt(split: str, achieved: Mapping[str, Mapping[str, Any]]) -> str:
    records = [{"asked": prompt, **values} for prompt, values in achieved.items()]
    heads = list(dict.fromkeys(key for record in records for key in record))
    rows = [[written(record.get(head)) for head in heads] for record in records]
    names = [head.replace("_", " ") for head in heads]
    return html.fold(f"Prompt by prompt, {split}", html.table(names, rows))


def listening(splits: Mapping[str, findings.Result], figures: Figures) -> str:
    rows = []
    for split, result in splits.items():
        gap = result.get("condition_use_gap", {})
        if gap:
            rows.append(
                (
                    split,
                    *(numbers.points(gap.get(k)) for k in ("support", "target_metric", "start")),
                )
            )
    heads = ("points lost when shuffled", "support set", "loss asked for", "start")
    return section(
        "Does it use what it is given?",
        "Each condition is swapped for another network's; the score lost is what it is worth. "
        "A model that ignored the support set would give networks for no task in "
        "particular.",
        figures,
        ("conditions", "support"),
        below=[html.table(heads, rows) if rows else ""],
    )


def few_shot(splits: Mapping[str, findings.Result], figures: Figures) -> str:
    """Write one table per split: every method at every number of shots."""
    tables = []
    for split, result in splits.items():
        found = result.get("few_shot", {})
        if not found:
            continue
        by_shots, labels = found["shots"], found["labels"]
        best = {n: findings.best_few_shot(by_shots[n]) for n in by_shots}
        rows = []
        for key, label in labels.items():
            cells = [label]
            for n, methods in by_shots.items():
                one, mean = methods[key]["one"], methods[key]["mean"]
                text = f"{100 * mean['accuracy']:.1f}"
                if one["accuracy"] != mean["accuracy"]:
                    text = f"{100 * one['accuracy']:.1f} / {text}"
                cells.append(f"{text} *" if key == best[n] else text)
            last = list(by_shots.values())[-1][key]["mean"]
            rows.append((*cells, numbers.number(last["nll"]), f"{100 * last['ece']:.1f}"))
        most = list(by_shots)[-1]
        heads = ("method", *by_shots, "loss", "ECE")
        caption = (
            f"{findings.split_name(split)}: accuracy (%) by examples of each class, one network / "
            f"mean of {found['networks']}, * the best of the means; loss and calibration error "
            f"(%) of the mean at {most}"
        )
        tables.append(html.table(heads, rows, None, caption))
    return section(
        "Learning from few examples",
        "Every method sees the same few examples of each class and is judged on the same test "
        "examples. The other methods' settings were tuned on training tasks, for each number of "
        "examples, as how long networks are polished; MOLE's prompt only once.",
        figures,
        [of_split("few_shot", s) for s, result in splits.items() if result.get("few_shot")],
        below=tables,
    )


def worth(splits: Mapping[str, findings.Result], figures: Figures) -> str:
    rows = []
    for split, result in splits.items():
        worth = result.get("equivalent_adam_steps", {})
        if worth:
            rows.append(
                (
                    split,
                    _steps(worth.get("median")),
                    _steps(worth.get("p10")),
                    numbers.percent(worth.get("censored")),
                )
            )
    heads = ("one pass, in Adam steps", "median", "p10", "beats Adam throughout")
    return section(
        "How much training does one pass replace?",
        "For each generated network: the first Adam step, from the same start, at which "
        "Adam's loss is as low. A network better than Adam at its last step counts as that "
        "last step, so the figures are then lower bounds.",
        figures,
        ("adam_curve",),
        beside=html.table(heads, rows) if rows else "",
    )


def novelty(splits: Mapping[str, findings.Result], figures: Figures) -> str:
    rows = []
    for split, result in splits.items():
        n = result.get("novelty", {})
        if n:
            keys = ("rho", "z_u", "diversity", "iou_mean", "iou_expected")
            rows.append((split, *(numbers.number(n.get(k)) for k in keys)))
    heads = ("", "rho", "Z_U", "diversity", "IoU", "expected")
    return section(
        "New networks, or copies?",
        "A model that replayed its training networks would be a costly look-up table. "
        "Distances are taken after matching units, and compared with those of "
        "independently trained networks.",
        figures,
        ("novelty",),
        beside=html.table(heads, rows) if rows else "",
    )


def section(
    heading: str,
    words: str,
    figures: Figures,
    names: Sequence[str],
    *,
    beside: str = "",
    below: Sequence[str] = (),
) -> str:
    """Return a question, its meaning, and its figures and tables; or that it was not measured."""
    if not (beside or any(below) or any(name in figures.drawn for name in names)):
        return html.section(heading, html.paragraph("Not measured in this evaluation.", "muted"))
    cards = [*(figures[name] for name in names), beside]
    return html.section(heading, html.paragraph(words), _grid(*cards), *below)


def _steps(value: float | None) -> str:
    return f"{value:,.0f}" if numbers.known(value) else numbers.DASH


def _grid(*cards: str) -> str:
    """Return cards side by side where the screen is wide enough."""
    return f'<div class="figures">{"".join(cards)}</div>'


def written(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return numbers.number(value) if numbers.known(value) else _text(value)


def _text(value: object) -> str:
    return numbers.DASH if value is None or isinstance(value, float) else str(value)

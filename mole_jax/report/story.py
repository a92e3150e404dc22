"""The report's text: sections in the order in which a newcomer asks, each from recorded numbers
only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mole_jax.report import findings, html, numbers
from mole_jax.report.glossary import GLOSSARY


@dataclass(frozen=True)
class Figures:
    """HTML by name: of figures that are drawn, and of the sentences in place of the others."""

    drawn: Mapping[str, str]
    absent: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.drawn[name] if name in self.drawn else self.absent[name]


# Where an evaluation does not say what the learner is.
_LEARNER = "What it has learned from the training histories of other networks."
_STAGES = {
    "zoo": "train the zoo",
    "train": "train MOLE on it",
    "evaluate": "evaluate, baselines included",
}


def body(
    evaluation: Mapping[str, Any],
    figures: Figures,
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> str:
    """Return the page's content. evaluation: evaluation.json; environment: may be empty."""
    main = findings.main_split(evaluation["splits"])
    result = evaluation["splits"][main]
    # The headline's split comes first in every table.
    splits = {main: result, **evaluation["splits"]}
    return "\n".join(
        [
            _opening(evaluation, result, main),
            _idea(result, config),
            _targets(evaluation.get("targets", [])),
            _quality(splits, figures, _handicap(result, config)),
            _obedience(splits, figures),
            _listening(splits, figures),
            *(
                [_few_shot(splits, figures)]
                if any("few_shot" in r for r in splits.values())
                else []
            ),
            _worth(splits, figures),
            _novelty(splits, figures),
            _origin(evaluation.get("seconds", {}), figures),
            _provenance(evaluation, config, environment),
            html.section("Words", html.definitions(_words(result).items())),
        ]
    )


def _opening(evaluation: Mapping[str, Any], result: findings.Result, split: str) -> str:
    generated = result["generated"]
    best = findings.best_baseline(result)
    what = f"MOLE: mean test {findings.metric(result)}"
    tiles = [
        html.tile(numbers.percent(generated.get("mean")), what, "ours"),
        html.tile(numbers.percent(result.get("adam", {}).get("mean")), "Adam, same starts"),
        html.tile(numbers.points(result.get("regret_mean")), "regret in points (Adam − MOLE)"),
    ]
    if best is not None:
        tiles.append(
            html.tile(numbers.percent(best.mean), f"best baseline: {best.name.lower()}", "rival")
        )
    tiles.append(
        html.tile(numbers.percent(generated.get("failure_rate")), "generated networks that fail")
    )
    targets = evaluation.get("targets", [])
    if targets:
        met = sum(bool(target.get("met")) for target in targets)
        tiles.append(html.tile(f"{met} of {len(targets)}", "targets reached"))
    sentences = findings.headline(result, split)
    harder = findings.beyond(evaluation["splits"], split)
    return "\n".join(
        [
            "<header>",
            "<h1>MOLE: weights of a network, predicted instead of trained</h1>",
            html.paragraph(" ".join(sentences), "lead"),
            *([html.paragraph(" ".join(harder))] if harder else []),
            "</header>",
            f'<div class="tiles">{"".join(tiles)}</div>',
        ]
    )


def _inside(metamodel: Mapping[str, Any]) -> str:
    """Say what happens to the support set: nothing that needs a gradient, or learned steps."""
    if not metamodel.get("support_probes"):
        return "No gradient is computed on your task."
    return (
        f"The model is not trained on your task; its pass has {metamodel['inner_steps']} gradient "
        "steps on the support set, of sizes that it has learned."
    )


def _idea(result: findings.Result, config: Mapping[str, Any]) -> str:
    fixed = result.get("fixed_prompt")
    metric = str(result.get("prompt_metric", "validation_loss")).replace("_", " ")
    asked = (
        f" The comparisons below ask for a {metric} of {numbers.short(fixed)}, one value for all "
        "networks, chosen on training runs."
        if numbers.known(fixed)
        else ""
    )
    learner = findings.described(result, "generated").get("sentence", _LEARNER)
    steps = [
        (
            "You give",
            "a support set (some examples of a task it has never seen), the loss you "
            "want, and a start: random weights.",
        ),
        (
            "MOLE samples",
            f"from {learner[0].lower()}{learner[1:]}",
        ),
        (
            "You get",
            (
                "the weights of a network for that task with about that loss. "
                + _inside(config.get("metamodel", {}))
            ),
        ),
    ]
    cards = '<div class="arrow" aria-hidden="true">→</div>'.join(
        f'<div class="card"><h3>{html.escape(head)}</h3>{html.paragraph(text)}</div>'
        for head, text in steps
    )
    return html.section(
        "What it does",
        f'<div class="flow">{cards}</div>',
        html.paragraph(
            "Nothing here is the best of several tries: every generated network counts." + asked,
            "muted",
        ),
    )


def _targets(targets: list[Mapping[str, Any]]) -> str:
    if not targets:
        return ""
    rows = [
        (
            target.get("name", ""),
            _value(target.get("value")),
            _value(target.get("target")),
            "reached" if target.get("met") else "not reached",
        )
        for target in targets
    ]
    missed = [str(row[0]) for row in rows if row[3] != "reached"]
    verdict = (
        f"Not reached: {'; '.join(missed)}."
        if missed
        else "Every target set before the run was reached."
    )
    return html.section(
        "Targets",
        html.paragraph(verdict),
        html.table(
            ("target", "measured", "wanted", ""),
            rows,
            ["rival" if row[3] != "reached" else "" for row in rows],
        ),
    )


def _quality(splits: Mapping[str, findings.Result], figures: Figures, handicap: str) -> str:
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


def _handicap(result: findings.Result, config: Mapping[str, Any]) -> str:
    """Say so where another learner was trained for fewer steps than the main one."""
    before = config.get("training", {})  # which evaluations of older versions leave it to
    ours = findings.described(result, "generated").get("steps", before.get("steps", 0))
    text = ""
    for key in result.get("baselines", {}):
        theirs = findings.described(result, key).get("steps", before.get(f"{key}_steps", 0))
        if 0 < theirs < ours:
            text += (
                f" {findings.method_name(result, key)} had only {theirs:,} training steps, against "
                f"MOLE's {ours:,}: the comparison favours MOLE."
            )
    return text


def _obedience(splits: Mapping[str, findings.Result], figures: Figures) -> str:
    rows = []
    for split, result in splits.items():
        for key, where in (
            ("prompt_alignment", "all prompts"),
            ("alignment_inside", "inside the zoo's range"),
            ("alignment_outside", "outside the zoo's range"),
        ):
            a = result.get(key)
            if isinstance(a, Mapping):
                measured = ("r2_mean", "r2_median", "spearman_mean", "mae_mean")
                rows.append((f"{split}, {where}", *(numbers.number(a.get(k)) for k in measured)))
            elif numbers.known(a):
                rows.append((f"{split}, {where}", numbers.number(a), *[numbers.DASH] * 3))
    heads = ("prompts", "R², mean", "R², median", "Spearman", "mean error")
    prompted = [
        _by_prompt(split, result["achieved_by_prompt"])
        for split, result in splits.items()
        if result.get("achieved_by_prompt")
    ]
    return _section(
        "Does it do what it is asked?",
        "The loss asked for is a knob: the same start and the same examples should give a "
        "good network when a low loss is asked for, and a deliberately mediocre one when a "
        "high loss is.",
        figures,
        ("prompt", "trajectories"),
        below=[html.table(heads, rows) if rows else "", *prompted],
    )


def _by_prompt(split: str, achieved: Any) -> str:
    """Return achieved: {prompt: value}, {prompt: {name: value}} or [{name: value}], as recorded."""
    if isinstance(achieved, Mapping):
        records = [
            {"asked": prompt, **(value if isinstance(value, Mapping) else {"achieved": value})}
            for prompt, value in achieved.items()
        ]
    else:
        records = [dict(record) for record in achieved]
    heads = list(dict.fromkeys(key for record in records for key in record))
    rows = [[_value(record.get(head)) for head in heads] for record in records]
    names = [head.replace("_", " ") for head in heads]
    return html.fold(f"Prompt by prompt, {split}", html.table(names, rows))


def _listening(splits: Mapping[str, findings.Result], figures: Figures) -> str:
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
    return _section(
        "Does it use what it is given?",
        "Each condition is swapped for another network's, and what the network loses by it is "
        "its use. A model that ignored the support set would give networks for no task in "
        "particular.",
        figures,
        ("conditions", "support"),
        below=[html.table(heads, rows) if rows else ""],
    )


def _few_shot(splits: Mapping[str, findings.Result], figures: Figures) -> str:
    """Write one table a split: every method at every number of shots."""
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
    return _section(
        "Learning from few examples",
        "Everybody sees the same few examples of each class, and is judged on the same test "
        "examples. What the other methods need tuned was tuned on training tasks, for each number "
        "of examples; MOLE's prompt once.",
        figures,
        ("few_shot",),
        below=tables,
    )


def _worth(splits: Mapping[str, findings.Result], figures: Figures) -> str:
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
    return _section(
        "How much training does one pass replace?",
        "For each generated network: the first Adam step, from the same start, at which "
        "Adam's loss is as low. A network better than Adam at its last step counts as that "
        "last step, so the figures are then lower bounds.",
        figures,
        ("adam_curve",),
        beside=html.table(heads, rows) if rows else "",
    )


def _novelty(splits: Mapping[str, findings.Result], figures: Figures) -> str:
    rows = []
    for split, result in splits.items():
        n = result.get("novelty", {})
        if n:
            keys = ("rho", "z_u", "diversity", "iou_mean", "iou_expected")
            rows.append((split, *(numbers.number(n.get(k)) for k in keys)))
    heads = ("", "rho", "Z_U", "diversity", "IoU", "expected")
    return _section(
        "New networks, or copies?",
        "A model that replayed its training networks would be a costly look-up table. "
        "Distances are taken after matching units, and set against those of networks "
        "that were trained independently.",
        figures,
        ("novelty",),
        beside=html.table(heads, rows) if rows else "",
    )


def _origin(seconds: Mapping[str, float], figures: Figures) -> str:
    rows = [(_STAGES.get(k, k.replace("_", " ")), numbers.duration(v)) for k, v in seconds.items()]
    total = sum(value for value in seconds.values() if numbers.known(value))
    rows.append(("together", numbers.duration(total)))
    return _section(
        "What it learned from, and what that cost",
        "MOLE never sees how a network is trained, only the results: snapshots of weights "
        "along many runs. It is trained to answer, for any two snapshots of a run, how to "
        "get from the first to weights with the loss of the second.",
        figures,
        ("zoo_curves",),
        beside=html.table(("stage", "time"), rows) if seconds else "",
    )


def _provenance(
    evaluation: Mapping[str, Any], config: Mapping[str, Any], environment: Mapping[str, Any]
) -> str:
    facts = dict(environment)
    if evaluation.get("hardware") and "hardware" not in facts:
        facts["hardware"] = evaluation["hardware"]
    rows = [(key.replace("_", " "), text) for key, text in _flat(facts)]
    resolved = json.dumps(config, indent=2, default=str)
    return html.section(
        "Where these numbers come from",
        html.table(("", "recorded when it ran"), rows) if rows else "",
        html.fold("The configuration", f'<pre class="card">{html.escape(resolved)}</pre>'),
    )


def _words(result: findings.Result) -> dict[str, str]:
    """Return the glossary, with a sentence on each baseline and other learner."""
    sentences = {
        findings.method_name(result, key): findings.described(result, key).get("sentence")
        for key in result.get("baselines", {})
    }
    return GLOSSARY | {name: str(sentence) for name, sentence in sentences.items() if sentence}


def _section(
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


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key} ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            rows.append((f"{prefix}{key}", text))
    return rows


def _grid(*cards: str) -> str:
    """Return cards side by side where the screen is wide enough."""
    return f'<div class="figures">{"".join(cards)}</div>'


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return numbers.number(value) if numbers.known(value) else _text(value)


def _text(value: object) -> str:
    return numbers.DASH if value is None or isinstance(value, float) else str(value)

"""The report's text, in the order in which a newcomer asks, from recorded numbers only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mole_jax.report import costs, findings, html, numbers, questions
from mole_jax.report.glossary import GLOSSARY

# For an evaluation that does not say what the learner is.
_LEARNER = "What it has learned from the training histories of other networks."
_STAGES = {
    "zoo": "train the zoo",
    "train": "train MOLE on it",
    "evaluate": "evaluate, baselines included",
}


def body(
    evaluation: Mapping[str, Any],
    figures: questions.Figures,
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> str:
    """Return the page's content. evaluation: evaluation.json; environment: may be empty."""
    main = findings.main_split(evaluation["splits"])
    result = evaluation["splits"][main]
    # The headline's split comes first in every table.
    splits = {main: result, **evaluation["splits"]}
    few = {name: own for name, own in findings.hardest_first(splits) if "few_shot" in own}
    first = [
        _opening(evaluation, result, main),
        _idea(result, config),
        questions.one_task(figures),
        questions.few_shot(few, figures) if few else "",
        questions.quality(splits, figures, questions.handicap(result, config)),
        costs.section(result),
    ]
    rest = [
        costs.of_learners(result),
        _targets(evaluation.get("targets", [])),
        questions.obedience(splits, figures),
        questions.listening(splits, figures),
        questions.worth(splits, figures),
        questions.novelty(splits, figures),
        _origin(evaluation.get("seconds", {}), figures),
        _provenance(evaluation, config, environment),
        html.section("Words", html.definitions(_words(result).items())),
    ]
    return "\n".join([*filter(None, first), *(html.folded(part) for part in rest if part)])


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
            html.tile(
                numbers.percent(best.mean),
                f"best baseline: {findings.in_sentence(best.name)}",
                "rival",
            )
        )
    tiles.append(
        html.tile(numbers.percent(generated.get("failure_rate")), "generated networks that fail")
    )
    targets = [t for t in evaluation.get("targets", []) if t.get("value") is not None]
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
        "steps on the support set, with learned step sizes."
    )


def _idea(result: findings.Result, config: Mapping[str, Any]) -> str:
    asked = _asked(result)
    or_best = " (or none: as good as it can)" if result.get("numbered_prompt") else ""
    learner = findings.described(result, "generated").get("sentence", _LEARNER)
    steps = [
        (
            "You give",
            "a support set (some examples of a task it has never seen), the loss you "
            f"want{or_best}, and a start: random weights.",
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


def _asked(result: findings.Result) -> str:
    """Say what the comparisons ask for: a number, or the best; "" if that is not recorded."""
    fixed, numbered = result.get("fixed_prompt"), result.get("numbered_prompt", {})
    metric = str(result.get("prompt_metric", "validation_loss")).replace("_", " ")
    if numbers.known(fixed):
        return (
            f" The comparisons below ask for a {metric} of {numbers.short(fixed)}, one value for "
            "all networks, chosen on training runs."
        )
    if not fixed:
        return ""
    text = f" The comparisons below ask for no number, but for networks “{fixed}”."
    if numbered:
        score = findings.metric(result)
        text += (
            f" Asked for a {metric} of {numbers.short(numbered['asked'])}, the number chosen on "
            f"training runs, they reach a mean test {score} of "
            f"{numbers.percent(numbered['mean'])}; asked for the best, "
            f"{numbers.percent(result['generated']['mean'])}."
        )
    return text


def _verdict(target: Mapping[str, Any]) -> str:
    if target.get("value") is None:
        return "not measured"
    return "reached" if target.get("met") else "not reached"


def _targets(targets: list[Mapping[str, Any]]) -> str:
    if not targets:
        return ""
    rows = [
        (
            target.get("name", ""),
            questions.written(target.get("value")),
            questions.written(target.get("target")),
            _verdict(target),
        )
        for target in targets
    ]
    verdict = "Every target set before the run was reached."
    for what in ("not measured", "not reached"):
        if missed := [str(row[0]) for row in rows if row[3] == what]:
            verdict = f"{what.capitalize()}: {'; '.join(missed)}."
    return html.section(
        "Targets",
        html.paragraph(verdict),
        html.table(
            ("target", "measured", "wanted", ""),
            rows,
            ["rival" if row[3] != "reached" else "" for row in rows],
        ),
    )


def _origin(seconds: Mapping[str, float], figures: questions.Figures) -> str:
    rows = [(_STAGES.get(k, k.replace("_", " ")), numbers.duration(v)) for k, v in seconds.items()]
    total = sum(value for value in seconds.values() if numbers.known(value))
    rows.append(("total", numbers.duration(total)))
    return questions.section(
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


def _flat(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key} ")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            rows.append((f"{prefix}{key}", text))
    return rows

"""What runs have recorded, as tables with a row for each run, for both text and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mole_jax.core.errors import UserError
from mole_jax.core.program import stages
from mole_jax.report import costs, findings, numbers
from mole_jax.report.comparison import settings
from mole_jax.report.comparison.paired_differences import Paired, ScoreDifference, Unpaired
from mole_jax.report.comparison.recorded_run import Run

STAGES = ("zoo", "train", "evaluate")


class Table(NamedTuple):
    """Heads, and rows of as many cells; `of_texts`: some are long, and may be wrapped."""

    caption: str
    heads: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    of_texts: bool = False


def quality(runs: Sequence[Run], split: str) -> Table:
    """Return how good the networks of each run are on a split; runs without it are left out."""
    heads = (
        "run",
        "tasks",
        "mean",
        "95 % interval",
        "loss",
        "Adam",
        "regret",
        "best baseline",
    )
    rows = []
    for run in runs:
        result = run.splits.get(split)
        if result is None:
            continue
        n_tasks, generated = result["n_tasks"], result["generated"]
        best = findings.best_baseline(result)
        rows.append(
            (
                run.name,
                f"{n_tasks} × {result['n_networks'] // max(n_tasks, 1)}",
                numbers.percent(generated.get("mean")),
                numbers.interval(generated.get("ci95")),
                numbers.number(generated.get("loss_mean")),
                numbers.percent(result.get("adam", {}).get("mean")),
                numbers.points(result.get("regret_mean")),
                f"{best.name} {numbers.percent(best.mean)}" if best else numbers.DASH,
                numbers.number((result.get("prompt_alignment") or {}).get("r2_mean")),
                numbers.points((result.get("condition_use_gap") or {}).get("support")),
            )
        )
    metrics = [findings.metric(run.splits[split]) for run in runs if split in run.splits]
    caption = f"{findings.split_name(split)}: test {' or '.join(dict.fromkeys(metrics))}"
    return Table(caption, (*heads, "R²", "support gap"), rows)


def few_shot(runs: Sequence[Run], split: str) -> Table | None:
    """Return accuracies from few examples: each run's own learner, and the best other method."""
    found = {
        run.name: run.splits[split]["few_shot"]
        for run in runs
        if run.splits.get(split, {}).get("few_shot")
    }
    if not found:
        return None
    shots = sorted({n for own in found.values() for n in own["shots"]}, key=int)
    rows = []
    for name, own in found.items():
        labels: Mapping[str, str] = own["labels"]
        main = next(iter(labels))
        methods = [own["shots"].get(n, {}) for n in shots]
        own = (main, f"{main}_polished")
        others = [{key: m[key] for key in m if key not in own} for m in methods]
        rows.append((name, labels[main], *(_accuracy(m, main) for m in methods)))
        best = (_accuracy(m, findings.best_few_shot(m) if m else "") for m in others)
        rows.append((name, "best other method", *best))
    caption = (
        f"{findings.split_name(split)}: accuracy by examples of each class, of the mean of a few "
        "networks"
    )
    return Table(caption, ("run", "method", *shots), rows)


def cost(runs: Sequence[Run]) -> Table:
    """Return what a prediction and each stage cost, and on which hardware."""
    heads = ("run", "learner", "in a batch", "alone", "FLOP", *STAGES, "hardware")
    rows = []
    for run in runs:
        result = run.splits[findings.main_split(run.splits)]
        spent, seconds = result.get("cost") or {}, run.evaluation.get("seconds") or {}
        rows.append(
            (
                run.name,
                str(findings.described(result, "generated").get("label", numbers.DASH)),
                costs.milliseconds(spent.get("seconds_per_network")),
                costs.milliseconds(spent.get("seconds_alone")),
                costs.operations(spent.get("flops_per_network")),
                *(numbers.duration(seconds.get(stage)) for stage in STAGES),
                hardware(run.evaluation.get("hardware")),
            )
        )
    return Table("one predicted network, in a batch and alone; each stage", heads, rows)


def origin(runs: Sequence[Run]) -> Table:
    """Return where the numbers come from: file, and commit and date of the evaluation."""
    rows = []
    for run in runs:
        made = _environment(run)
        commit = str(made.get("commit") or numbers.DASH)[:12]
        rows.append(
            (
                run.name,
                commit + (" and changes" if made.get("dirty") else ""),
                str(made.get("date") or numbers.DASH)[:10],
                str(run.path),
            )
        )
    return Table("", ("run", "commit", "evaluated", "read from"), rows, of_texts=True)


def _environment(run: Run) -> Mapping[str, Any]:
    """Return where and with what a run was evaluated, empty without a record."""
    try:
        if run.workdir is None or not stages.is_begun(run.workdir, "evaluate"):
            return {}
        found = stages.record(run.workdir, "evaluate").get("environment")
    except UserError:  # what was measured is in other files
        return {"commit": "unreadable"}
    return found if isinstance(found, Mapping) else {}


def hardware(recorded: Mapping[str, Any] | None) -> str:
    """Write hardware as it is recorded: "AMD EPYC, 2 cores, 1 cpu"."""
    recorded = recorded or {}
    parts = [str(recorded["cpu"])] if recorded.get("cpu") else []
    parts += [f"{recorded['cores']} cores"] if recorded.get("cores") else []
    parts += [f"{n} {kind}" for kind, n in (recorded.get("devices") or {}).items()]
    return ", ".join(parts) or numbers.DASH


def config(names: Sequence[str], found: Sequence[settings.Setting]) -> Table:
    """Return settings with a column for each run."""
    return Table("", ("setting", *names), [(s.key, *s.values) for s in found], of_texts=True)


def paired(found: Sequence[Paired | Unpaired]) -> Table:
    """Return the differences of runs on the same tasks, in points."""
    heads = ("first − second", "split", "tasks", "MOLE", "95 % interval", "Adam", "95 % interval")
    rows = [
        (
            f"{pair.first} − {pair.second}",
            pair.split,
            str(pair.n_tasks),
            *_difference(pair.generated),
            *_difference(pair.adam),
            {True: "the same", False: "different", None: "unknown"}[pair.same_starts],
        )
        for pair in found
        if isinstance(pair, Paired)
    ]
    return Table("points, by task", (*heads, "starts"), rows)


def reasons(found: Sequence[Paired | Unpaired]) -> list[str]:
    """Return a line for every two runs that cannot be paired and each reason."""
    splits: dict[tuple[str, str, str], list[str]] = {}
    for pair in found:
        if isinstance(pair, Unpaired):
            splits.setdefault((pair.first, pair.second, pair.reason), []).append(pair.split)
    return [
        f"{first} and {second}" + (f" on {', '.join(on)}" if any(on) else "") + f": {reason}."
        for (first, second, reason), on in splits.items()
    ]


def _difference(difference: ScoreDifference | None) -> tuple[str, str]:
    if difference is None:
        return numbers.DASH, numbers.DASH
    # Scores have 32 bits: their last digits could put a minus sign before a zero.
    mean, low, high = (round(x, 6) + 0.0 for x in (difference.mean, *difference.ci95))
    return numbers.points(mean, 2), numbers.interval_points((low, high), 2)


def _accuracy(methods: Mapping[str, Any], key: str) -> str:
    mean = methods.get(key, {}).get("mean", {})
    return numbers.percent(mean.get("accuracy"))

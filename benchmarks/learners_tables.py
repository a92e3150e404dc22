"""The tables of docs/learners.md, made of benchmarks/results/learners.json.

    python -m benchmarks.learners_tables

Numbers are means over the seeds that there are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.learners import STEPS
from mole_jax.core.errors import UserError
from mole_jax.core.program.command import explained, leave

# MOLE's own, whose rows come first; networks that are polished come after those that are not.
MOLE = ("diffusion", "diffusion_polished", "end_to_end", "end_to_end_polished")
# What `elsewhere` puts side by side: an experiment, one of its splits, numbers of examples a class.
ELSEWHERE = (
    ("known digits, new combinations: 1 · 10 examples", "digits 60 s", "S1", ("1", "10")),
    ("clothes never seen (28x28): 1 · 10", "clothes 60 s", "S3-fashion-mnist", ("1", "10")),
)
Found = Mapping[str, Any]  # of one seed, as benchmarks/learners.py records it


def main() -> None:
    """Print a pair of tables for each experiment and number of seconds."""
    for name, seeds in _groups().items():
        print(f"\n### {name}, seeds {', '.join(str(x['seed']) for x in seeds)}\n")
        if "shots" not in next(iter(seeds[0]["splits"].values())):
            print(_policies(seeds))
            continue
        for of in ("one", "mean"):
            print(f"{of}:\n\n{_accuracies(seeds, of)}\n")
        print(_costs(seeds))


def accuracies(group: str) -> str:
    """Return the accuracies (%) of one answer at each number of shots, as a table.

    Args:
        group: "glyphs 60 s", say.
    """
    return _accuracies(_group(group), "one")


def costs(group: str) -> str:
    """Return what learners cost, and how good their probabilities are."""
    return _costs(_group(group))


def elsewhere() -> str:
    """Return one answer's accuracy (%) in other experiments, and the return of policies."""
    labels: dict[str, str] = {}
    cells: dict[str, list[str]] = {}
    columns = [*(head for head, *_ in ELSEWHERE), "carts never seen: return"]
    for i, (_, group, split, shots) in enumerate(ELSEWHERE):
        seeds = _group(group)
        labels |= seeds[0]["splits"][split]["labels"]
        for method in seeds[0]["splits"][split]["labels"]:
            found = [
                _mean(seeds, "splits", split, "shots", n, method, "one", "accuracy") for n in shots
            ]
            shown = " · ".join(f"{100 * x:.1f}" for x in found)
            cells.setdefault(method, [""] * len(columns))[i] = shown
    for method, shown in _returns(_group("cartpole 60 s")).items():
        if method in cells:
            cells[method][-1] = shown
    plain = {"adam_support": "Adam, the same examples (PPO)"}
    ordered = [*(name for name in (*MOLE, *STEPS) if name in labels), *labels]
    rows = [[plain.get(k, labels[k]), *cells[k]] for k in dict.fromkeys(ordered)]
    return _markdown(["", *columns], rows)


def _returns(seeds: Sequence[Found]) -> dict[str, str]:
    """Return each method's mean return (%) over seeds, with the steps that it practised."""
    shown = {}
    for method, scores in _by_policy(seeds).items():
        name = {"generated": "diffusion", "adam": "adam_support"}.get(method, method)
        steps = " and ".join(dict.fromkeys(_practice(seeds, method)))
        mean = f"{100 * float(np.mean(scores)):.1f}"
        shown[name] = f"{mean}, after {steps} steps of practice" if steps else mean
    return shown


def _by_policy(seeds: Sequence[Found]) -> dict[str, list[float]]:
    (split,) = seeds[0]["splits"]
    of = [x["splits"][split] for x in seeds]
    return {
        method: [(x[method] if method in x else x["baselines"][method])["mean"] for x in of]
        for method in ("generated", "adam", *of[0]["baselines"])
    }


def _practice(seeds: Sequence[Found], method: str) -> list[str]:
    """Return how many steps of adaptation were chosen, for each seed; none for who takes none."""
    chosen = [x["chosen"].get(f"setting_{method}") for x in seeds]
    return [str(next(iter(c["chosen"].values()))["steps"]) for c in chosen if c]


def _group(name: str) -> list[Found]:
    """Return the seeds of an experiment; where it had some learners only, its name goes on."""
    groups = _groups()
    found = [name] if name in groups else [k for k in groups if k.startswith(f"{name}, ")]
    if len(found) != 1:
        raise UserError(
            f"{len(found)} entries of benchmarks/results/learners.json begin with {name!r}, which "
            "a table needs one of: run python -m benchmarks.learners"
        )
    return groups[found[0]]


def _groups() -> dict[str, list[Found]]:
    groups: dict[str, list[Found]] = {}
    for name, found in machine.known("learners", "found").items():
        groups.setdefault(name.partition(", seed")[0], []).append(found)
    return groups


def _accuracies(seeds: Sequence[Found], of: str) -> str:
    return _markdown(["", *seeds[0]["splits"]], _accuracy_rows(seeds, of))


def in_order(labels: Mapping[str, str]) -> dict[str, str]:
    """Return names and labels of methods, MOLE's own first."""
    return {k: labels[k] for k in MOLE if k in labels} | dict(labels)


def _accuracy_rows(seeds: Sequence[Found], of: str) -> list[list[str]]:
    splits = seeds[0]["splits"]
    rows = []
    for method, label in in_order(next(iter(splits.values()))["labels"]).items():
        cells = []
        for split, own in splits.items():
            found = [
                _mean(seeds, "splits", split, "shots", n, method, of, "accuracy")
                for n in own["shots"]
            ]
            cells.append(" · ".join(f"{100 * x:.1f}" for x in found))
        rows.append([label, *cells])
    return rows


def _costs(seeds: Sequence[Found]) -> str:
    """Costs; NLL and calibration error of one answer from the most examples on the last split."""
    splits = seeds[0]["splits"]
    last = list(splits)[-1]
    most = list(splits[last]["shots"])[-1]
    rows = []
    for method, label in in_order(splits[last]["labels"]).items():
        nll, ece = (
            _mean(seeds, "splits", last, "shots", most, method, "one", k) for k in ("nll", "ece")
        )
        rows.append([label, f"{nll:.2f}", f"{100 * ece:.1f}", *_spent(seeds, method)])
    return _markdown(
        ["", f"NLL {last}", "ECE %", "steps", "ms", "MFLOP", "tries", "to a good loss"], rows
    )


def _spent(seeds: Sequence[Found], method: str) -> list[str]:
    if method not in seeds[0]["costs"]:
        return [""] * 5
    steps, seconds, flops = (
        _mean(seeds, "costs", method, k)
        for k in ("meta_training_steps", "seconds_per_task", "flops_per_task")
    )
    tried = seeds[0]["chosen"].get(f"setting_{method}", {}).get("tried", "")
    first = method == next(iter(seeds[0]["costs"]))
    starts = [x["fine_tuning"].get("generated" if first else method) for x in seeds]
    good = " / ".join(f"{x['median_steps']:g}" for x in starts if x)
    return [f"{steps:,.0f}", f"{1e3 * seconds:.2g}", f"{flops / 1e6:.0f}", str(tried), good]


def _policies(seeds: Sequence[Found]) -> str:
    (split,) = seeds[0]["splits"]
    labels = seeds[0]["splits"][split]["methods"]
    rows = [
        [
            labels.get(method, {"label": "PPO"})["label"],
            " / ".join(f"{100 * x:.1f}" for x in scores),
            " / ".join(_practice(seeds, method)),
            *_spent(seeds, "diffusion" if method == "generated" else method)[:3],
        ]
        for method, scores in _by_policy(seeds).items()
    ]
    return _markdown(["", "return %", "steps of practice", "steps", "ms", "MFLOP"], rows)


def _mean(seeds: Sequence[Found], *path: str) -> float:
    return float(np.mean([functools.reduce(lambda x, key: x[key], path, one) for one in seeds]))


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    leave(explained(main))

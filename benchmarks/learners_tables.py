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
from mole_jax.core.program.command import explained, leave

MOLE = ("diffusion", "end_to_end")  # the first two rows
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


def accuracies(group: str, one_basis: str = "", of: str = "one") -> str:
    """Return the accuracies (%) of answers at each number of shots, as a table.

    Args:
        group: "glyphs 60 s", say.
        one_basis: the same for MOLE with training runs in one basis, whose rows come first.
        of: "one" answer, or the "mean" of several.
    """
    groups = _groups()
    first = []
    if one_basis:
        first = [
            [f"{label}, one basis", *cells]
            for label, *cells in _accuracy_rows(groups[one_basis], of)[: len(MOLE)]
        ]
    head = ["", *groups[group][0]["splits"]]
    return _markdown(head, [*first, *_accuracy_rows(groups[group], of)])


def costs(group: str) -> str:
    """Return what learners cost, and how good their probabilities are."""
    return _costs(_groups()[group])


def _groups() -> dict[str, list[Found]]:
    groups: dict[str, list[Found]] = {}
    for name, found in machine.known("learners", "found").items():
        groups.setdefault(name.partition(", seed")[0], []).append(found)
    return groups


def _accuracies(seeds: Sequence[Found], of: str) -> str:
    return _markdown(["", *seeds[0]["splits"]], _accuracy_rows(seeds, of))


def _accuracy_rows(seeds: Sequence[Found], of: str) -> list[list[str]]:
    splits = seeds[0]["splits"]
    rows = []
    for method, label in next(iter(splits.values()))["labels"].items():
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
    for method, label in splits[last]["labels"].items():
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
    rows = []
    (split,) = seeds[0]["splits"]
    of = [x["splits"][split] for x in seeds]
    for method in ("generated", "adam", *of[0]["baselines"]):
        own = [x[method] if method in x else x["baselines"][method] for x in of]
        name = "diffusion" if method == "generated" else method
        label = of[0]["methods"].get(method, {"label": "PPO"})["label"]
        chosen = [x["chosen"].get(f"setting_{name}") for x in seeds]
        steps = " / ".join(str(next(iter(c["chosen"].values()))["steps"]) for c in chosen if c)
        rows.append(
            [
                label,
                " / ".join(f"{100 * x['mean']:.1f}" for x in own),
                steps,
                *_spent(seeds, name)[:3],
            ]
        )
    return _markdown(["", "return %", "steps of practice", "steps", "ms", "MFLOP"], rows)


def _mean(seeds: Sequence[Found], *path: str) -> float:
    return float(np.mean([functools.reduce(lambda x, key: x[key], path, one) for one in seeds]))


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    leave(explained(main))

"""Tables of README and docs, made of the JSON that runs left.

    python -m benchmarks.page_tables            renews them
    python -m benchmarks.page_tables --check    says which are not as they would be made

A table stands between two comments in a page, `<!-- table: NAME -->` and `<!-- end of table -->`.
Each name is a function below. Records of experiments are in docs/results/ (benchmarks/record.py),
those of benchmarks in benchmarks/results/.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import learners_tables, machine, record, speed_tables
from benchmarks.representations import tables as representations
from benchmarks.speed_tables import markdown
from mole_jax.core.errors import UserError
from mole_jax.core.program.command import explained, leave
from mole_jax.core.storage import files

ROOT = Path(__file__).parents[1]
FIVE_MINUTES = "glyphs 300 s"
CLASSICAL = ("nearest_neighbour", "nearest_centroid", "logistic_regression", "svm")
# Those that are given warped copies of the examples, too, where the evaluation had them.
WARPED = ("adam_warped", "nearest_neighbour_warped", "svm_warped")
NOT_RIVALS = (*CLASSICAL, "adam_support", *WARPED, *learners_tables.MOLE)  # that are meta-trained
_MARKED = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)
Split = Mapping[str, Any]


def main() -> None:
    """Renew or check the tables of all pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    flags = parser.parse_args()
    stale = [path for path in pages() if renewed(text := path.read_text()) != text]
    for path in stale:
        if not flags.check:
            files.write_bytes(path, renewed(path.read_text()).encode())
        print(f"{'stale' if flags.check else 'renewed'}: {path.relative_to(ROOT)}")
    if stale and flags.check:
        raise UserError("tables differ from their JSON: run python -m benchmarks.page_tables")


def pages() -> list[Path]:
    """Return all pages that may have tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def renewed(text: str) -> str:
    """Return a page with its tables made again. Raise UserError for a name that is none."""

    def table(found: re.Match[str]) -> str:
        if found[2] not in TABLES:
            raise UserError(f"there is no table {found[2]!r}: choose among {', '.join(TABLES)}")
        return f"{found[1]}{TABLES[found[2]]()}\n{found[3]}"

    return _MARKED.sub(table, text)


def headline() -> str:
    """Return README's table of known classes, environments and sizes: against full training."""
    demo, carts = known("digits_mlp", "S1"), known("cartpole_cpu", "S1")
    sizes = [s for name, s in of("digits_mlps_cpu")["splits"].items() if name.startswith("S4")]
    rows = [
        [
            "digits: 5 known classes in a new combination (`make demo`)",
            _with(demo["generated"]),
            _percent(demo["adam"]["mean"]),
            f"{_cut()}; {_best_rivals(machine.known('learners', 'found')['digits 60 s, seed 0'])}",
        ],
        [
            "cartpole: policies for new physics, return in % of the largest",
            _with(carts["generated"]),
            f"{_percent(carts['adam']['mean'])} (PPO)",
            f"{_practised()}; {_best(carts)}",
        ],
        [
            f"digits: MLPs of {len(sizes)} sizes that no training network had",
            _range([s["generated"]["mean"] for s in sizes]),
            _range([s["adam"]["mean"] for s in sizes]),
            f"{_range([s['baselines']['adam_support']['mean'] for s in sizes])}, "
            "Adam on the support set",
        ],
    ]
    head = ["known classes", "MOLE, diffusion", "Adam, all training data", "rivals"]
    return markdown(head, rows)


def _cut() -> str:
    """Return what one network of all digits has, cut to those of a task; see `one_network`."""
    mean = float(np.mean(list(machine.known("one_network", "accuracy").values())))
    return f"{_percent(mean)}, one network of all ten digits, cut to five"


def _practised() -> str:
    """Return what the best ancestor has on cartpole, which practises in the new cart."""
    seeds = [v for k, v in machine.known("learners", "found").items() if k.startswith("cartpole")]
    of = [next(iter(found["splits"].values()))["baselines"] for found in seeds]
    names = [name for name in of[0] if name in seeds[0]["costs"]]
    means = {name: float(np.mean([own[name]["mean"] for own in of])) for name in names}
    best = max(means, key=lambda name: means[name])
    label = next(iter(seeds[0]["splits"].values()))["methods"][best]["label"]
    return f"{_percent(means[best])}, {_lowered(label)} with practice in the new cart"


def _best_rivals(found: Mapping[str, Any]) -> str:
    """Return the best on the demo's 50 images: of what is meta-trained, and of all else."""
    own = found["splits"]["S1"]
    here, plain = own["shots"]["10"], (*CLASSICAL, "adam_support")
    trained = [name for name in here if name not in NOT_RIVALS]
    best = (max(names, key=lambda k: here[k]["one"]["accuracy"]) for names in (trained, plain))
    return "; ".join(
        f"{_percent(here[k]['one']['accuracy'])}, {_lowered(own['labels'][k])}" for k in best
    )


def new_classes() -> str:
    """Return README's table of new classes: everybody learns from the same few examples."""
    rows = []
    for split, what in (("S2", "new characters"), ("S3-digits", "digits, none in training")):
        own = known("glyphs_cnn_aligned", split)["few_shot"]
        for shots, here in own["shots"].items():
            trained, labels = _meta_learners(split, shots)
            labels |= own["labels"]
            plain = (*CLASSICAL, "adam_support", *WARPED)
            others = {name: here[name] for name in plain if name in here}
            best = (
                max(each, key=lambda k: each[k]["mean"]["accuracy"]) for each in (trained, others)
            )
            eight = known("glyphs_cnn_any", split)["few_shot"]["shots"][shots]["end_to_end"]
            rows.append(
                [
                    what,
                    shots,
                    _with(here["end_to_end_polished"]["one"], "accuracy"),
                    _percent(eight["mean"]["accuracy"]),
                    *(
                        f"{_percent(mean)}, {_lowered(labels[k])}"
                        for k in best
                        for mean in [(here | trained)[k]["mean"]["accuracy"]]
                    ),
                ]
            )
    return markdown(
        [
            *("new classes", "examples a class", "MOLE in one basis, one network"),
            *("`glyphs-8`, mean of eight", "best other meta-learner"),
            "best without meta-training",
        ],
        rows,
    )


def _meta_learners(split: str, shots: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the CNN's other meta-learners have, and their labels, with and without warps."""
    found, labels = {}, {}
    for record_, ending in (
        ("glyphs_cnn_any", ""),
        ("glyphs_cnn_any_warped", "warped"),
        ("glyphs_cnn_any_long", "warped, half an hour"),
    ):
        own = known(record_, split)["few_shot"]
        for name, label in own["labels"].items():
            if name not in NOT_RIVALS:
                key = f"{name}_{ending}"
                found[key] = own["shots"][shots][name]
                labels[key] = f"{label}, {ending}" if ending else label
    return found, labels


def on_convolutions() -> str:
    """Return accuracies from few examples by the CNN of glyphs-8: one network / mean of eight."""
    long, short = of("glyphs_cnn_aligned"), of("glyphs_cnn_aligned_five_minutes")
    plain, plain_short = of("glyphs_cnn_any"), of("glyphs_cnn_any_five_minutes")
    warped, as_long = of("glyphs_cnn_any_warped"), of("glyphs_cnn_any_long")
    rows = [
        _few_shot_row(short, "end_to_end", "MOLE in one basis, five minutes"),
        _few_shot_row(short, "end_to_end_polished", "the same, polished"),
        _few_shot_row(long, "end_to_end", "MOLE in one basis, 3,000 steps"),
        _few_shot_row(long, "end_to_end_polished", "the same, polished"),
        _few_shot_row(plain_short, "end_to_end", "MOLE without one basis, five minutes"),
        _few_shot_row(plain, "end_to_end", "MOLE without one basis, 3,000 steps (`glyphs-8`)"),
    ]
    for found, more in (
        (as_long, ", the same warps, half an hour"),
        (warped, ", the same warps"),
        (plain, ""),
    ):
        labels = next(iter(_with_few_shot(found).values()))["labels"]
        names = [name for name in labels if name not in NOT_RIVALS]
        rows += [_few_shot_row(found, name, f"{labels[name]}{more}") for name in names]
    labels = next(iter(_with_few_shot(long).values()))["labels"]
    names = [name for name in labels if name in NOT_RIVALS and name not in learners_tables.MOLE]
    rows += [_few_shot_row(long, name, labels[name]) for name in names]
    head = [f"{split}, {n}" for split, own in _with_few_shot(long).items() for n in own["shots"]]
    return markdown(["", *head], rows)


def on_convolutions_again() -> str:
    """Return the same after five minutes with another seed, MOLE next to MAML."""
    found = of("glyphs_cnn_aligned_seed1")
    rows = [
        _few_shot_row(found, "end_to_end", "MOLE in one basis"),
        _few_shot_row(found, "end_to_end_polished", "the same, polished"),
        _few_shot_row(found, "maml", "MAML, the same warps"),
    ]
    head = [f"{split}, {n}" for split, own in _with_few_shot(found).items() for n in own["shots"]]
    return markdown(["", *head], rows)


def _few_shot_row(found: Mapping[str, Any], method: str, label: str) -> list[str]:
    cells = []
    for own in _with_few_shot(found).values():
        for here in own["shots"].values():
            one, mean = (here[method][k]["accuracy"] for k in ("one", "mean"))
            together = method in (*learners_tables.MOLE, "adam_support")
            cells.append(f"{_percent(one)} / {_percent(mean)}" if together else _percent(one))
    return [label, *cells]


def _with_few_shot(found: Mapping[str, Any]) -> dict[str, Any]:
    return {k: own["few_shot"] for k, own in found["splits"].items() if "few_shot" in own}


def known_classes() -> str:
    """Return the table of configs whose test classes were trained on, in new combinations."""
    named = {
        "digits_mlp": "the demo, MLP 64-16-5",
        "digits_mlp_seed1": "the same, seed 1",
        "fashion_mlp": "MLP 784-10-5, Fashion-MNIST",
        "cifar10_cnn_cpu": "CNN, digits",
        "vit_tiny_cpu": "ViT, digits",
        "cartpole_cpu": "policy 4-16-1, new carts (return; PPO)",
    }
    rows = []
    for name, what in named.items():
        split = known(name, "S1")
        regression = split["baselines"].get("regression")
        rows.append(
            [
                what,
                _with(split["generated"]),
                _with(regression) if regression else "",
                _with(split["adam"]),
                _points(split["regret_mean"]),
                _best(split),
                _number(split.get("prompt_alignment", {}).get("r2_mean")),
            ]
        )
    return markdown(
        [
            *("", "MOLE, %", "the same without noise, %", "Adam, all images, %"),
            *("regret, points", "best baseline, %", "R²"),
        ],
        rows,
    )


def network_costs() -> str:
    """Return what a network costs by MOLE, and by Adam until it is as good."""
    rows = []
    for name, what in {
        "digits_mlp": "the demo, 1,125 parameters",
        "fashion_mlp": "Fashion-MNIST, 7,905",
        "cifar10_cnn_cpu": "CNN, 1,333",
        "vit_tiny_cpu": "ViT, 2,677",
        "cartpole_cpu": "policy, 98 (PPO)",
    }.items():
        cost = known(name, "S1")["cost"]
        cells = [what]
        for key in ("seconds_per_network", "seconds_alone"):
            ours, adams = cost[key], cost["adam"][key]
            cells += [f"{1e3 * ours:.2g}", f"{1e3 * adams:.2g}", f"{adams / ours:.2g}"]
        rows.append(cells)
    return markdown(
        [
            *("network", "in a batch of 64: MOLE, ms", "Adam, ms", "Adam / MOLE"),
            *("alone: MOLE, ms", "Adam, ms", "Adam / MOLE"),
        ],
        rows,
    )


def shipped() -> str:
    """Return how the models in the package do on images of other data sets."""
    rows = []
    for data, by_shots in machine.known("shipped_models", "rows").items():
        for shots, found in by_shots.items():
            if shots not in ("1", "10"):
                continue
            means = {k: float(np.mean(x)) for k, x in found["accuracy"].items()}
            ours = next(k for k in means if k.endswith("mean of 8"))
            polished = f"{ours}, polished"  # from five examples a class on
            ours = polished if polished in means else ours
            best = max((k for k in means if not k.startswith("glyphs")), key=lambda k: means[k])
            rows.append(
                [
                    data,
                    shots,
                    f"{ours.partition(',')[0]} {_percent(means[ours])}",
                    f"{best} {_percent(means[best])}",
                    _points(means[ours] - means[best]),
                ]
            )
    return markdown(
        ["images", "examples a class", "mean of 8 networks, %", "best rival, %", "gain, points"],
        rows,
    )


TABLES: dict[str, Callable[[], str]] = {
    "headline": headline,
    "new-classes": new_classes,
    "known-classes": known_classes,
    "network-costs": network_costs,
    "shipped": shipped,
    "populations": speed_tables.populations,
    "blocks": speed_tables.blocks,
    "samplers": speed_tables.samplers,
    "learners-convolutions": on_convolutions,
    "learners-convolutions-again": on_convolutions_again,
    "learners-equal": functools.partial(learners_tables.accuracies, "equal 60 s"),
    "learners-a-minute": functools.partial(learners_tables.accuracies, "glyphs 60 s"),
    "learners-unwarped": functools.partial(learners_tables.accuracies, "unwarped 60 s"),
    "learners-costs": functools.partial(learners_tables.costs, "glyphs 60 s"),
    "learners-equal-costs": functools.partial(learners_tables.costs, "equal 60 s"),
    "learners-five-minutes": functools.partial(learners_tables.accuracies, FIVE_MINUTES),
    "learners-five-minutes-costs": functools.partial(learners_tables.costs, FIVE_MINUTES),
    "learners-elsewhere": learners_tables.elsewhere,
    "learners-known-digits": functools.partial(learners_tables.accuracies, "digits 60 s"),
    "learners-known-digits-costs": functools.partial(learners_tables.costs, "digits 60 s"),
    "learners-clothes": functools.partial(learners_tables.accuracies, "clothes 60 s"),
    "representations-mlp": functools.partial(representations.table, "media", "mlp"),
    "representations-others": functools.partial(representations.others, ("cnn", "vit", "cartpole")),
}


def of(name: str) -> dict[str, Any]:
    """Return the record of an experiment."""
    path = record.FOLDER / f"{name}.json"
    if not path.exists():
        raise UserError(f"{path} is missing: make it by python -m benchmarks.record WORKDIR {name}")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def known(name: str, split: str) -> Split:
    """Return what an experiment's record has of a split."""
    found: Split = of(name)["splits"][split]
    return found


def _best(split: Split) -> str:
    """Return the best baseline that is no meta-model of MOLE's own, with its name."""
    names = {
        "adam_support": "Adam on the support set",
        "retrieval": "retrieval",
        "soup": "soup",
        "noise": "a training network with noise",
    }
    found = {k: x["mean"] for k, x in split["baselines"].items() if k in names}
    if not found:
        return "not measured"
    best = max(found, key=lambda k: found[k])
    return f"{_percent(found[best])}, {names[best]}"


def _lowered(label: str) -> str:
    """Return a label as it stands in a sentence; acronyms stay."""
    return label if any(c.isupper() for c in label[1:]) else label[:1].lower() + label[1:]


def _with(found: Split, key: str = "mean") -> str:
    low, high = (100 * x for x in found["ci95"])
    return f"{100 * found[key]:.1f} ({low:.1f} to {high:.1f})"


def _percent(x: float) -> str:
    return f"{100 * x:.1f}"


def _points(x: float) -> str:
    return f"{round(100 * x, 1) + 0.0:.1f}"  # no minus before zero


def _range(found: Sequence[float]) -> str:
    return f"{100 * min(found):.1f} to {100 * max(found):.1f}"


def _number(x: float | None) -> str:
    return "" if x is None else f"{x:.2f}"


if __name__ == "__main__":
    leave(explained(main))

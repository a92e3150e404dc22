"""What the numbers say: the main split, the best baseline, and who wins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mole_jax.report import numbers

Result = Mapping[str, Any]  # one split in evaluation.json
Quality = Mapping[str, Any]  # one method on one split in evaluation.json

SPLIT_NAMES = {
    "S0": "unseen runs of seen data subsets",
    "S1": "unseen data subsets",
    "S2": "unseen classes",
    "S2any": "some unseen classes",
    "S3": "unseen data sets",
    "S4": "unseen architectures",
}

# The report names these two; the names of other methods are recorded.
METHOD_NAMES = {"generated": "MOLE (generated)", "adam": "Adam (trained)"}

# Ordinary optimizers: reference lines, not rival ways of making weights without training.
_OPTIMIZERS = ("adam", "sgd")


@dataclass(frozen=True)
class Method:
    """One row of the comparison: its key, its name for a reader, and its quality."""

    key: str
    name: str
    quality: Quality

    @property
    def mean(self) -> float:
        value = self.quality.get("mean")
        return value if numbers.known(value) else float("-inf")


def metric(result: Result) -> str:
    """Name a network's score: "accuracy", or "return" as a share of the largest one."""
    return str(result.get("metric", "accuracy"))


def split_name(split: str) -> str:
    """Return the split's code with what it holds out: 'S1, unseen data subsets'."""
    held_out = _held_out(split)
    return f"{split}, {held_out}" if held_out else split


def _held_out(split: str) -> str:
    """Return what a split holds out.

    "S3-NAME" is the unseen data set of that name, "S4-24-12" are MLPs with layers of these widths.
    """
    code, _, which = split.partition("-")
    if which and code == "S4":
        own = (
            f"hidden layers of {which} units" if which[0].isdigit() else f"networks of kind {which}"
        )
        return f"{own}, unseen"
    return f"the unseen data set {which}" if which else SPLIT_NAMES.get(code, "")


def method_name(result: Result, key: str) -> str:
    """Return a method's name for a reader, made from the key if no name is recorded."""
    named = METHOD_NAMES.get(key) or described(result, key).get("label")
    return str(named or key.replace("_", " ").capitalize())


def described(result: Result, key: str) -> Mapping[str, Any]:
    """Return label, sentence and training steps of a method, as far as they are recorded."""
    return result.get("methods", {}).get(key, {})


def main_split(splits: Mapping[str, Result]) -> str:
    """Return the headline's split: S1 (unseen data subsets) if there is one, else the first."""
    return "S1" if "S1" in splits else next(iter(splits))


def hardest_first(splits: Mapping[str, Result]) -> list[tuple[str, Result]]:
    """Return the splits from what is farthest from training to what is nearest."""
    kinds = ("S3", "S2", "S4", "S1", "S0")

    def place(split: str) -> int:
        return next((i for i, kind in enumerate(kinds) if split.startswith(kind)), len(kinds))

    return sorted(splits.items(), key=lambda item: place(item[0]))


def methods(result: Result) -> list[Method]:
    """List the methods of a split: generated, Adam, then the baselines from best to worst mean."""
    rows = [
        Method(key, method_name(result, key), result[key])
        for key in ("generated", "adam")
        if key in result
    ]
    others = [
        Method(key, method_name(result, key), q)
        for key, q in result.get("baselines", {}).items()
        if key not in ("generated", "adam")
    ]
    return rows + sorted(others, key=lambda method: -method.mean)


def best_baseline(result: Result) -> Method | None:
    """Return the baseline with the best mean, ordinary optimizers aside; None without any."""
    rivals = [m for m in methods(result) if m.key != "generated" and not is_optimizer(m.key)]
    return max(rivals, key=lambda method: method.mean, default=None)


def best_few_shot(methods: Mapping[str, Any]) -> str:
    """Return the method whose mean of networks is the most accurate at a number of shots."""
    return max(methods, key=lambda key: methods[key]["mean"]["accuracy"])


def in_sentence(name: str) -> str:
    """Return a method's name as it stands within a sentence: end to end, first-order MAML."""
    return " ".join(w.lower() if w[1:] == w[1:].lower() else w for w in name.split())


def is_optimizer(key: str) -> bool:
    """Return True for Adam and SGD in every variant: reference lines, not rivals."""
    return key.split("_")[0] in _OPTIMIZERS


def compare(ours: Quality, theirs: Quality) -> str:
    """Return 'better' or 'worse', or 'level' if intervals overlap or are unknown.

    The interval of the difference on the same tasks decides, if it is recorded; else whether the
    two methods' own intervals overlap.
    """
    paired = theirs.get("gain_ci95")
    if paired and all(numbers.known(v) for v in paired):
        return "better" if paired[0] > 0 else "worse" if paired[1] < 0 else "level"
    mine, other = ours.get("ci95"), theirs.get("ci95")
    if not mine or not other or not all(numbers.known(v) for v in [*mine, *other]):
        return "level"
    if mine[0] > other[1]:
        return "better"
    return "worse" if mine[1] < other[0] else "level"


def headline(result: Result, split: str) -> list[str]:
    """Write the result for newcomers; say so when a baseline or Adam is better."""
    generated = result["generated"]
    what = metric(result)
    sentences = [
        f"On {result['n_tasks']} {SPLIT_NAMES.get(split, split)} MOLE predicted "
        f"{result['n_networks']} networks, without any training on them. "
        f"Their mean test {what} is {numbers.percent(generated.get('mean'))} "
        f"(95 % interval {numbers.interval(generated.get('ci95'))})."
    ]
    if "adam" in result:
        sentences.append(_against_adam(result))
    best = best_baseline(result)
    sentences.append(_against_best(generated, best))
    support_only = result.get("baselines", {}).get("adam_support")
    if support_only is not None:
        sentences.append(_against_support(generated, support_only))
    return sentences


def beyond(splits: Mapping[str, Result], main: str) -> list[str]:
    """Write sentences on splits harder than the headline's: unseen classes, data sets, networks."""
    sentences = []
    of_sizes = {split: result for split, result in splits.items() if split.startswith("S4")}
    if of_sizes:
        sentences.append(_of_sizes(of_sizes))
    for split, result in splits.items():
        if split == main or not split.startswith(("S2", "S3")):
            continue
        generated, adam = result["generated"], result.get("adam", {})
        sentences.append(
            f"On {_counted(result['n_tasks'])} of {_held_out(split)} ({split}) its networks "
            f"reach {numbers.percent(generated.get('mean'))}, Adam from the same starts "
            f"{numbers.percent(adam.get('mean'))}."
        )
        sentences.append(_against_best(generated, best_baseline(result)))
        support_only = result.get("baselines", {}).get("adam_support")
        if support_only is not None:
            sentences.append(_against_support(generated, support_only))
    return sentences


def _of_sizes(splits: Mapping[str, Result]) -> str:
    """Write a sentence on networks that no training network is like: from the worst to the best."""
    names = ", ".join(split.partition("-")[2] for split in splits)
    ranges = [
        " to ".join(
            numbers.percent(of([r[key]["mean"] for r in splits.values()])) for of in (min, max)
        )
        for key in ("generated", "adam")
        if all(key in r for r in splits.values())
    ]
    adam = f", Adam from the same starts {ranges[1]}" if len(ranges) > 1 else ""
    return (
        f"Networks of {len(splits)} kinds absent from training (S4: {names}) reach "
        f"{ranges[0]} on unseen data subsets{adam}."
    )


def _counted(n_tasks: int) -> str:
    return "1 data subset" if n_tasks == 1 else f"{n_tasks} data subsets"


def _against_adam(result: Result) -> str:
    regret, ci = result.get("regret_mean"), result.get("regret_ci95")
    text = (
        f"Adam, trained from the same starts, reaches {numbers.percent(result['adam'].get('mean'))}"
    )
    if not numbers.known(regret):
        return text + "."
    side = "ahead of" if regret > 0 else "behind"
    text += (
        f": {numbers.number(abs(100 * regret), 2)} points {side} MOLE "
        f"(regret {numbers.points(regret)} points, 95 % interval {numbers.interval_points(ci)})"
    )
    if ci and all(numbers.known(v) for v in ci) and ci[0] <= 0.0 <= ci[1]:
        text += ", a difference that these tasks cannot distinguish from zero"
    return text + "."


def _against_best(generated: Quality, best: Method | None) -> str:
    if best is None:
        return "No baseline was evaluated, so nothing here says whether the model was needed."
    score = f"{in_sentence(best.name)} at {numbers.percent(best.quality.get('mean'))}"
    difference = abs(100 * (generated["mean"] - best.mean))
    gap = f"{numbers.number(difference, 2)} points"
    paired = best.quality.get("gain_ci95")
    evidence = (
        f"95 % interval of the difference {numbers.interval_points(paired)}"
        if paired
        else "with intervals apart"
    )
    match compare(generated, best.quality):
        case "better":
            return f"The best baseline is {score}; MOLE is {gap} better, {evidence}."
        case "worse":
            return f"The best baseline is {score}, and it beats MOLE by {gap}, {evidence}."
    evidence = evidence if paired else "the intervals overlap"
    if generated["mean"] < best.mean:
        return f"The best baseline is {score}, {gap} above MOLE; {evidence}."
    return f"The best baseline is {score}, {gap} below MOLE; {evidence}, so call it level."


def _against_support(generated: Quality, support_only: Quality) -> str:
    score = numbers.percent(support_only.get("mean"))
    verdict = {
        "better": "less than MOLE does with the same examples",
        "worse": "more than MOLE does with the same examples",
        "level": "level with MOLE, which sees the same examples",
    }[compare(generated, support_only)]
    return f"Adam trained on nothing but the support set reaches {score}, {verdict}."

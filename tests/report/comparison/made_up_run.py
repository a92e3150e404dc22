"""A workdir that was never run: a small zoo, an evaluation of it, and the scores of its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mole_jax.core.program import stages
from mole_jax.core.storage.files import write_json, write_npz
from mole_jax.tasks.parameters import ParameterField, ParameterSpec
from mole_jax.tasks.subsets import DataSubset
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter
from tests.report import synthetic

TASKS, STARTS = 4, 2  # held-out tasks and as many that are trained on; networks of a held-out one


def config(**changes: Any) -> dict[str, Any]:
    """A small config; changes are dotted keys with __ for dots."""
    found: dict[str, Any] = {
        "seed": 0,
        "data": {"support_per_class": 10},
        "population": {"members": 3},
        "evaluation": {"s0_tasks": TASKS, "starts": STARTS},
    }
    for key, value in changes.items():
        section, _, name = key.rpartition("__")
        (found[section] if section else found)[name] = value
    return found


def scores(shift: float = 0.0, unseen: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Test scores by split, [generated and Adam, T, N]."""
    rng = np.random.default_rng(0)
    own = {"S0": (TASKS, 1), "S1": (TASKS, STARTS)}
    own |= {f"S4-{name}": (TASKS, STARTS) for name in unseen}
    found = {}
    for split, shape in own.items():
        hard = rng.uniform(0.5, 0.9, (TASKS, 1))  # of some tasks all networks are worse
        adam = hard + rng.uniform(0, 0.01, shape)
        found[split] = np.stack([adam - 0.05 + shift, adam]).astype(np.float32)
    return found


def evaluation(of: dict[str, np.ndarray], settings: dict[str, Any]) -> dict[str, Any]:
    """What evaluation.json says of scores."""
    record = synthetic.evaluation()
    record["config"] = settings
    for split, (generated, adam) in of.items():
        result = record["splits"].setdefault(split, synthetic.result())
        result |= {"n_tasks": len(adam), "n_networks": adam.size}
        for name, values in (("generated", generated), ("adam", adam)):
            mean = float(values.mean())
            result[name] |= {"mean": mean, "ci95": [mean - 0.02, mean + 0.02]}
    return record


def write(
    workdir: Path,
    shift: float = 0.0,
    members: int = 3,
    ids: str = "digits",
    images: str = "abc",
    unseen: Sequence[str] = (),
    **changes: Any,
) -> Path:
    """Write a workdir; returns it."""
    settings = config(population__members=members, **changes)
    write_json(workdir / stages.MARK, {"format": stages.FORMAT, "version": stages.VERSION})
    of = scores(shift, unseen)
    synthetic.write(workdir, evaluation(of, settings))
    for split, score in of.items():
        results = workdir / "evaluate" / "results"
        write_npz(results / f"quality.{split}.npz", names=["generated", "adam"], score=score)
        loss = np.ones((*score.shape[1:], 3), np.float32)
        write_npz(results / f"adam.{split}.npz", steps=[0, 5, 10], test_loss=loss)
    _zoo(workdir / "zoo", members, ids, images, unseen)
    return workdir


def _zoo(path: Path, members: int, ids: str, images: str, unseen: Sequence[str]) -> None:
    tasks = [DataSubset(f"{ids}-{i}", (i, i + 1), "train") for i in range(TASKS)]
    tasks += [DataSubset(f"{ids}-held-out-{i}", (0, i + 9), "S1") for i in range(TASKS)]
    tasks += [
        DataSubset(f"{ids}-{i}-net{name}", (0, i + 9), "S4", network=name)
        for name in unseen
        for i in range(TASKS)
    ]
    schema = ZooSchema(
        name="made up",
        spec=ParameterSpec((ParameterField("bias", (1,), "float32", 0),)),
        network={"name": "mlp"},
        steps=(0, 10),
        metrics=(),
        tasks=tuple(tasks),
        splits={"pools": {"test": {"n": 9, "sha256": "00"}}},
        config={},
        provenance={"images_sha256": images},
        hyperparameters=(),
    )
    member = np.tile(np.arange(members), len(tasks))
    subset = np.repeat(np.arange(len(tasks)), members)
    of_task = np.array([task.split for task in tasks])[subset]
    split = np.where((of_task == "train") & (member == members - 1), "S0", of_task)
    ZooWriter.create(path, schema).append(
        RunBatch(
            parameters=np.zeros((len(member), 2, 1), np.float32),
            metrics={},
            subset=subset,
            split=split,
            member=member,
            seed=np.zeros(len(member), int),
            finite=np.ones(len(member), bool),
            hyperparameters={},
        )
    )

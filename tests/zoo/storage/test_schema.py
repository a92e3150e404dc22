"""The schema's JSON is its inverse's input, and batches that do not fit are named."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest

from mole_jax.tasks.parameters import ParameterField, ParameterSpec
from mole_jax.tasks.subsets import DataSubset
from mole_jax.zoo.storage.schema import (
    OPTIMIZERS,
    RUN_SPLITS,
    RunBatch,
    ZooSchema,
    batch_columns,
    schema_faults,
)

Make = Callable[..., ZooSchema]
MakeBatch = Callable[..., RunBatch]


def test_json_round_trip(make_schema: Make) -> None:
    schema = make_schema()
    text = json.dumps(schema.to_json())
    again = ZooSchema.from_json(json.loads(text))
    assert again.to_json() == schema.to_json()
    assert again.spec == schema.spec
    assert again.tasks == schema.tasks
    assert again.steps == schema.steps


def test_configs_of_older_zoos_get_todays_names(make_schema: Make) -> None:
    stored = make_schema().to_json() | {"config": {"seed": 1, "zoo": {"reading": "host"}}}
    assert ZooSchema.from_json(stored).config == {"seed": 1, "zoo": {"placement": "host"}}


IMPORTED = {
    "prompt_metric": "test_error",
    "metric_dtype": "float64",
    "snapshot_fields": ("epoch", "iteration"),
    "run_names": ("a", "b", "c"),
    "hyperparameters": ("learning_rate",),
    "config": {"import": {"format": "other"}},
}


def test_what_only_imported_zoos_have_is_left_out_of_others(make_schema: Make) -> None:
    own, imported = make_schema(), make_schema(**IMPORTED)
    assert not set(IMPORTED) - {"config"} & set(own.to_json())
    again = ZooSchema.from_json(imported.to_json())
    for name, value in IMPORTED.items():
        assert getattr(again, name) == value
    assert again.imported and not own.imported
    # As zoos of earlier MOLEs are.
    assert ZooSchema.from_json(own.to_json()) == dataclasses.replace(
        own, network=own.to_json()["network"]
    )


def test_columns_of_an_imported_zoo(make_schema: Make, make_batch: MakeBatch) -> None:
    schema = make_schema(**IMPORTED)
    batch = make_batch(4)
    iteration = np.arange(12).reshape(4, 3)
    batch = dataclasses.replace(
        batch,
        metrics={name: np.asarray(x, np.float64) / 3 for name, x in batch.metrics.items()},
        snapshots={"epoch": iteration // 4, "iteration": iteration},
        hyperparameters={"learning_rate": batch.hyperparameters["learning_rate"]},
    )
    columns = batch_columns(schema, batch)
    np.testing.assert_array_equal(columns["snapshots/iteration"], iteration)
    np.testing.assert_array_equal(columns["metrics/train_loss"], batch.metrics["train_loss"])
    assert "runs/learning_rate" in columns and "runs/optimizer" not in columns
    with pytest.raises(ValueError, match=r"snapshots: missing \['epoch', 'iteration'\]"):
        batch_columns(schema, dataclasses.replace(batch, snapshots={}))
    with pytest.raises(ValueError, match="stores float64"):
        batch_columns(schema, dataclasses.replace(batch, metrics=make_batch(4).metrics))


def test_json_takes_numpy_values(make_schema: Make) -> None:
    schema = make_schema(config={"rate": np.float32(0.5), "sizes": np.arange(3)})
    assert schema.to_json()["config"] == {"rate": 0.5, "sizes": [0, 1, 2]}


def test_task_table_with_gaps_is_refused(make_schema: Make) -> None:
    obj = make_schema().to_json()
    obj["tasks"][1]["index"] = 2
    with pytest.raises(ValueError, match="indices"):
        ZooSchema.from_json(obj)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "int32"}, "dtype"),
        ({"runs_per_chunk": 3}, "multiple"),
        ({"runs_per_chunk": 0}, "multiple"),
        ({"runs_per_shard": 0}, "multiple"),
        ({"steps": ()}, "steps"),
        ({"steps": (0, 10, 10)}, "steps"),
        ({"tasks": ()}, "task table"),
    ],
)
def test_impossible_schemas_are_refused(
    make_schema: Make, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_schema(**changes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metric_dtype": "float16"}, "metric_dtype is 'float16'"),
        ({"hyperparameters": ("momentum",)}, "hyperparameters are"),
    ],
)
def test_impossible_choices_of_an_imported_zoo_are_refused(
    make_schema: Make, change: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        make_schema(**change)


def test_faults_of_a_schema(make_schema: Make) -> None:
    assert schema_faults(make_schema()) == []
    train, held_out = DataSubset("a", (0, 1), "train"), DataSubset("b", (1, 0), "S1")
    (fault,) = schema_faults(make_schema(tasks=(train, held_out)))
    assert "b (S1) is the same as a (train)" in fault
    (fault,) = schema_faults(make_schema(tasks=(train, train)))
    assert "task a is there twice" in fault
    (fault,) = schema_faults(make_schema(metrics=("loss", "loss")))
    assert "metric loss is there twice" in fault
    gap = ParameterSpec((ParameterField("output/bias", (3,), "float32", 1),))
    (fault,) = schema_faults(make_schema(spec=gap))
    assert "output/bias is at offset 1" in fault


def test_columns_hold_the_batch(make_schema: Make, make_batch: MakeBatch) -> None:
    batch = make_batch(6)
    columns = batch_columns(make_schema(), batch)
    np.testing.assert_array_equal(columns["parameters"], batch.parameters)
    assert [RUN_SPLITS[code] for code in columns["runs/split"]] == batch.split
    optimizers = [OPTIMIZERS[code] for code in columns["runs/optimizer"]]
    assert optimizers == batch.hyperparameters["optimizer"].tolist()
    np.testing.assert_array_equal(columns["runs/seed"], batch.seed)


def bad_batches(batch: RunBatch) -> dict[str, RunBatch]:
    rates = batch.hyperparameters
    nan = batch.parameters.copy()
    nan[2, 1, 0] = np.nan
    lossless = {**batch.metrics, "train_loss": batch.metrics["train_loss"] * np.float32(np.inf)}
    return {
        "parameters has shape": dataclasses.replace(batch, parameters=batch.parameters[:, :2]),
        "dtype float64": dataclasses.replace(batch, parameters=batch.parameters.astype(float)),
        "missing \\['test_accuracy'\\]": dataclasses.replace(
            batch, metrics={"train_loss": batch.metrics["train_loss"]}
        ),
        "train_loss has shape": dataclasses.replace(
            batch, metrics={**batch.metrics, "train_loss": batch.metrics["train_loss"][:3]}
        ),
        "has subset 3, but the task table holds 0..2": dataclasses.replace(
            batch, subset=np.full(6, 3)
        ),
        "has subset -1": dataclasses.replace(batch, subset=np.full(6, -1)),
        "subset must be integers": dataclasses.replace(batch, subset=np.zeros(6)),
        "unknown split test": dataclasses.replace(batch, split=["test"] * 6),
        "its task digits-3of10-0.1.2 is in 'train'": dataclasses.replace(
            batch, subset=np.zeros(6, int), split=["S1"] * 6
        ),
        "its task digits-3of10-0.4.5 is in 'S1'": dataclasses.replace(
            batch, subset=np.full(6, 2), split=["train"] * 6
        ),
        "member has shape": dataclasses.replace(batch, member=np.arange(5)),
        "member does not fit": dataclasses.replace(batch, member=np.full(6, 2**40)),
        r"seed must lie in 0\.\.4294967295": dataclasses.replace(batch, seed=np.full(6, 2**32)),
        "seed must be integers": dataclasses.replace(batch, seed=np.full(6, 0.5)),
        "finite has dtype": dataclasses.replace(batch, finite=np.ones(6, int)),
        "unknown optimizer lion": dataclasses.replace(
            batch, hyperparameters={**rates, "optimizer": ["lion"] * 6}
        ),
        "learning_rate of run 0 is not finite": dataclasses.replace(
            batch, hyperparameters={**rates, "learning_rate": np.full(6, np.nan)}
        ),
        "unexpected \\['momentum'\\]": dataclasses.replace(
            batch, hyperparameters={**rates, "momentum": np.ones(6)}
        ),
        "run 2 of the batch is marked finite, but its parameters": dataclasses.replace(
            batch, parameters=nan
        ),
        "marked finite, but its metrics/train_loss": dataclasses.replace(batch, metrics=lossless),
    }


def test_batches_that_do_not_fit_are_named(make_schema: Make, make_batch: MakeBatch) -> None:
    for message, batch in bad_batches(make_batch(6)).items():
        with pytest.raises(ValueError, match=message):
            batch_columns(make_schema(), batch)

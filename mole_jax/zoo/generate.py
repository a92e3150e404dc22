"""The zoo stage: train populations, group of data subsets by group, and store their histories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core import mesh as mesh_lib
from mole_jax.core import rng
from mole_jax.core.config import sections
from mole_jax.core.progress import Progress
from mole_jax.core.provenance import environment
from mole_jax.population import engine, hyperparameters, member, recipes
from mole_jax.population.hyperparameters import OPTIMIZERS, Hyperparameters
from mole_jax.population.member import History
from mole_jax.tasks import family as families
from mole_jax.tasks import networks
from mole_jax.tasks.family import TaskFamily
from mole_jax.zoo.reader import open_zoo
from mole_jax.zoo.schema import RunBatch, ZooSchema
from mole_jax.zoo.store import ZooWriter


def generate(config: Mapping[str, Any], workdir: Path) -> None:
    """Write the zoo of `config` to WORKDIR/zoo, going on after the last group that is there.

    Every data subset has `population.members` runs. A run depends on the seed, its data subset
    and its member number only, so a resumed zoo is the zoo of an uninterrupted run.
    """
    family = families.build(config)
    mesh = mesh_lib.make_mesh()
    schema = make_schema(config, family)
    path = Path(workdir) / "zoo"
    exists = (path / "zoo.json").exists()
    writer = ZooWriter.open(path, schema) if exists else ZooWriter.create(path, schema)

    members = config["population"]["members"]
    group = config["zoo"]["subsets_per_group"]
    total = len(family.subsets) * members
    failed = writer.n_runs - len(open_zoo(writer.path).select(finite=True))  # before a resume
    with Progress("zoo", total=total, unit="runs", initial=writer.n_runs) as bar:
        for first in range(writer.n_runs // members, len(family.subsets), group):
            subsets = np.arange(first, min(first + group, len(family.subsets)))
            hyper, history = train_subsets(config, family, subsets, mesh)
            batch = as_batch(config, family, subsets, hyper, history)
            writer.append(batch)
            failed += int(np.sum(~batch.finite))
            loss = batch.metrics["test_loss"][batch.finite, -1]
            name = f"test_{family.score}"
            score = batch.metrics[name][batch.finite, -1]
            bar.update(
                len(subsets) * members,
                failed=failed,
                **{
                    what: float(np.mean(values)) if values.size else float("nan")
                    for what, values in (("test_loss", loss), (name, score))
                },
            )


def make_schema(config: Mapping[str, Any], family: TaskFamily) -> ZooSchema:
    """What the zoo of a config holds."""
    network = family.network
    return ZooSchema(
        name=f"{family.source}-{network.name}",
        spec=network.spec,
        network=networks.to_json(config["network"], network),
        steps=recipes.of(config["population"], network).snapshot_steps,
        metrics=member.metrics(family.score),
        tasks=family.subsets,
        splits=family.manifest(),
        config=sections(config, ("seed", "data", "network", "population", "zoo")),
        provenance=environment(),
        runs_per_shard=config["zoo"]["runs_per_shard"],
        runs_per_chunk=config["zoo"]["runs_per_chunk"],
    )


def train_subsets(
    config: Mapping[str, Any], family: TaskFamily, subsets: np.ndarray, mesh: jax.sharding.Mesh
) -> tuple[Hyperparameters, History]:
    """Train all members of some data subsets.

    Args:
        config: the experiment.
        family: its tasks.
        subsets: [G] positions in the task table.
        mesh: the devices.

    Returns:
        Hyperparameters [G, M] and histories [G, M, S, ...].
    """
    population = config["population"]
    root = rng.named(rng.key(config["seed"]), "population")
    n_members = population["members"]
    run = jnp.asarray(subsets)[:, None] * n_members + jnp.arange(n_members)[None]  # [G, M]
    hyper = jax.vmap(
        jax.vmap(lambda i: hyperparameters.draw(population, rng.at(root, "hyperparameters", i)))
    )(run)
    start = run  # whose initial network each begins from
    if population["shared_start"]:
        # Numbered after all runs, so that it is none of theirs.
        shared = n_members * len(family.subsets)
        start = jnp.where(jnp.asarray(_trained_on(family, subsets, population)), shared, run)
    history = engine.train(
        family.network,
        recipes.of(population, family.network),
        family.device_data,
        jnp.asarray(subsets),
        jax.vmap(lambda i: rng.at(root, "minibatches", i))(jnp.asarray(subsets)),
        engine.initial(family.network, root, start, hyper),
        hyper,
        mesh=mesh,
    )
    return hyper, history


def _trained_on(
    family: TaskFamily, subsets: np.ndarray, population: Mapping[str, Any]
) -> np.ndarray:
    """Which members of some data subsets the meta-model will be trained on: [G, M] bool."""
    n_members = population["members"]
    seen = np.array([family.subsets[i].split == "train" for i in subsets])
    return seen[:, None] & (np.arange(n_members) < n_members - population["held_out_members"])


def as_batch(
    config: Mapping[str, Any],
    family: TaskFamily,
    subsets: np.ndarray,
    hyper: Hyperparameters,
    history: History,
) -> RunBatch:
    """Lay out trained members as rows of the zoo; runs with any NaN or infinity are marked."""
    population = config["population"]
    n_members = population["members"]

    def rows(x: jax.Array) -> np.ndarray:  # [G, M, ...] -> [G * M, ...]
        return np.asarray(x).reshape(-1, *x.shape[2:])

    parameters = rows(history.parameters)
    metrics = {name: rows(values) for name, values in history.metrics.items()}
    finite = np.isfinite(parameters).all((1, 2))
    for values in metrics.values():
        finite &= np.isfinite(values).all(1)
    of = np.array([family.subsets[i].split for i in subsets])[:, None]  # [G, 1]
    seen = np.where(_trained_on(family, subsets, population), "train", "S0")  # [G, M]
    splits = np.where(of == "train", seen, of)
    optimizers = np.array(OPTIMIZERS)[rows(hyper.optimizer)]
    return RunBatch(
        parameters=parameters,
        metrics=metrics,
        subset=np.repeat(subsets, n_members),
        split=splits.reshape(-1),
        member=np.tile(np.arange(n_members), len(subsets)),
        seed=np.full(len(parameters), config["seed"]),
        finite=finite,
        hyperparameters={
            "learning_rate": rows(hyper.learning_rate),
            "weight_decay": rows(hyper.weight_decay),
            "init_scale": rows(hyper.init_scale),
            "optimizer": optimizers,
        },
    )

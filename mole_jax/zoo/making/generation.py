"""The zoo stage: train the population of a config, and store its histories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mole_jax.core import compat
from mole_jax.core.devices import distributed
from mole_jax.core.errors import RefusedError, UserError
from mole_jax.core.program.config import sections
from mole_jax.core.storage.provenance import environment
from mole_jax.population import member, recipes
from mole_jax.tasks import family as families
from mole_jax.tasks import networks
from mole_jax.tasks.family import TaskFamily
from mole_jax.zoo.making.fill import fill
from mole_jax.zoo.rebuild import rebuild
from mole_jax.zoo.storage import usable
from mole_jax.zoo.storage.manifest import FILE
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.schema import ZooSchema
from mole_jax.zoo.storage.store import ZooWriter

# Keys that say how a zoo is made and read, and change none of its numbers.
_WITHOUT_EFFECT = {
    "zoo": (
        *("placement", "memory_gb", "live", "live_runs", "live_every", "live_refresh"),
        "members_per_group",
    ),
    "population": ("at_once",),
}


def generate(config: Mapping[str, Any], workdir: Path) -> None:
    """Write the zoo of `config` to WORKDIR/zoo, resuming after the last stored group.

    Every data subset has `population.members` runs. A run depends on the seed, its data subset
    and its member number only, so a resumed zoo equals that of an uninterrupted run. So does one
    that several processes write, each training groups of its own on its own devices.

    An imported zoo that lies there already is used as it is.

    Raises:
        UserError: when the zoo there is another one, an imported one that does not fit, or one
            without a usable run to train on.
    """
    path = Path(workdir) / "zoo"
    if (path / FILE).exists() and (zoo := open_zoo(path)).schema.imported:
        try:
            rebuild(config, zoo)
        except UserError as problem:
            raise RefusedError(str(problem)) from problem
        usable.check(zoo)
        if distributed.is_first():
            print(f"zoo: imported, with {zoo.n_runs} runs; nothing to train", flush=True)
        return
    family = families.build(config)
    schema = make_schema(config, family)
    if distributed.is_first() and not (path / FILE).exists():
        ZooWriter.create(path, schema)
    distributed.barrier()
    fill(config, family, ZooWriter.open(path, schema), config["population"]["members"])


def make_schema(config: Mapping[str, Any], family: TaskFamily) -> ZooSchema:
    """Return the schema of a config's zoo."""
    network = family.network
    made_of = sections(config, ("seed", "data", "network", "population", "zoo"))
    for section, names in _WITHOUT_EFFECT.items():
        made_of[section] = {k: x for k, x in made_of[section].items() if k not in names}
    for section in ("data", "network", "population"):
        made_of[section] = compat.without_defaults(made_of[section], section)
    return ZooSchema(
        name=f"{family.source}-{network.name}",
        spec=network.spec,
        network=networks.to_json(config["network"], network),
        steps=recipes.of(config["population"], network).snapshot_steps,
        metrics=member.metrics(family.score),
        tasks=family.subsets,
        splits=family.manifest(),
        config=made_of,
        provenance=environment() | family.provenance(),
        dtype=config["zoo"]["dtype"],
        runs_per_shard=config["zoo"]["runs_per_shard"],
        runs_per_chunk=config["zoo"]["runs_per_chunk"],
    )

"""The tasks that a zoo was made from, built again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.tasks import family as families
from mole_jax.tasks.family import TaskFamily
from mole_jax.zoo.storage.reader import Zoo
from mole_jax.zoo.storage.schema import IMPORT_FINISHED


def rebuild(config: Mapping[str, Any], zoo: Zoo) -> TaskFamily:
    """Build the tasks of a config, and make sure that they are those the zoo was made from.

    The runs of an imported zoo are of one task, which the config has to describe: it is the first
    of its tasks.

    Raises:
        UserError: when the data source has changed since, or does not fit an imported zoo.
    """
    if zoo.schema.imported:
        return _of_imported(config, zoo)
    family = families.build(config)
    if family.subsets != zoo.schema.tasks or family.manifest() != zoo.schema.splits:
        raise UserError(
            f"{zoo.path} was made from other pools or data subsets than data.source="
            f"{config['data']['source']!r} gives now; make the zoo again{_older(zoo)}"
        )
    # Older zoos do not record it, and tasks of an environment have no images.
    now = family.provenance()
    if changed := [key for key in now if zoo.schema.provenance.get(key, now[key]) != now[key]]:
        raise UserError(
            f"{zoo.path} was made from other images than data.source={config['data']['source']!r} "
            f"gives now ({changed[0]} differs): restore them, or make the zoo again"
        )
    return family


def _older(zoo: Zoo) -> str:
    """Say so if a zoo's S2 is what is now called S2any."""
    trained = {c for task in zoo.schema.tasks if task.split == "train" for c in task.classes}
    known = any(trained & set(task.classes) for task in zoo.schema.tasks if task.split == "S2")
    return " (its S2 has known classes, too: data.unseen_class_rule='any')" if known else ""


def _of_imported(config: Mapping[str, Any], zoo: Zoo) -> TaskFamily:
    """Build the tasks of a config, and make sure that an imported zoo's networks are theirs.

    Raises:
        UserError: when they are not, or the import was interrupted.
    """
    if IMPORT_FINISHED not in zoo.schema.provenance:
        raise UserError(
            f"the import into {zoo.path} was interrupted: rerun the command that began it"
        )
    family = families.build(config)
    if family.network.spec != zoo.schema.spec:
        raise UserError(
            f"{zoo.path} holds networks of D = {zoo.schema.spec.size} "
            f"({zoo.schema.network['name']}), and config.network with data.source="
            f"{config['data']['source']!r} gives D = {family.network.spec.size} "
            f"({family.network.name}); make network and data those of the imported zoo"
        )
    return family

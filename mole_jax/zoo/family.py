"""The tasks that a zoo was made from, built again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mole_jax.core.errors import UserError
from mole_jax.tasks import family as families
from mole_jax.tasks.family import TaskFamily
from mole_jax.zoo.reader import Zoo


def rebuild(config: Mapping[str, Any], zoo: Zoo) -> TaskFamily:
    """Builds the tasks of a config, and makes sure that they are those the zoo was made from.

    Raises:
        UserError: when the data source has changed since.
    """
    family = families.build(config)
    if family.subsets != zoo.schema.tasks or family.manifest() != zoo.schema.splits:
        raise UserError(
            f"{zoo.path} was made from other pools or data subsets than data.source="
            f"{config['data']['source']!r} gives now; make the zoo again"
        )
    return family

"""The section `learners` of a config: MOLE's ancestors, each with keys of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mole_jax.core.program import sections
from mole_jax.learners.ancestors.ancestor import AncestorConfig
from mole_jax.learners.ancestors.descent import DescentConfig
from mole_jax.learners.ancestors.evolved import EvolvedConfig
from mole_jax.learners.ancestors.l2l import L2LConfig
from mole_jax.learners.ancestors.sequence import SequenceConfig

_DESCENT = DescentConfig()
_L2L = L2LConfig()
_SEQUENCE = SequenceConfig()
_EVOLVED = EvolvedConfig()


@dataclasses.dataclass(frozen=True)
class LearnersConfig:
    """The section `learners`: all are meta-trained on episodes of the training tasks."""

    maml: DescentConfig = _DESCENT
    fomaml: DescentConfig = _DESCENT
    meta_sgd: DescentConfig = _DESCENT
    reptile: DescentConfig = _DESCENT
    l2l: L2LConfig = _L2L
    recurrent: SequenceConfig = _SEQUENCE
    in_context: SequenceConfig = _SEQUENCE
    self_referential: SequenceConfig = _SEQUENCE
    evolved: EvolvedConfig = _EVOLVED

    @staticmethod
    def of(config: Mapping[str, Any]) -> LearnersConfig:
        """Read the section; what a stored config lacks, an older one, is left out of training."""
        given = sections.defaults(LearnersConfig)
        for name, keys in config.get("learners", {}).items():
            given[name] = {**given.get(name, {}), **keys}
        return sections.read(LearnersConfig, given, "learners")

    def steps(self) -> dict[str, int]:
        """Return by name for how many steps each is meta-trained; 0: not at all."""
        return {name: own.steps for name, own in self._each().items()}

    def check(self) -> None:
        """Raise UserError for values that cannot be."""
        for name, own in self._each().items():
            own.check(name)

    def _each(self) -> dict[str, AncestorConfig]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

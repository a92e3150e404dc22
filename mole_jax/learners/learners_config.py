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
from mole_jax.learners.ancestors.prototypes import PrototypesConfig
from mole_jax.learners.ancestors.sequence import SequenceConfig

_DESCENT = DescentConfig()
_PROTOTYPES = PrototypesConfig()
_L2L = L2LConfig()
_SEQUENCE = SequenceConfig()
_EVOLVED = EvolvedConfig()


@dataclasses.dataclass(frozen=True)
class LearnersConfig:
    """MOLE's ancestors, meta-trained on episodes of the training tasks: the section `learners`."""

    maml: DescentConfig = _DESCENT  # learns a start for a few gradient steps
    fomaml: DescentConfig = _DESCENT  # MAML without the gradients of gradients
    meta_sgd: DescentConfig = _DESCENT  # MAML that also learns the rate of every parameter
    reptile: DescentConfig = _DESCENT  # moves its start towards what a few steps lead to
    prototypes: PrototypesConfig = _PROTOTYPES  # an embedding; the last layer holds class means
    proto_maml: DescentConfig = _DESCENT  # MAML whose last layer begins with class means
    l2l: L2LConfig = _L2L  # a learned optimizer
    recurrent: SequenceConfig = _SEQUENCE  # an LSTM that reads the examples
    in_context: SequenceConfig = _SEQUENCE  # a causal transformer that reads the examples
    self_referential: SequenceConfig = _SEQUENCE  # a matrix that rewrites itself as it reads
    evolved: EvolvedConfig = _EVOLVED  # a local rule that says how each weight changes

    @staticmethod
    def of(config: Mapping[str, Any]) -> LearnersConfig:
        """Read the section; learners that an older stored config lacks are not trained."""
        given = sections.defaults(LearnersConfig)
        for name, keys in config.get("learners", {}).items():
            given[name] = {**given.get(name, {}), **keys}
        return sections.read(LearnersConfig, given, "learners")

    def steps(self) -> dict[str, int]:
        """Return the number of meta-training steps by name; 0: not trained."""
        return {name: own.steps for name, own in self._each().items()}

    def check(self) -> None:
        """Raise UserError for invalid values."""
        for name, own in self._each().items():
            own.check(name)

    def _each(self) -> dict[str, AncestorConfig]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

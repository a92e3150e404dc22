"""The section `metamodel` of a config: `name` chooses the model, and with it the keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mole_jax.core import compat
from mole_jax.core.program.sections import Tagged, defaults
from mole_jax.metamodel.networks.gpt_transformer import Tokens
from mole_jax.metamodel.networks.shape import Shape

_TOKENS = Tokens()


@dataclasses.dataclass(frozen=True)
class GPTConfig:
    """Sizes of G.pt, the transformer of Peebles et al. 2022: the section `metamodel`."""

    width: int = 128  # size of the residual stream
    layers: int = 2  # blocks of attention and MLP
    heads: int = 4  # heads of each attention
    mlp_ratio: int = 4  # hidden units of a block's MLP, as a multiple of width
    dtype: str = "float32"  # type of products: float32 or bfloat16; parameters stay float32
    remat: bool = False  # recompute blocks in the backward pass: less memory
    unroll: int = 12  # layers unrolled in the scan over layers
    gpt: Tokens = _TOKENS  # how numbers become tokens


# dit: a diffusion transformer; gpt takes representation.name='flat'.
METAMODEL = Tagged("metamodel.name", {"dit": Shape, "gpt": GPTConfig})


def shape_of(config: Mapping[str, Any]) -> Shape:
    """Return the sizes of a config's meta-model, with defaults for keys that its kind lacks."""
    own = set(defaults(METAMODEL.of(config) or Shape))
    section, found = config["metamodel"], {}
    for field in dataclasses.fields(Shape):
        late = f"metamodel.{field.name}" in compat.DEFAULTS and field.name not in section
        if field.name in own and not late:
            found[field.name] = section[field.name]
    return Shape(**found)

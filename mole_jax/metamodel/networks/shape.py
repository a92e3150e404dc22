"""Sizes and choices of the diffusion transformer."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from mole_jax.core.errors import UserError

CONDITIONINGS = ("adaln", "context")
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


@dataclasses.dataclass(frozen=True)
class Shape:
    """Sizes of the diffusion transformer: the section `metamodel`."""

    width: int = 128  # size of the residual stream
    layers: int = 2  # blocks of attention and MLP
    heads: int = 4  # heads of each attention
    mlp_ratio: int = 4  # hidden units of a block's MLP, as a multiple of width
    conditioning: str = "adaln"  # how scalars enter: adaln, or context (as tokens)
    features: str = "dense"  # the set encoder's feature map: dense, or conv (for images)
    feature_width: int = 128  # size of the support set's learned features
    support_queries: int = 2  # tokens that attend over the whole support set
    pairwise: bool = True  # write outgoing weights also as products with class tokens
    # Refine the estimate by gradient steps on learned examples of each class.
    probes: int = 8  # learned examples of each class; 0: none, and no inner steps
    # Labelled support examples of each class whose gradient is followed as well, separately from
    # that of the learned ones: the first ones of a random order.
    support_probes: int = 0  # of each class; 0: none
    support_weights: bool = False  # whether the model learns how much each of them counts
    support_warps: float = 0.0  # how far inner steps move, turn and stretch them; 0: not at all
    # Whether the transformer also writes weights itself; else it only writes probes, and steps
    # along their gradients are all that changes weights.
    writes: bool = True
    inner_steps: int = 8  # gradient steps at the end; each block takes one before them
    # Rank of a learned linear map between a token's channels. It is applied to the start and to
    # inner steps, and added: neighbouring pixels can then move together. 0: none.
    mixing: int = 0
    step_scale: float = 1.0  # scale of learned step sizes: below 1 they change more slowly
    dtype: str = "float32"  # type of products: float32 or bfloat16; parameters stay float32
    remat: bool = False  # recompute blocks and inner steps in the backward pass: less memory
    unroll: int = 12  # layers unrolled in the scan over layers

    def check(self) -> None:
        """Raise UserError for sizes that do not fit together."""
        for name in ("width", "layers", "heads", "mlp_ratio", "feature_width", "unroll"):
            if getattr(self, name) < 1:
                raise UserError(f"metamodel.{name}={getattr(self, name)} must be 1 or more")
        for name in ("support_queries", "probes", "support_probes", "inner_steps", "mixing"):
            if getattr(self, name) < 0:
                raise UserError(f"metamodel.{name}={getattr(self, name)} must not be negative")
        if self.inner_steps and self.probes + self.support_probes < 1:
            raise UserError(
                f"metamodel.inner_steps={self.inner_steps} follow gradients on probes, but there "
                f"are metamodel.probes={self.probes} and metamodel.support_probes="
                f"{self.support_probes} for each class; set one of them to 1 or more"
            )
        if not self.writes and self.probes + self.support_probes < 1:
            raise UserError(
                "metamodel.writes=False leaves the weights to gradients on probes, but there are "
                "none: set metamodel.probes or metamodel.support_probes to 1 or more"
            )
        if not 0 <= self.support_warps < math.inf:
            raise UserError(
                f"metamodel.support_warps={self.support_warps} must be 0 or more; 1 is as much as "
                "handwriting bears"
            )
        if not 0 < self.step_scale <= 1:
            raise UserError(f"metamodel.step_scale={self.step_scale} must lie above 0, up to 1")
        if self.width % self.heads:
            raise UserError(
                f"metamodel.width={self.width} must be a multiple of metamodel.heads={self.heads}"
            )
        if self.conditioning not in CONDITIONINGS:
            raise UserError(
                f"metamodel.conditioning={self.conditioning!r} is unknown; "
                f"there are {CONDITIONINGS}"
            )
        if self.dtype not in DTYPES:
            raise UserError(f"metamodel.dtype={self.dtype!r} is unknown; there are {tuple(DTYPES)}")

    def check_tensor(self, parts: int) -> None:
        """Raise UserError where blocks cannot be divided into this many parts."""
        for what, size in (("heads", self.heads), ("mlp_ratio x width", self.hidden)):
            if size % parts:
                raise UserError(
                    f"--mesh: tensor={parts} must divide metamodel.{what}={size}: choose another "
                    "size of that axis"
                )

    def scaled(self, size: jax.Array) -> jax.Array:
        """Return learned step sizes in units of `step_scale`."""
        return size if self.step_scale == 1 else self.step_scale * size

    @property
    def hidden(self) -> int:
        """Hidden units of a block's MLP."""
        return self.mlp_ratio * self.width

    def context(self, n_classes: int) -> int:
        """Return how many context tokens join those of the network."""
        return n_classes + self.support_queries + (3 if self.conditioning == "context" else 0)

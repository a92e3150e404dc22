"""Networks of several families in one frame: MLPs of several sizes, a CNN and a ViT.

The parameters of all families lie side by side. A network uses those of its family; the rest is
zero.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mole_jax.core.errors import UserError
from mole_jax.tasks.networks import cnn, mlps, vit
from mole_jax.tasks.networks.network import OUTPUT, Frame, Network, NetworkKind, Outputs
from mole_jax.tasks.networks.symmetries import Permutation
from mole_jax.tasks.parameters import ParameterSpec

FAMILIES: dict[str, NetworkKind] = {
    kind.name: kind for kind in (mlps.NETWORK, cnn.NETWORK, vit.NETWORK)
}


@dataclasses.dataclass(frozen=True)
class SeveralConfig(vit.ViTConfig, cnn.CNNConfig, mlps.MLPsConfig):
    """Networks of several families side by side, with the keys of each.

    `unseen` holds sizes of MLPs and names of families.
    """

    families: tuple[str, ...] = tuple(FAMILIES)  # two or more of mlps, cnn and vit

    def of(self, family: str) -> Any:
        """Return the config of a family."""
        kind = FAMILIES[family].config
        own = {field.name: getattr(self, field.name) for field in dataclasses.fields(kind)}
        if family == mlps.NETWORK.name:
            own["unseen"] = tuple(name for name in self.unseen if name not in FAMILIES)
        return kind(**own)


def build(config: SeveralConfig, input_shape: tuple[int, ...], n_outputs: int) -> Network:
    """Return the frame of networks of several families for images of `n_outputs` classes.

    Raises:
        UserError: for unknown families, for names in `unseen` that are no networks, and for what a
            family refuses.
    """
    _check(config)
    parts = {
        family: FAMILIES[family].build(config.of(family), input_shape, n_outputs)
        for family in sorted(config.families)  # in the order of parameters
    }

    def init(key: jax.Array) -> dict[str, Any]:
        keys = jax.random.split(key, len(parts))
        return {name: part.init(k) for (name, part), k in zip(parts.items(), keys, strict=True)}

    def apply(params: Mapping[str, Any], x: jax.Array) -> jax.Array:
        found = [
            jnp.where(_present(params[name]), part.apply(params[name], x), 0.0)
            for name, part in parts.items()
        ]
        return sum(found[1:], found[0])

    axes = {
        f"{family}/{path}": tuple(_axis(family, axis) for axis in names)
        for family, part in parts.items()
        for path, names in part.axes.items()
    }
    return Network(
        kind=NETWORK,
        input_shape=input_shape,
        n_outputs=n_outputs,
        init=init,
        apply=apply,
        spec=ParameterSpec.of(jax.eval_shape(init, jax.random.key(0))),
        axes=axes,
        units=tuple(
            tuple(_axis(family, axis) for axis in unit)
            for family, part in parts.items()
            for unit in part.units
        ),
        symmetries=tuple(
            _moved(family, symmetry)
            for family, part in parts.items()
            for symmetry in part.symmetries
        ),
        microbatch=min((p.microbatch for p in parts.values() if p.microbatch), default=0),
        frame=_frame(config, parts),
    )


def _check(config: SeveralConfig) -> None:
    families = config.families
    if len(set(families)) < max(len(families), 2) or not set(families) <= set(FAMILIES):
        raise UserError(
            f"network.families={families} must name two or more of {', '.join(FAMILIES)}"
        )
    unseen = [name for name in config.unseen if name in FAMILIES]  # the others are sizes
    if strangers := set(unseen) - set(families):
        raise UserError(
            f"network.unseen: {sorted(strangers)[0]!r} is none of network.families={families}"
        )
    if set(unseen) == set(families):
        raise UserError("network.unseen names all families, and leaves nothing to train on")
    if "mlps" in unseen:
        raise UserError(
            "network.unseen: for MLPs name the sizes that are held out, such as '24-12'; or take "
            "'mlps' out of network.families"
        )
    if set(config.unseen) - set(unseen) and "mlps" not in families:
        raise UserError(
            f"network.unseen={config.unseen} names sizes of MLPs, and network.families={families} "
            "has none"
        )


def _frame(config: SeveralConfig, parts: Mapping[str, Network]) -> Frame:
    names = [*parts]
    of_mlps = parts["mlps"].frame if "mlps" in parts else None
    n_layers = len(config.hidden) if of_mlps else 0
    seen = [name for name in names if name not in config.unseen]

    def family_of(name: str) -> str:
        sized = of_mlps is not None and name[:1].isdigit()
        if not sized and (name not in parts or name == "mlps"):
            raise UserError(
                f"{name!r} is no network of this model: there are "
                + ", ".join(n for n in names if n != "mlps")
                + (", and MLPs by their hidden layers, such as '24-12'" if of_mlps else "")
            )
        return "mlps" if sized else name

    def sizes(name: str) -> tuple[int, ...]:
        family = family_of(name)
        own = of_mlps.sizes(name) if of_mlps and family == "mlps" else (0,) * n_layers
        return (names.index(family), *own)

    def sized(params: Mapping[str, Any], sizes: jax.Array) -> dict[str, Any]:
        found = {}
        for i, name in enumerate(names):
            own = params[name]
            if of_mlps and name == "mlps":
                own = of_mlps.sized(own, sizes[1:])
            found[name] = jax.tree.map(lambda x, i=i: jnp.where(sizes[0] == i, x, 0.0), own)
        return found

    def there(params: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name in names:
            own, present = params[name], _present(params[name])
            if of_mlps and name == "mlps":
                whole = of_mlps.there(own)
            else:
                whole = jax.tree.map(lambda x: jnp.ones(x.shape, bool), own)
            found[name] = jax.tree.map(lambda x, present=present: x & present, whole)
        return found

    def places(network: Network, own: Network) -> np.ndarray:
        family = own.name if own.name in parts else "mlps"
        part = parts[family]
        offset = network.spec[f"{family}/{part.spec.fields[0].path}"].offset
        if part.frame is not None:
            return offset + part.frame.places(part, own)
        return offset + np.flatnonzero(part.output_of < own.n_outputs)

    def plain(name: str) -> dict[str, Any]:
        family = family_of(name)
        if of_mlps and family == "mlps":
            return of_mlps.plain(name)
        own = dataclasses.asdict(config.of(family))
        return {"name": family, **{k: [*v] if isinstance(v, tuple) else v for k, v in own.items()}}

    def trained(rng: np.random.Generator) -> Iterator[str]:
        of_sizes = of_mlps.trained(rng) if of_mlps else iter(())
        for family in mlps.dealt(seen, rng):
            yield next(of_sizes) if family == "mlps" else family

    def outside(name: str) -> str:
        if name in config.unseen and name in parts:
            return f"training had no {name}"
        return of_mlps.outside(name) if of_mlps and family_of(name) == "mlps" else ""

    return Frame(
        sizes=sizes,
        sized=sized,
        there=there,
        places=places,
        plain=plain,
        trained=trained,
        unseen=config.unseen,
        largest=of_mlps.largest if of_mlps else seen[0],
        kinds=tuple(name for name in names if name != "mlps"),
        outside=outside,
    )


def _present(params: Any) -> jax.Array:
    """Return whether a network is of a family: the largest of its tensors is not all zero."""
    return jnp.any(max(jax.tree.leaves(params), key=lambda x: x.size) != 0)


def _axis(family: str, axis: str) -> str:
    return axis if axis == OUTPUT else f"{family}.{axis}"


def _moved(family: str, symmetry: Any) -> Any:
    if isinstance(symmetry, Permutation):
        return Permutation(_axis(family, symmetry.axis), symmetry.blocks)
    return type(symmetry)(_axis(family, symmetry.axis), _axis(family, symmetry.each))


NETWORK = NetworkKind(name="several", config=SeveralConfig, build=build, outputs=Outputs.CLASSES)

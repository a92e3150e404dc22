"""One token for each hidden unit: [incoming weights, bias, outgoing weights].

Units of a layer carry no position, so a transformer over them is equivariant: permuting the
hidden units of what goes in permutes the units of what comes out. The output biases form one
more token. In networks with several hidden layers a kernel between two of them occurs twice (as
outgoing and as incoming weights); decoding averages the two copies.
"""

from __future__ import annotations

import numpy as np

from mole_jax.representation.codec import Codec, outputs, table
from mole_jax.tasks.networks import Network


def build(network: Network) -> Codec:
    """The neuron codec of an MLP: L = hidden units + 1, C = widest [in + 1 + out]."""
    spec, widths = network.spec, network.widths
    n_hidden = len(widths) - 2

    def indices(path: str) -> np.ndarray:
        field = spec[path]
        return np.arange(field.size).reshape(field.shape) + field.offset

    rows: list[np.ndarray] = []
    kinds: list[int] = []
    for layer in range(n_hidden):
        kernel = indices(f"hidden_{layer}/kernel")  # [in, units]
        bias = indices(f"hidden_{layer}/bias")  # [units]
        onward = "output" if layer == n_hidden - 1 else f"hidden_{layer + 1}"
        out = indices(f"{onward}/kernel")  # [units, out]
        rows += list(np.concatenate([kernel.T, bias[:, None], out], axis=1))
        kinds += [layer] * len(bias)
    rows.append(indices("output/bias"))
    kinds.append(n_hidden)
    return Codec(
        "neuron",
        table(rows, max(map(len, rows))),
        np.array(kinds, np.int32),
        np.zeros(len(rows), np.int32),
        spec.size,
        outputs(spec),
    )

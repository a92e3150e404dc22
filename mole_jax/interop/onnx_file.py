"""Single networks as ONNX, for any runtime that they are deployed on.

A graph takes images, float32 [n, H, W, channels], with pixels on the source's own scale, and gives
logits and probabilities. A policy's graph takes observations [n, O] and gives the means of actions,
or the logits and probabilities of choices. Tensors have MOLE's names.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import mole_jax
from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import to_json, write_bytes
from mole_jax.core.storage.paths import user_path
from mole_jax.tasks import networks
from mole_jax.tasks.networks import Network, cnn, vit
from mole_jax.tasks.networks.mlp import layer_names
from mole_jax.tasks.networks.network import Outputs

SUFFIX = ".onnx"
OPSET = 21  # the first with GroupNormalization as Flax has it
IR_VERSION = 10  # which goes with it
INPUT = {Outputs.CLASSES: "images"}
OUTPUT = {Outputs.NORMAL: "actions"}


def save_onnx(
    path: Path,
    description: Mapping[str, Any],
    params: Mapping[str, Any],
    *,
    scale: float | np.ndarray = 1.0,
    shift: float | np.ndarray = 0.0,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a network as an ONNX graph; the file is either whole or absent.

    Args:
        path: ends in .onnx.
        description: what `tasks.networks.from_json` builds the network from.
        params: its parameters, leaves [*shape].
        scale: one number or [F]: the network is given inputs * scale + shift.
        shift: likewise.
        about: what is known of it, by name, for the file's metadata; written as JSON.

    Raises:
        UserError: for another file name, or a network that has no graph here.
    """
    path = user_path(path)
    if path.suffix != SUFFIX:
        raise UserError(f"{path} must end in {SUFFIX}")
    network = networks.from_json(description)
    check(network)
    graph = Graph()
    name = INPUT.get(network.outputs, "observations")
    shape = network.input_shape
    x = graph.node("Mul", name, graph.constant("scale", _of_input(scale, shape)))
    x = graph.node("Add", x, graph.constant("shift", _of_input(shift, shape)))
    y = GRAPHS[network.name](graph, networks.config_of(description), network, params, x)
    found = OUTPUT.get(network.outputs, "logits")
    graph.nodes.append(helper.make_node("Identity", [y], [found]))
    outputs = {found: network.n_outputs}
    if network.outputs is not Outputs.NORMAL:
        graph.nodes.append(helper.make_node("Softmax", [found], ["probabilities"], axis=-1))
        outputs["probabilities"] = network.n_outputs
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            network.name,
            [_value(name, *shape)],
            [_value(key, size) for key, size in outputs.items()],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="mole",
        producer_version=mole_jax.__version__,
    )
    known = {"network": dict(description), **(about or {})}
    helper.set_model_props(model, {key: to_json(value) for key, value in known.items()})
    onnx.checker.check_model(model, full_check=True)
    write_bytes(path, model.SerializeToString())


def check(network: Network) -> None:
    """Raise UserError for a network that has no graph here."""
    if network.name not in GRAPHS:
        raise UserError(f"a {network.name} has no ONNX graph; there are {', '.join(GRAPHS)}")


@dataclasses.dataclass
class Graph:
    """Nodes and constants, in the order in which they are made."""

    nodes: list[Any] = dataclasses.field(default_factory=list)
    constants: list[Any] = dataclasses.field(default_factory=list)

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return its name."""
        output = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        """Add numbers, and return their name."""
        array = np.array(value, dtype, order="C")
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def shaped(self, x: str, *shape: int) -> str:
        """Reshape; 0 keeps an axis, as for the number of examples."""
        name = self.constant(f"shape_{len(self.nodes)}", shape, np.int64)
        return self.node("Reshape", x, name)

    def dense(self, x: str, name: str, params: Mapping[str, Any], n_in: int) -> str:
        """Apply a linear layer to the last axis; kernels are taken as [n_in, n_out]."""
        kernel = self.constant(f"{name}/kernel", np.reshape(params[name]["kernel"], (n_in, -1)))
        bias = self.constant(f"{name}/bias", np.reshape(params[name]["bias"], -1))
        return self.node("Add", self.node("MatMul", x, kernel), bias)

    def normalised(self, x: str, name: str, params: Mapping[str, Any]) -> str:
        """Normalise over the last axis."""
        scale, bias = (self.constant(f"{name}/{k}", params[name][k]) for k in ("scale", "bias"))
        return self.node("LayerNormalization", x, scale, bias, axis=-1, epsilon=vit.EPSILON)

    def activated(self, x: str, name: str) -> str:
        """Apply an activation of `mlp.ACTIVATIONS`."""
        if name == "gelu":
            return self.node("Gelu", x, approximate="tanh")
        if name == "silu":
            return self.node("Mul", x, self.node("Sigmoid", x))
        return self.node({"relu": "Relu", "tanh": "Tanh", "selu": "Selu"}[name], x)


def _mlp(graph: Graph, config: Any, network: Network, params: Mapping[str, Any], x: str) -> str:
    x = graph.node("Flatten", x)
    *hidden, last = layer_names(network)
    for name in hidden:
        n_in = np.shape(params[name]["kernel"])[0]
        x = graph.activated(graph.dense(x, name, params, n_in), config.activation)
    return graph.dense(x, last, params, np.shape(params[last]["kernel"])[0])


def _cnn(graph: Graph, config: Any, network: Network, params: Mapping[str, Any], x: str) -> str:
    height, width, _ = network.input_shape
    x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    for i, stride in enumerate(config.strides):
        layer = params[f"conv_{i}"]
        given = [graph.constant(f"conv_{i}/kernel", np.transpose(layer["kernel"], (3, 2, 0, 1)))]
        if config.bias:
            given.append(graph.constant(f"conv_{i}/bias", layer["bias"]))
        x = graph.node("Conv", x, *given, strides=[stride] * 2, pads=[1] * 4)
        height, width = -(-height // stride), -(-width // stride)
        if config.norm_groups:
            norm = params[f"norm_{i}"]
            named = (graph.constant(f"norm_{i}/{k}", norm[k]) for k in ("scale", "bias"))
            groups = {"num_groups": config.norm_groups, "epsilon": cnn.EPSILON}
            x = graph.node("GroupNormalization", x, *named, **groups)
        x = graph.node("Relu", x)
    # Each cell is an average of places: [B, C, H * W] @ [H * W, cells].
    shares = np.kron(cnn.cells_of(height, config.cells), cnn.cells_of(width, config.cells))
    x = graph.shaped(x, 0, config.channels[-1], height * width)
    x = graph.node("MatMul", x, graph.constant("cells", shares.T))
    x = graph.node("Flatten", graph.node("Transpose", x, perm=[0, 2, 1]))
    return graph.dense(x, "output", params, config.cells**2 * config.channels[-1])


def _vit(graph: Graph, config: Any, network: Network, params: Mapping[str, Any], x: str) -> str:
    height, width, channels = network.input_shape
    p, w = config.patch, config.width
    kernel = np.reshape(params["embed"]["kernel"], (p, p, channels, w)).transpose(3, 2, 0, 1)
    bias = graph.constant("embed/bias", params["embed"]["bias"])
    x = graph.node("Transpose", x, perm=[0, 3, 1, 2])
    x = graph.node("Conv", x, graph.constant("embed/kernel", kernel), bias, strides=[p, p])
    x = graph.shaped(x, 0, w, height // p * (width // p))
    x = graph.node("Transpose", x, perm=[0, 2, 1])  # [B, N, W]
    tokens = height // p * (width // p)
    if config.pooling == "token":
        # One class token per image: zeros in the shape of the first token, plus the class token.
        first = graph.node("Gather", x, graph.constant("first", [0], np.int64), axis=1)
        none = graph.node("Sub", first, first)
        token = graph.constant("class_token", np.reshape(params["class_token"], (1, 1, w)))
        x = graph.node("Concat", graph.node("Add", none, token), x, axis=1)
        tokens += 1
    x = graph.node("Add", x, graph.constant("positions", params["positions"]))
    for i in range(config.layers):
        x = _block(graph, config, f"block_{i}", tokens, params, x)
    x = graph.normalised(x, "norm", params)
    if config.pooling == "token":
        x = graph.node("Gather", x, graph.constant("place", 0, np.int64), axis=1)
    else:
        axis = graph.constant("tokens", [1], np.int64)
        x = graph.node("ReduceMean", x, axis, keepdims=0)
    return graph.dense(x, "output", params, w)


def _block(
    graph: Graph, config: Any, block: str, tokens: int, params: Mapping[str, Any], x: str
) -> str:
    """Attention and MLP of a ViT: [B, N, W] -> [B, N, W]."""
    w, heads = config.width, config.heads
    size = w // heads
    attention = f"{block}_attention"
    own = {f"{attention}/{name}": layer for name, layer in params[attention].items()}
    h = graph.normalised(x, f"{block}_norm_attention", params)
    q, k, v = (
        graph.shaped(graph.dense(h, f"{attention}/{name}", own, w), 0, tokens, heads, size)
        for name in ("query", "key", "value")
    )
    q, v = (graph.node("Transpose", a, perm=[0, 2, 1, 3]) for a in (q, v))
    k = graph.node("Transpose", k, perm=[0, 2, 3, 1])
    q = graph.node("Div", q, graph.constant(f"{block}_root", math.sqrt(size)))
    y = graph.node("MatMul", graph.node("Softmax", graph.node("MatMul", q, k), axis=-1), v)
    y = graph.shaped(graph.node("Transpose", y, perm=[0, 2, 1, 3]), 0, tokens, w)
    x = graph.node("Add", x, graph.dense(y, f"{attention}/out", own, w))
    h = graph.normalised(x, f"{block}_norm_mlp", params)
    h = graph.activated(graph.dense(h, f"{block}_mlp_in", params, w), "gelu")
    return graph.node("Add", x, graph.dense(h, f"{block}_mlp_out", params, config.mlp))


# By the name of a network's kind.
GRAPHS: dict[str, Callable[[Graph, Any, Network, Mapping[str, Any], str], str]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "vit": _vit,
    "gaussian_policy": _mlp,
    "categorical_policy": _mlp,
}


def _of_input(value: float | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return one number as it is, and numbers of each input in the shape of an input."""
    return np.asarray(value) if np.ndim(value) == 0 else np.reshape(value, shape)


def _value(name: str, *shape: int) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", *shape])

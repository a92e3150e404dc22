"""Networks as ONNX give what they give here, whatever runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import onnxruntime
import pytest

from mole_jax.core.errors import UserError
from mole_jax.interop import onnx_file
from mole_jax.tasks import networks

IMAGE = {"input_shape": [8, 6, 2], "outputs": 3}
ACTING = {"input_shape": [4], "outputs": 2, "hidden": [5, 4], "activation": "selu"}
VIT = {"name": "vit", "patch": 2, "width": 6, "layers": 2, "heads": 2, "mlp": 5, **IMAGE}
CNN = {"name": "cnn", "channels": [4, 6], "strides": [2, 1], **IMAGE}
CASES: dict[str, dict[str, Any]] = {
    **{
        f"mlp {name}": {"name": "mlp", "hidden": [7, 5], "activation": name, **IMAGE}
        for name in ("relu", "gelu", "tanh", "silu", "selu")
    },
    "cnn": {**CNN, "bias": True, "norm_groups": 0},
    "cnn of cells": {**CNN, "bias": False, "norm_groups": 2, "cells": 2},
    "cnn of cells that overlap": {**CNN, "bias": True, "norm_groups": 1, "cells": 3},
    "vit": {**VIT, "pooling": "mean"},
    "vit with a token": {**VIT, "pooling": "token"},
    "gaussian policy": {"name": "gaussian_policy", **ACTING},
    "categorical policy": {"name": "categorical_policy", "choices": 2, **ACTING},
}


def test_every_graph_is_tried_and_a_network_without_one_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(onnx_file.GRAPHS) == {case["name"] for case in CASES.values()}
    monkeypatch.delitem(onnx_file.GRAPHS, "cnn")
    with pytest.raises(UserError, match="a cnn has no ONNX graph; there are mlp, vit, "):
        onnx_file.check(networks.from_json(CASES["cnn"]))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("each", [False, True], ids=["one scale", "a scale for each input"])
def test_a_file_gives_the_same_outputs(name: str, each: bool, tmp_path: Path) -> None:
    network, rng = networks.from_json(CASES[name]), np.random.default_rng(0)
    params = network.spec.unflatten(rng.normal(0, 0.5, network.spec.size).astype(np.float32))
    size = (network.n_inputs,) if each else ()
    scale, shift = rng.uniform(0.5, 2, size), rng.normal(size=size)
    path = tmp_path / "net.onnx"
    onnx_file.save_onnx(
        path, CASES[name], params, scale=scale, shift=shift, about={"task": {"m": np.float32(2)}}
    )
    session = onnxruntime.InferenceSession(path)
    (given,) = session.get_inputs()
    kept = session.get_modelmeta().custom_metadata_map
    assert json.loads(kept["network"]) == CASES[name] and json.loads(kept["task"]) == {"m": 2.0}
    for m in (1, 5):  # any number of examples
        x = rng.normal(size=(m, *network.input_shape)).astype(np.float32)
        outputs = session.run(None, {given.name: x})
        inputs = x.reshape(m, -1) * scale + shift
        expected = network.apply(params, np.asarray(inputs, np.float32))
        np.testing.assert_allclose(outputs[0], expected, rtol=2e-4, atol=2e-5)
        if name != "gaussian policy":
            np.testing.assert_allclose(outputs[1], jax.nn.softmax(expected), rtol=2e-4, atol=2e-5)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"must end in \.onnx"):
        onnx_file.save_onnx(tmp_path / "net.pt", CASES["cnn"], {})

"""docs/reference/zoo_format.md: its code reads a zoo, and its tables are of the files there are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mole_jax.zoo.storage.arrays import layouts
from mole_jax.zoo.storage.reader import open_zoo
from mole_jax.zoo.storage.schema import RunBatch, ZooSchema
from mole_jax.zoo.storage.store import ZooWriter

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "zoo_format.md"
TEXT = PAGE.read_text(encoding="utf-8")
ZOO = '"runs/digits/zoo"'
# A schema with everything that only imported zoos have.
IMPORTED = {"snapshot_fields": ("epoch",), "metric_dtype": "float64", "prompt_metric": "test_error",
            "run_names": ("a", "b"), "hyperparameters": ("optimizer",)}  # fmt: skip


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading."""
    below = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in below.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_code_on_the_page_reads_tensors(stored: tuple[Path, RunBatch]) -> None:
    path, batch = stored
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert code.count(ZOO) == 1
    found: dict[str, Any] = {}
    exec(code.replace(ZOO, repr(str(path))), found)
    spec = open_zoo(path).schema.spec
    expected = spec.unflatten(np.asarray(batch.parameters)[0, -1])
    assert set(found["tensors"]) == {field.path for field in spec.fields}
    for name, tensor in found["tensors"].items():
        layer, _, kind = name.partition("/")
        np.testing.assert_array_equal(tensor, expected[layer][kind])


def test_every_array_has_a_row(make_schema: Callable[..., ZooSchema]) -> None:
    listed = {name.strip("`"): row for name, *row in table("Arrays")}
    schema = make_schema(snapshot_fields=("epoch",))
    for name, layout in layouts(schema).items():
        group = name.partition("/")[0]
        row = listed.pop(name) if name in listed else listed[f"{group}/NAME"]
        shape, kind, fill, _ = row
        assert shape == ["[R]", "[R, S]", "[R, S, D]"][len(layout.tail)], name
        assert kind == "`storage.dtype`" if name == "parameters" else kind.startswith(layout.dtype)
        assert fill.lower() == str(layout.fill).lower(), name
    assert set(listed) == {"metrics/NAME", "snapshots/NAME"}


@pytest.mark.parametrize("changes", [{}, IMPORTED], ids=["own", "imported"])
def test_every_key_of_zoo_json_has_a_row(
    tmp_path: Path, make_schema: Callable[..., ZooSchema], changes: dict[str, Any]
) -> None:
    ZooWriter.create(tmp_path, make_schema(**changes))
    found = json.loads((tmp_path / "zoo.json").read_text())
    listed = {key.strip("`") for row in table("zoo.json") for key in row[0].split(", ")}
    assert set(found) <= listed and set(changes) <= set(found)
    assert all(f"`{key}`" in TEXT for key in found["storage"])


def test_every_folder_and_file_is_drawn(
    tmp_path: Path, make_schema: Callable[..., ZooSchema]
) -> None:
    ZooWriter.create(tmp_path, make_schema(snapshot_fields=("epoch",)))
    drawn = re.findall(r"^    ([\w.]+)", TEXT, re.MULTILINE)
    assert {path.name for path in tmp_path.iterdir()} <= set(drawn)


def test_codecs_are_those_of_the_page(stored: tuple[Path, RunBatch]) -> None:
    for name in ("parameters", "runs/seed"):
        found = json.loads((stored[0] / name / "zarr.json").read_text())
        (sharding,) = found["codecs"]
        inner = sharding["configuration"]
        assert [codec["name"] for codec in inner["codecs"]] == ["bytes", "zstd", "crc32c"]
        assert inner["codecs"][1]["configuration"] == {"level": 3, "checksum": False}
        assert [codec["name"] for codec in inner["index_codecs"]] == ["bytes", "crc32c"]
        assert inner.get("index_location", "end") == "end"
        whole = [8, 8] if name.startswith("runs/") else [8, 2]
        assert [found["chunk_grid"]["configuration"]["chunk_shape"][0],
                inner["chunk_shape"][0]] == whole  # fmt: skip
    assert (stored[0] / "parameters/c/2/0/0").is_file() and (stored[0] / "runs/seed/c/2").is_file()


def test_the_page_is_short() -> None:
    assert len(TEXT.splitlines()) <= 150

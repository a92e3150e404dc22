"""A restored state is the saved one, bit for bit, on any arrangement of devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mole_jax.core.devices import mesh as meshes
from mole_jax.core.errors import UserError
from mole_jax.core.storage import checkpoint_files as stored
from mole_jax.core.storage.checkpoint import Checkpoints
from mole_jax.core.storage.checkpoint_files import checksum
from tests.tiny import hashes

# A restore that Orbax refuses leaves coroutines behind, which end after their event loop is closed
# and may do so during the next test.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]


def state(scale: float = 1.0) -> dict[str, Any]:
    params = {"dense": {"kernel": scale * jnp.arange(16.0).reshape(8, 2), "bias": jnp.ones(2)}}
    return {
        "step": jnp.int32(3),
        "params": params,
        "ema": jax.tree.map(lambda x: x.astype(jnp.bfloat16), params),
        "optimizer": optax.adamw(1e-3).init(params),
        "key": jax.random.key(7),
    }


def assert_same(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
            x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_the_latest_few_are_kept(tmp_path: Path) -> None:
    with Checkpoints(tmp_path / "c", keep=2) as checkpoints:
        assert checkpoints.latest_step() is None
        for step in (10, 20, 30):
            checkpoints.save(step, state(float(step)))
        checkpoints.wait()
        assert checkpoints.latest_step() == 30
        assert_same(checkpoints.restore(20, state()), state(20.0))
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["20", "30"]


def test_the_best_is_kept_beside_them(tmp_path: Path) -> None:
    losses = {10: 3.0, 20: 1.0, 30: 2.0, 40: 5.0, 50: 4.0}
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        assert checkpoints.best_step() is None
        for step, loss in losses.items():
            checkpoints.save(step, state(loss), loss)
    with Checkpoints(tmp_path, keep=2) as checkpoints:  # and found by another process
        assert checkpoints.best_step() == stored.best_step(tmp_path) == 20
        assert_same(checkpoints.restore(20, state()), state(1.0))
        assert checkpoints.restore_latest(state())[0] == 50
        checkpoints.save(60, state(), 0.5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["50", "60"]


def test_another_process_finds_and_restores_them_from_shapes_alone(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, state())
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 5
        assert_same(checkpoints.restore(5, jax.eval_shape(state)), state())


def test_saved_sharded_restored_otherwise(tmp_path: Path) -> None:
    x = jnp.arange(32.0).reshape(16, 2)
    split = meshes.along(meshes.make_mesh(), "data")
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jax.device_put(x, split)})
        checkpoints.wait()
        lone = checkpoints.restore(1, {"x": x})["x"]
        assert len(lone.sharding.device_set) == 1
        other = meshes.along(meshes.make_mesh({"fsdp": 4}), "fsdp")
        like = {"x": jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=other)}
        again = checkpoints.restore(1, like)["x"]
        assert again.sharding == other
    np.testing.assert_array_equal(lone, x)
    np.testing.assert_array_equal(again, x)


def test_saving_does_not_see_later_changes(tmp_path: Path) -> None:
    """The state may be donated to the next step while the files are still being written."""
    step = jax.jit(lambda x: x + 1, donate_argnums=0)
    x = jnp.zeros(1000)
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, {"x": x})
        x = step(x)
        checkpoints.wait()
        np.testing.assert_array_equal(checkpoints.restore(0, {"x": x})["x"], np.zeros(1000))


def test_an_unfinished_save_is_not_a_checkpoint(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.ones(3)})
    # What a kill leaves: Orbax writes into such a folder and renames it at the end.
    (tmp_path / "2.orbax-checkpoint-tmp").mkdir()
    with Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.latest_step() == 1
        np.testing.assert_array_equal(checkpoints.restore(1, {"x": jnp.zeros(3)})["x"], np.ones(3))


def test_other_shapes_are_refused(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": jnp.ones(3)})
        checkpoints.wait()
        with pytest.raises(UserError, match="not compatible with the stored shape"):
            checkpoints.restore(1, {"x": jnp.ones(4)})


def test_an_older_step_is_refused(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(2, {"x": jnp.ones(3)})
        for step in (1, 2):
            with pytest.raises(ValueError, match="not be newer than the latest, 2"):
                checkpoints.save(step, {"x": jnp.ones(3)})


def damage(checkpoint: Path, change: str = "flip") -> None:
    """Spoil the file that holds the values of a checkpoint."""
    path = max((p for p in checkpoint.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    if change == "delete":
        path.unlink()
        return
    data = bytearray(path.read_bytes())
    if change == "flip":
        data[len(data) // 2] ^= 0x10
    path.write_bytes(data if change == "flip" else data[: len(data) // 2])


@pytest.mark.parametrize("change", ["flip", "truncate", "delete"])
def test_a_damaged_checkpoint_is_put_aside(
    change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    states = [{"x": jnp.asarray(rng.normal(size=20_000), "float32")} for _ in range(3)]
    path = tmp_path / "c"
    with Checkpoints(path) as checkpoints:
        assert checkpoints.restore_latest(states[0]) is None
        for step in (1, 2):
            checkpoints.save(step, states[step])
    damage(path / "2", change)
    kept = hashes(path / "2")
    with Checkpoints(path) as checkpoints:
        found = checkpoints.restore_latest(states[0])
        assert found is not None and found[0] == 1
        assert_same(found[1], states[1])
        said = capsys.readouterr().err
        assert "warning: checkpoint 2" in said and f"moved to {tmp_path / 'damaged' / '2'}" in said
        assert hashes(tmp_path / "damaged" / "2") == kept
        checkpoints.save(2, states[2])  # made again
    with Checkpoints(path) as checkpoints:
        assert_same(checkpoints.restore(2, states[0]), states[2])
    for step in "12":
        damage(path / step, change)
    with (
        Checkpoints(path) as checkpoints,
        pytest.raises(UserError, match=r"all checkpoints in .* were damaged and are now in"),
    ):
        checkpoints.restore_latest(states[0])
    assert sorted(p.name for p in (tmp_path / "damaged").iterdir()) == ["1", "2", "2.1"]


def test_the_checksum_sees_every_bit_and_the_order() -> None:
    x = jnp.arange(6.0)
    sums = [{"x": x}, {"x": x[::-1]}, {"x": x.at[4].set(jnp.nextafter(x[4], 9.0))}]
    sums += [{"x": x, "y": jnp.zeros(2)}, {"x": x.astype(jnp.bfloat16)}]
    assert len({int(checksum(s)) for s in sums}) == len(sums)
    split = meshes.along(meshes.make_mesh(), "data")
    y = jnp.arange(16.0)
    assert int(checksum({"x": jax.device_put(y, split)})) == int(checksum({"x": y}))


def test_the_checksum_is_the_same_wherever_it_is_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored, "_BLOCK", 7)
    rng = np.random.default_rng(0)
    state = {
        "key": jax.random.key(3),
        "step": jnp.int32(-5),
        "flag": jnp.array([True, False]),
        "nothing": jnp.zeros((0, 3)),
        "python": 3,
        "numpy": rng.normal(size=5),
        **{d: jnp.asarray(rng.normal(size=(4, 3, 5)), d) for d in ("float32", "bfloat16")},
        **{d: jnp.asarray(rng.integers(0, 99, (2, 9)), d) for d in ("int8", "uint32")},
    }
    on_devices = stored._checksum_on_devices(state)
    assert int(checksum(state)) == int(on_devices)
    assert checksum(state).dtype == on_devices.dtype == jnp.uint32


def test_one_that_is_still_being_written_is_waited_for(tmp_path: Path) -> None:
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state())
        found = checkpoints.restore_latest(state())
    assert found is not None
    assert_same(found[1], state())

"""Fused attention is used where it can be, and its absence is said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mole_jax.metamodel.layers import attention as attentions
from mole_jax.metamodel.layers.attention import attention


@pytest.fixture(autouse=True)
def ask_anew() -> Iterator[None]:
    attentions._is_there.cache_clear()
    yield
    attentions._is_there.cache_clear()


def inputs(dtype: str = "float32", size: int = 8, length: int = 6) -> jax.Array:
    return jax.random.normal(jax.random.key(0), (3, 2, length, 4, size), dtype)


def test_it_is_a_weighted_mean_of_the_values() -> None:
    q, k, v = inputs()
    scores = jnp.einsum("blhd,bmhd->bhlm", q, k) / jnp.sqrt(8.0)
    expected = jnp.einsum("bhlm,bmhd->blhd", jax.nn.softmax(scores), v)
    np.testing.assert_allclose(attention(q, k, v), expected, rtol=1e-5, atol=1e-5)


def test_what_is_not_there_is_not_looked_at() -> None:
    q, k, v = inputs("float32")
    there = jnp.broadcast_to(jnp.arange(k.shape[1]) % 3 > 0, k.shape[:2])
    seen = np.flatnonzero(there[0])
    wanted = attention(q[:, seen], k[:, seen], v[:, seen])
    np.testing.assert_allclose(attention(q, k, v, there)[:, seen], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "size", "length", "fits"),
    [
        ("bfloat16", 8, 6, True),
        ("float16", 128, 6, True),
        ("float32", 64, 6, False),
        ("bfloat16", 12, 6, False),
        ("bfloat16", 136, 6, False),
        ("bfloat16", 64, 23, False),
    ],
)
def test_what_the_fused_kernel_takes(dtype: str, size: int, length: int, fits: bool) -> None:
    assert attentions.fits(inputs(dtype, size, length)[0]) == fits


def test_without_cudnn_a_gpu_uses_the_plain_one_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")  # on which cuDNN is missing
    q, k, v = inputs("bfloat16")
    for _ in range(2):
        y = jax.jit(attention)(q, k, v)
    assert y.shape == q.shape
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("attention: XLA's own instead of cuDNN's: ")


def test_with_cudnn_a_gpu_uses_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []
    plain = jax.nn.dot_product_attention

    def spy(
        q: jax.Array, k: jax.Array, v: jax.Array, *, implementation: str | None, **kw: Any
    ) -> jax.Array:
        asked.append(implementation)
        return plain(q, k, v)

    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
    attention(*inputs("bfloat16"))
    attention(*inputs("float32"))
    assert asked == ["cudnn", "cudnn", None]  # tried, used, and not used
    assert capsys.readouterr().out == "attention: cuDNN's flash attention\n"

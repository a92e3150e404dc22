"""Loss and accuracy are those of the unmasked examples, with any batch dimensions."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mole_jax.tasks.classification import cross_entropy, loss_and_accuracy


def example(*batch: int) -> tuple[jax.Array, jax.Array]:
    key = jax.random.key(0)
    return 3 * jax.random.normal(key, (*batch, 7, 4)), jax.random.randint(key, (7,), 0, 4)


def test_cross_entropy_is_optax_s() -> None:
    logits, labels = example()
    expected = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    np.testing.assert_allclose(cross_entropy(logits, labels), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_padding_does_not_count(batch: tuple[int, ...]) -> None:
    logits, labels = map(np.asarray, example(*batch))
    mask = np.array([1, 1, 0, 1, 0, 0, 1], bool)
    measure = jax.jit(loss_and_accuracy)
    loss, accuracy = measure(logits, labels, mask)
    assert loss.shape == accuracy.shape == batch
    each, hit = -jax.nn.log_softmax(logits), logits.argmax(-1) == labels
    expected = np.take_along_axis(
        np.asarray(each), np.broadcast_to(labels, hit.shape)[..., None], -1
    )
    np.testing.assert_allclose(loss, expected[..., 0][..., mask].mean(-1), rtol=1e-5)
    np.testing.assert_allclose(accuracy, hit[..., mask].mean(-1), rtol=1e-6)
    changed = np.where(mask, labels, 3 - labels)
    np.testing.assert_array_equal(measure(logits, changed, mask)[0], loss)


def test_no_examples_give_zero_and_not_nan() -> None:
    logits, labels = example()
    loss, accuracy = loss_and_accuracy(logits, labels, jnp.zeros(7, bool))
    assert (float(loss), float(accuracy)) == (0.0, 0.0)


def test_half_precision_logits_give_a_single_precision_loss() -> None:
    logits, labels = example()
    assert cross_entropy(logits.astype(jnp.bfloat16), labels).dtype == jnp.float32

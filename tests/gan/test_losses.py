"""The losses against NumPy, and the penalties against a closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.gan.losses import discriminator_loss, generator_loss, gradient_penalty


def logits() -> tuple[np.ndarray, np.ndarray]:
    real, fake = np.random.default_rng(0).normal(size=(2, 16)).astype(np.float32)
    return real, fake


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


REAL, FAKE = logits()
CROSS_ENTROPY = -np.log(sigmoid(REAL)).mean() - np.log(1 - sigmoid(FAKE)).mean()


@pytest.mark.parametrize(
    ("loss", "of_d", "of_g"),
    [
        ("non_saturating", CROSS_ENTROPY, -np.log(sigmoid(FAKE)).mean()),
        ("minimax", CROSS_ENTROPY, np.log(1 - sigmoid(FAKE)).mean()),
        (
            "hinge",
            np.maximum(0, 1 - REAL).mean() + np.maximum(0, 1 + FAKE).mean(),
            -FAKE.mean(),
        ),
        (
            "relativistic",
            -np.log(sigmoid(REAL - FAKE)).mean(),
            -np.log(sigmoid(FAKE - REAL)).mean(),
        ),
    ],
)
def test_losses_are_what_their_papers_say(loss, of_d, of_g):
    real, fake = jnp.asarray(REAL), jnp.asarray(FAKE)
    np.testing.assert_allclose(discriminator_loss(real, fake, loss), of_d, rtol=1e-5)
    np.testing.assert_allclose(generator_loss(fake, loss, real), of_g, rtol=1e-5)


@pytest.mark.parametrize("loss", ["non_saturating", "minimax", "hinge", "relativistic"])
def test_losses_of_certain_answers_are_finite_and_pull_the_right_way(loss):
    certain = jnp.array([1e4, -1e4])
    assert jnp.isfinite(discriminator_loss(certain, certain, loss))
    assert jnp.isfinite(generator_loss(certain, loss, certain))
    fake, real = jnp.array([-3.0, 0.0, 2.0]), jnp.zeros(3)
    assert (jax.grad(generator_loss)(fake, loss, real) < 0).all()
    assert (jax.grad(discriminator_loss, 1)(real, fake, loss) >= 0).all()


def test_the_penalty_of_a_quadratic_is_known():
    """Of D(x) = |x|^2 the gradient is 2x, and the penalty 2|x|^2."""
    images = np.random.default_rng(1).normal(size=(5, 4, 4, 3)).astype(np.float32)
    penalty = gradient_penalty(
        lambda images: jnp.sum(images**2, axis=(1, 2, 3)), jnp.asarray(images)
    )
    np.testing.assert_allclose(penalty, 2 * (images**2).sum() / 5, rtol=1e-5)

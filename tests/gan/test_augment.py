"""Augmentation: each transformation against a plain one, and how often it happens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.gan import augment


SIZE, COUNT = 16, 40
ALL = ("colour", "translation", "cutout")


def random_images(count: int = COUNT) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (count, SIZE, SIZE, 3)).astype(np.float32)


def drawn(names: tuple, probability: float, count: int = COUNT) -> augment.Augmentation:
    key = jax.random.key(3)
    return augment.draw(key, count, SIZE, names, probability)


def one_by_one(transform, augmentation: augment.Augmentation) -> np.ndarray:
    """Apply a plain function of an image and its parameters to each image."""
    rows = [np.asarray(values) for values in augmentation]
    parameters = [augment.Augmentation(*values) for values in zip(*rows, strict=True)]
    pairs = zip(random_images(), parameters, strict=True)
    return np.stack([transform(image, p) for image, p in pairs])


def coloured(image: np.ndarray, p: augment.Augmentation) -> np.ndarray:
    image = image + p.brightness
    grey = image.mean(2, keepdims=True)
    image = grey + (image - grey) * p.saturation
    return image.mean() + (image - image.mean()) * p.contrast


def translated(image: np.ndarray, p: augment.Augmentation) -> np.ndarray:
    result = np.zeros_like(image)
    down, right = p.shift
    for y in range(SIZE):
        for x in range(SIZE):
            if 0 <= y - down < SIZE and 0 <= x - right < SIZE:
                result[y, x] = image[y - down, x - right]
    return result


def cut_out(image: np.ndarray, p: augment.Augmentation) -> np.ndarray:
    result = image.copy()
    for y in range(SIZE):
        for x in range(SIZE):
            offsets = (y + 0.5) / SIZE - p.centre[0], (x + 0.5) / SIZE - p.centre[1]
            if p.cutout and max(map(abs, offsets)) < 0.25:
                result[y, x] = 0
    return result


@pytest.mark.parametrize(
    ("name", "plain"),
    [("colour", coloured), ("translation", translated), ("cutout", cut_out)],
)
def test_a_transformation_is_what_a_plain_one_does_to_each_image(name, plain):
    augmentation = drawn((name,), 0.7)
    ours = augment.apply(augmentation, jnp.asarray(random_images()), (name,))
    np.testing.assert_allclose(ours, one_by_one(plain, augmentation), atol=1e-5)
    assert np.abs(ours - random_images()).max(axis=(1, 2, 3)).astype(bool).sum() > 10


def test_without_a_chance_nothing_changes():
    images = jnp.asarray(random_images())
    np.testing.assert_allclose(
        augment.apply(drawn(ALL, 0.0), images, ALL), images, atol=1e-6
    )


@pytest.mark.parametrize("probability", [0.2, 0.9])
def test_each_is_applied_as_often_as_its_probability_says(probability):
    augmentation = drawn(ALL, probability, 4000)
    still = 1 / (2 * (SIZE // 8) + 1) ** 2  # no shift is among the shifts
    shares = {
        "colour": np.mean(augmentation.brightness != 0),
        "translation": np.mean((augmentation.shift != 0).any(1)) / (1 - still),
        "cutout": np.mean(augmentation.cutout),
    }
    for share in shares.values():
        assert abs(share - probability) < 5 * np.sqrt(0.25 / 4000)


def test_gradients_are_the_slopes_of_the_transformed_images():
    augmentation = drawn(ALL, 1.0)

    def total(images):
        return jnp.sum(augment.apply(augmentation, images, ALL) ** 2)

    images = jnp.asarray(random_images())
    grads = jax.grad(total)(images)
    direction = jnp.asarray(random_images()[::-1].copy())
    step = 1e-2
    ahead, behind = total(images + step * direction), total(images - step * direction)
    slope = (ahead - behind) / (2 * step)
    np.testing.assert_allclose(jnp.sum(grads * direction), slope, rtol=1e-3)


def test_mirrored_images_exchange_left_and_right():
    images = random_images(3)
    mirrored = augment.mirror(jnp.asarray(images), jnp.array([True, False, True]))
    np.testing.assert_array_equal(mirrored[0], images[0][:, ::-1])
    np.testing.assert_array_equal(mirrored[1], images[1])


def test_an_adaptive_probability_rises_while_d_is_too_sure_and_stays_in_range():
    p = jnp.float32(0.5)
    step = 64 / augment.ADAPTATION_IMAGES
    assert augment.adapted(p, jnp.float32(0.9), 0.6, 64) == pytest.approx(0.5 + step)
    assert augment.adapted(p, jnp.float32(0.1), 0.6, 64) == pytest.approx(0.5 - step)
    assert augment.adapted(jnp.float32(0), jnp.float32(0.1), 0.6, 64) == 0
    assert augment.adapted(jnp.float32(1), jnp.float32(1), 0.6, 64) == 1

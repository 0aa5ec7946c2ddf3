"""Augmentation of what the discriminator sees, on the device and differentiable.

D sees real and fake images through the same random transformations, each applied to an
image with the same probability. G learns through them, and is not led to make
transformed pictures, as long as the probability stays below 1 or the transformation can
be undone. Parameters are drawn first and applied after, so that a test can compare with
a plain one, and devices can share the draws of a batch.

Images are in [-1, 1]. `colour` adds a brightness of ±0.5, scales the difference from
grey by 0 to 2 (saturation), and that from the image's mean by 0.5 to 1.5 (contrast).
`translation` shifts by whole pixels, up to an eighth of the side, and zeros come in.
`cutout` sets a square to zero, whose side is half the image's, anywhere.

Adaptive probability: it rises while D's answers to real images have the right sign more
often than `target` says, and falls otherwise. The sign's mean, r, is 0 where D knows
nothing and 1 where it has learned the pictures by heart.

Source: Zhao et al., "Differentiable Augmentation for Data-Efficient GAN Training",
NeurIPS 2020, section 4, for the transformations; Karras et al., "Training Generative
Adversarial Networks with Limited Data", NeurIPS 2020, section 3, for the probability.
Deviation: Zhao et al. apply each always. Karras et al. look at r over four batches and
move in steps; ours moves at every update, at the same rate.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


Transformation = Literal["colour", "translation", "cutout"]

ADAPTATION_IMAGES = 500_000  # in which an adaptive probability can go from 0 to 1

Images = Float[Array, "b h w 3"]


class Augmentation(NamedTuple):
    """The transformations of each image of a batch; the identity where not applied."""

    brightness: Float[Array, " b"]
    saturation: Float[Array, " b"]
    contrast: Float[Array, " b"]
    shift: Int[Array, "b 2"]  # in pixels, down and to the right
    cutout: Bool[Array, " b"]  # whether there is a square of zeros
    centre: Float[Array, "b 2"]  # of the square, in sides of the image


def draw(
    key: Array,
    count: int,
    size: int,
    transformations: tuple[Transformation, ...],
    probability: Float[Array, ""] | float,
) -> Augmentation:
    """Draw the transformations of `count` images with sides of `size` pixels."""
    keys = iter(jax.random.split(key, 8))

    def applied(name: Transformation) -> Bool[Array, " b"]:
        chance = probability if name in transformations else 0.0
        return jax.random.bernoulli(next(keys), chance, (count,))

    def uniform(low: float, high: float, *shape: int) -> Float[Array, "b ..."]:
        return jax.random.uniform(next(keys), (count, *shape), minval=low, maxval=high)

    reach = size // 8
    colour, translation, cutout = map(applied, ("colour", "translation", "cutout"))
    shift = jax.random.randint(next(keys), (count, 2), -reach, reach + 1)
    return Augmentation(
        brightness=jnp.where(colour, uniform(-0.5, 0.5), 0.0),
        saturation=jnp.where(colour, uniform(0.0, 2.0), 1.0),
        contrast=jnp.where(colour, uniform(0.5, 1.5), 1.0),
        shift=jnp.where(translation[:, None], shift, 0),
        cutout=cutout,
        centre=uniform(0.0, 1.0, 2),
    )


def apply(
    augmentation: Augmentation,
    images: Images,
    transformations: tuple[Transformation, ...],
) -> Images:
    """Return the images as D sees them; those not in `transformations` cost nothing."""
    if "colour" in transformations:
        images = _colour(augmentation, images)
    if "translation" in transformations:
        images = jax.vmap(_translated)(images, augmentation.shift)
    if "cutout" in transformations:
        images = _cut_out(augmentation, images)
    return images


def draw_mirrored(key: Array, count: int) -> Bool[Array, " b"]:
    """Draw which of `count` images are mirrored: half of them."""
    return jax.random.bernoulli(key, 0.5, (count,))


def mirror(images: Images, mirrored: Bool[Array, " b"]) -> Images:
    """Return the images with left and right exchanged in those that are chosen."""
    return jnp.where(mirrored[:, None, None, None], images[:, :, ::-1], images)


def adapted(
    probability: Float[Array, ""],
    sign: Float[Array, ""],
    target: float,
    batch_size: int,
) -> Float[Array, ""]:
    """Return the next adaptive probability.

    Args:
        probability: the last one.
        sign: the mean sign of D's answers to the real images of an update.
        target: that the sign is to have.
        batch_size: images of an update, over all devices.
    """
    step = batch_size / ADAPTATION_IMAGES * jnp.sign(sign - target)
    return jnp.clip(probability + step, 0.0, 1.0)


def _colour(augmentation: Augmentation, images: Images) -> Images:
    brightness, saturation, contrast = (
        values[:, None, None, None] for values in augmentation[:3]
    )
    images = images + brightness
    grey = images.mean(axis=3, keepdims=True)
    images = grey + saturation * (images - grey)
    mean = images.mean(axis=(1, 2, 3), keepdims=True)
    return mean + contrast * (images - mean)


def _translated(
    image: Float[Array, "h w 3"], shift: Int[Array, "2"]
) -> Float[Array, "h w 3"]:
    reach = len(image) // 8
    padded = jnp.pad(image, ((reach, reach), (reach, reach), (0, 0)))
    start = (reach - shift[0], reach - shift[1], 0)
    return jax.lax.dynamic_slice(padded, start, image.shape)


def _cut_out(augmentation: Augmentation, images: Images) -> Images:
    size = images.shape[1]
    places = (jnp.arange(size) + 0.5) / size
    inside = jnp.abs(places[None, None] - augmentation.centre[:, :, None]) < 0.25
    square = inside[:, 0, :, None] & inside[:, 1, None, :]
    removed = square & augmentation.cutout[:, None, None]
    return jnp.where(removed[..., None], 0.0, images)

"""Generator and discriminator: 100 latent numbers to an image, an image to a logit.

Source: Beyers and Loane, "Generating Novel Works of Art Using Generative Adversarial
Networks", section 3.2; initial values from Radford, Metz and Chintala, "Unsupervised
Representation Learning with Deep Convolutional Generative Adversarial Networks",
ICLR 2016, section 4.

Deviation: the paper has 64 by 64 pixels only. Larger images get further stages at the
end where the map is smallest, with no more channels than the paper's last stage
(8·width), so that 256 by 256 pixels cost memory for pixels and not for weights. The
paper does not say how weights are initialised: here as in DCGAN, N(0, 0.02), N(1, 0.02)
for the scales of batch norm. Convolutions have no bias: batch norm would cancel it.

A stage is what `deconvnet` calls a layer.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxart.gan import convolution


SIZES = (32, 64, 128, 256)  # sides of the images, in pixels
SMALLEST = 4  # side of the smallest map inside both networks, in pixels
LEAK = 0.2  # slope of the leaky ReLU below zero
MOMENTUM = 0.9  # of the running statistics, as Flax counts it; PyTorch's is 0.1
EPSILON = 1e-5  # added to variances
KERNEL = nnx.initializers.normal(0.02)


def _scale(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    return 1.0 + 0.02 * jax.random.normal(key, shape, dtype)


def _batch_norm(channels: int, dtype: str, rngs: nnx.Rngs) -> nnx.BatchNorm:
    return nnx.BatchNorm(
        channels,
        momentum=MOMENTUM,
        epsilon=EPSILON,
        scale_init=_scale,
        dtype=jnp.dtype(dtype),
        rngs=rngs,
    )


def _widths(size: int, width: int) -> list[int]:
    """Channels from the largest map to the smallest: w, 2w, 4w, 8w, 8w, ..."""
    stages = (size // SMALLEST).bit_length() - 1
    return [width * min(1 << stage, 8) for stage in range(stages)]


class DownBlock(nnx.Module):
    """Halve the sides: strided convolution, batch norm, leaky ReLU."""

    def __init__(self, i: int, o: int, *, normalise: bool, dtype: str, rngs: nnx.Rngs):
        self.kernel = nnx.Param(KERNEL(rngs.params(), (4, 4, i, o)))
        self.norm = _batch_norm(o, dtype, rngs) if normalise else nnx.identity
        self.dtype = dtype

    def __call__(
        self, x: Float[Array, "b height width i"]
    ) -> Float[Array, "b height//2 width//2 o"]:
        """Return the next, smaller map."""
        x = convolution.halve(x, self.kernel[...].astype(self.dtype))
        return nnx.leaky_relu(self.norm(x), LEAK)


class UpBlock(nnx.Module):
    """Double the sides: batch norm, leaky ReLU, transposed convolution."""

    def __init__(self, i: int, o: int, *, dtype: str, rngs: nnx.Rngs):
        self.norm = _batch_norm(i, dtype, rngs)
        self.kernel = nnx.Param(KERNEL(rngs.params(), (4, 4, o, i)))
        self.dtype = dtype

    def __call__(self, x: Float[Array, "b h w i"]) -> Float[Array, "b 2*h 2*w o"]:
        """Return the next, larger map; not yet normalised."""
        x = nnx.leaky_relu(self.norm(x), LEAK)
        return convolution.double(x, self.kernel[...].astype(self.dtype))


class Generator(nnx.Module):
    """Map latents to images, with sides of one of `SIZES`.

    The largest map inside has `width` channels; in the paper 128, and 100 latents.
    `dtype` is that of the products; parameters and statistics stay float32.
    """

    def __init__(
        self, size: int, width: int, latent_dim: int, *, dtype: str, rngs: nnx.Rngs
    ):
        widths = _widths(size, width)[::-1]
        # DCGAN's project and reshape; the name is that of checkpoints.
        self.seed = nnx.Param(KERNEL(rngs.params(), (latent_dim, 4, 4, widths[0])))
        self.stages = nnx.List(
            UpBlock(i, o, dtype=dtype, rngs=rngs) for i, o in pairwise([*widths, 3])
        )
        self.latent_dim = latent_dim
        self.dtype = dtype

    def __call__(self, z: Float[Array, "b z"]) -> Float[Array, "b h w 3"]:
        """Return one image in [-1, 1] for each row of N(0, 1) numbers."""
        seed = self.seed[...].astype(self.dtype)
        x = jnp.einsum("bz,zhwo->bhwo", z.astype(self.dtype), seed)
        for stage in self.stages:
            x = stage(x)
        return jnp.tanh(x.astype(jnp.float32))


class Discriminator(nnx.Module):
    """Classify images as paintings or samples; sizes as of `Generator`."""

    def __init__(self, size: int, width: int, *, dtype: str, rngs: nnx.Rngs):
        widths = _widths(size, width)
        self.stages = nnx.List(
            # No batch norm on the pixels themselves.
            DownBlock(i, o, normalise=stage > 0, dtype=dtype, rngs=rngs)
            for stage, (i, o) in enumerate(pairwise([3, *widths]))
        )
        self.score = nnx.Linear(
            SMALLEST * SMALLEST * widths[-1], 1, kernel_init=KERNEL, rngs=rngs
        )
        self.dtype = dtype

    def __call__(self, images: Float[Array, "b h w 3"]) -> Float[Array, " b"]:
        """Return one logit per image in [-1, 1]; above zero means "a painting"."""
        x = self.maps(images)[-1]
        return self.score(x.astype(jnp.float32).reshape(x.shape[0], -1))[:, 0]

    def maps(self, images: Float[Array, "b h w 3"]) -> list[Float[Array, "b _ _ _"]]:
        """Return the map of each stage, from the largest to the smallest."""
        maps = [images.astype(self.dtype)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

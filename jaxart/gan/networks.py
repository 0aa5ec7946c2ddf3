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

Options beside the paper's networks:

* Normalisation `none`: biases in place of batch norm, and initial kernels that keep the
  variance of the maps (He et al., "Delving Deep into Rectifiers", ICCV 2015). A penalty
  of D's gradient asks for it: with batch norm, D's answer to an image depends on the
  others (Gulrajani et al., "Improved Training of Wasserstein GANs", 2017, section 4).
* Normalisation `spectral`, of D alone: kernels divided by their largest singular value,
  as matrices from inputs to outputs, which one step of the power iteration a pass
  follows (Miyato et al., "Spectral Normalization for GANs", ICLR 2018).
* Resampling `smooth`: nearest-neighbour upsampling and a 3 by 3 convolution in place of
  the transposed one, and a 3 by 3 convolution and the mean of two by two pixels in
  place of the strided one. All pixels get the same weights, and no checkerboard is
  built in (Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts",
  Distill 2016). Both are the paper's operators with a 4 by 4 kernel that is the sum of
  four shifted 3 by 3 ones, and cost the same.
* A condition (`conditions`) follows the latents of a point: both make the first map,
  and the condition alone shifts and scales the channels of each normalised map
  (Dumoulin et al., "A Learned Representation for Artistic Style", ICLR 2017). D has
  further scores, a linear function of its last map for each number of a condition
  (Miyato and Koyama, "cGANs with Projection Discriminator", ICLR 2018; theirs is of the
  map's sum).
* Excitation: the smallest map of G scales the channels of its largest one (Liu et al.,
  "Towards Faster and Stabilized GAN Training", ICLR 2021, section 3.1).
"""

import math
from itertools import pairwise
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxart.gan import convolution


Normalisation = Literal["batch", "none", "spectral"]
Resampling = Literal["strided", "smooth"]

SIZES = (32, 64, 128, 256)  # sides of the images, in pixels
SMALLEST = 4  # side of the smallest map inside both networks, in pixels
LEAK = 0.2  # slope of the leaky ReLU below zero
MOMENTUM = 0.9  # of the running statistics, as Flax counts it; PyTorch's is 0.1
EPSILON = 1e-5  # added to variances
KERNEL = nnx.initializers.normal(0.02)
HE_GAIN = math.sqrt(2 / (1 + LEAK**2))


def _scale(key: Array, shape: tuple[int, ...], dtype=jnp.float32) -> Array:
    return 1.0 + 0.02 * jax.random.normal(key, shape, dtype)


def batch_norm(channels: int, dtype: str, rngs: nnx.Rngs) -> nnx.BatchNorm:
    """Return a new batch norm, as all of them are here."""
    return nnx.BatchNorm(
        channels,
        momentum=MOMENTUM,
        epsilon=EPSILON,
        scale_init=_scale,
        dtype=jnp.dtype(dtype),
        rngs=rngs,
    )


def channel_counts(size: int, width: int) -> list[int]:
    """Return channels from the largest map to the smallest: w, 2w, 4w, 8w, 8w, ..."""
    stages = (size // SMALLEST).bit_length() - 1
    return [width * min(1 << stage, 8) for stage in range(stages)]


def he_normal(key: Array, shape: tuple[int, ...], fan_in: int) -> Array:
    """Return weights whose sums over `fan_in` inputs keep the inputs' variance."""
    return HE_GAIN / math.sqrt(fan_in) * jax.random.normal(key, shape)


def _box(kernel: Float[Array, "3 3 i o"]) -> Float[Array, "4 4 i o"]:
    """Return the sum of the kernel at the four places of a 4 by 4 one."""
    sides = ((0, 1), (1, 0))
    padded = [jnp.pad(kernel, (y, x, (0, 0), (0, 0))) for y in sides for x in sides]
    return sum(padded[1:], padded[0])


def _zero_linear(i: int, o: int, rngs: nnx.Rngs) -> Any:
    """Return a linear function that begins as zero; None for no input or no output."""
    if not (i and o):
        return None
    zeros = nnx.initializers.zeros
    return nnx.Linear(i, o, kernel_init=zeros, use_bias=False, rngs=rngs)


class _Block(nnx.Module):
    """What `DownBlock` and `UpBlock` share: a kernel, its bias, and a normalisation.

    Args:
        large: channels of the larger map.
        small: channels of the smaller one.
        down: whether sides are halved, rather than doubled.
        normalised: channels that batch norm normalises, 0 for none.
        normalisation: see above.
        resampling: see above.
        dtype: of the products.
        rngs: of the initial values.
    """

    def __init__(
        self,
        large: int,
        small: int,
        *,
        down: bool,
        normalised: int,
        normalisation: Normalisation,
        resampling: Resampling,
        dtype: str,
        rngs: nnx.Rngs,
    ):
        side = 4 if resampling == "strided" else 3
        shape = (side, side, large, small)
        self.dtype = dtype
        self.down = down
        self.normalisation = normalisation
        self.use_running_average = False
        if normalisation == "batch":
            self._init_batch_norm(shape, normalised, rngs)
        else:
            self._init_he(shape, rngs)

    def _init_batch_norm(
        self, shape: tuple[int, ...], channels: int, rngs: nnx.Rngs
    ) -> None:
        def kernel() -> nnx.Param:
            return nnx.Param(KERNEL(rngs.params(), shape))

        def norm() -> Any:
            return batch_norm(channels, self.dtype, rngs) if channels else nnx.identity

        # Drawn in the order of the layers, which a seed's networks depend on.
        if self.down:
            self.kernel, self.norm = kernel(), norm()
        else:
            self.norm, self.kernel = norm(), kernel()

    def _init_he(self, shape: tuple[int, ...], rngs: nnx.Rngs) -> None:
        side, _, large, small = shape
        channels_in, channels_out = (large, small) if self.down else (small, large)
        # Of the 16 weights of a strided kernel, a pixel of the larger map meets four.
        taps = 4 if side == 4 and not self.down else side * side
        kernel = he_normal(rngs.params(), shape, taps * channels_in)
        self.kernel = nnx.Param(kernel)
        self.bias = nnx.Param(jnp.zeros(channels_out))
        self.norm = nnx.identity
        if self.normalisation == "spectral":
            start = jax.random.normal(rngs.params(), (small,))
            self.singular = nnx.BatchStat(_unit(start))

    def set_view(self, use_running_average: bool | None = None) -> None:
        """Let `nnx.view` choose between training and inference, as batch norm does."""
        if use_running_average is not None:
            self.use_running_average = use_running_average

    def filters(self) -> Float[Array, "4 4 large small"]:
        """Return the kernel as it is applied, in float32."""
        kernel = self.kernel[...]
        if self.normalisation == "spectral":
            kernel = self._spectral_normalised(kernel)
        if kernel.shape[0] == 4:
            return kernel
        return _box(kernel) / 4 if self.down else _box(kernel)

    def _spectral_normalised(self, kernel: Float[Array, "r s i o"]):
        matrix = kernel.reshape(-1, kernel.shape[3])
        fixed = jax.lax.stop_gradient(matrix)
        left = _unit(fixed @ self.singular[...])
        right = _unit(left @ fixed)
        if not self.use_running_average:
            self.singular[...] = right
        return kernel / (left @ matrix @ right)

    def _biased(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        if self.normalisation == "batch":
            return x
        return x + self.bias[...][None, None, None].astype(x.dtype)


def _unit(vector: Float[Array, " c"]) -> Float[Array, " c"]:
    return vector / (jnp.linalg.norm(vector) + 1e-12)


class DownBlock(_Block):
    """Halve the sides: strided convolution, batch norm or a bias, leaky ReLU."""

    def __init__(self, i: int, o: int, *, first: bool, **options: Any):
        # No batch norm on the pixels themselves.
        super().__init__(i, o, down=True, normalised=0 if first else o, **options)

    def __call__(
        self, x: Float[Array, "b height width i"]
    ) -> Float[Array, "b height//2 width//2 o"]:
        """Return the next, smaller map."""
        x = self._biased(convolution.halve(x, self.filters().astype(self.dtype)))
        return nnx.leaky_relu(self.norm(x), LEAK)


class UpBlock(_Block):
    """Double the sides: batch norm, leaky ReLU, transposed convolution, or a bias.

    Args:
        i: channels of the smaller map.
        o: channels of the larger one.
        condition_size: numbers of a condition; 0 for none.
        **options: of `_Block`.
    """

    def __init__(self, i: int, o: int, *, condition_size: int = 0, **options: Any):
        super().__init__(o, i, down=False, normalised=i, **options)
        rngs = options["rngs"]
        self.modulation = _zero_linear(condition_size, 2 * i, rngs)

    def __call__(
        self, x: Float[Array, "b h w i"], condition: Float[Array, "b c"] | None = None
    ) -> Float[Array, "b 2*h 2*w o"]:
        """Return the next, larger map; not yet normalised."""
        x = self.norm(x)
        if self.modulation is not None and condition is not None:
            shift_scale = self.modulation(condition).astype(x.dtype)
            shift, scale = jnp.split(shift_scale[:, None, None], 2, axis=-1)
            x = x * (1 + scale) + shift
        x = nnx.leaky_relu(x, LEAK)
        return self._biased(convolution.double(x, self.filters().astype(self.dtype)))


class Excitation(nnx.Module):
    """Scale the channels of a map by functions of the smallest one."""

    def __init__(self, i: int, o: int, *, rngs: nnx.Rngs):
        inputs = SMALLEST * SMALLEST * i
        self.hidden = nnx.Linear(inputs, o, rngs=rngs)
        self.out = nnx.Linear(o, o, rngs=rngs)

    def __call__(
        self, x: Float[Array, "b h w o"], smallest: Float[Array, "b 4 4 i"]
    ) -> Float[Array, "b h w o"]:
        """Return `x` with each channel times a number between 0 and 1."""
        rows = smallest.astype(jnp.float32).reshape(len(smallest), -1)
        hidden = nnx.leaky_relu(self.hidden(rows), LEAK)
        gates = nnx.sigmoid(self.out(hidden)).astype(x.dtype)
        return x * gates[:, None, None]


class Generator(nnx.Module):
    """Map latents to images, with sides of one of `SIZES`.

    The largest map inside has `width` channels; in the paper 128, and 100 latents. A
    point is `latent_dim` latents and `condition_size` numbers of a condition. `dtype`
    is that of the products; parameters and statistics stay float32.
    """

    def __init__(
        self,
        size: int,
        width: int,
        latent_dim: int,
        *,
        condition_size: int = 0,
        normalisation: Normalisation = "batch",
        resampling: Resampling = "strided",
        excitation: bool = False,
        dtype: str,
        rngs: nnx.Rngs,
    ):
        widths = channel_counts(size, width)[::-1]
        numbers = latent_dim + condition_size
        shape = (numbers, SMALLEST, SMALLEST, widths[0])
        # DCGAN's project and reshape; the name is that of checkpoints.
        if normalisation == "batch":
            self.seed = nnx.Param(KERNEL(rngs.params(), shape))
        else:
            self.seed = nnx.Param(he_normal(rngs.params(), shape, numbers))
        self.stages = nnx.List(
            UpBlock(
                i,
                o,
                condition_size=condition_size,
                normalisation=normalisation,
                resampling=resampling,
                dtype=dtype,
                rngs=rngs,
            )
            for i, o in pairwise([*widths, 3])
        )
        if excitation:
            self.excitation = Excitation(widths[0], widths[-1], rngs=rngs)
        self.excited = excitation
        self.latent_dim = latent_dim
        self.dtype = dtype

    def __call__(self, points: Float[Array, "b z"]) -> Float[Array, "b h w 3"]:
        """Return one image in [-1, 1] for each row of N(0, 1) numbers.

        A condition follows them in each row, where there are conditions.
        """
        seed = self.seed[...].astype(self.dtype)
        x = smallest = jnp.einsum("bz,zhwo->bhwo", points.astype(self.dtype), seed)
        condition = points[:, self.latent_dim :]
        *inner, last = self.stages
        for stage in inner:
            x = stage(x, condition)
        if self.excited:
            x = self.excitation(x, smallest)
        return jnp.tanh(last(x, condition).astype(jnp.float32))


class Discriminator(nnx.Module):
    """Classify images as paintings or samples; sizes as of `Generator`."""

    def __init__(
        self,
        size: int,
        width: int,
        *,
        condition_size: int = 0,
        normalisation: Normalisation = "batch",
        resampling: Resampling = "strided",
        dtype: str,
        rngs: nnx.Rngs,
    ):
        widths = channel_counts(size, width)
        self.stages = nnx.List(
            DownBlock(
                i,
                o,
                first=stage == 0,
                normalisation=normalisation,
                resampling=resampling,
                dtype=dtype,
                rngs=rngs,
            )
            for stage, (i, o) in enumerate(pairwise([3, *widths]))
        )
        inputs = SMALLEST * SMALLEST * widths[-1]
        kernel = KERNEL if normalisation == "batch" else nnx.initializers.lecun_normal()
        self.score = nnx.Linear(inputs, 1, kernel_init=kernel, rngs=rngs)
        self.condition_scores = _zero_linear(inputs, condition_size, rngs)
        self.normalisation = normalisation
        self.dtype = dtype

    def __call__(
        self,
        images: Float[Array, "b h w 3"],
        conditions: Float[Array, "*k b c"] | None = None,
    ) -> Float[Array, "*k b"]:
        """Return one logit per image in [-1, 1]; above zero means "a painting".

        With conditions, "a painting that is this"; with several for each image, as many
        logits. Without them, the score that all images share.
        """
        x = self.maps(images)[-1]
        features = x.astype(jnp.float32).reshape(x.shape[0], -1)
        logits = self.score(features)[:, 0]
        if self.normalisation == "spectral":
            # A row of weights has one singular value: its length.
            logits /= jnp.linalg.norm(self.score.kernel[...])
        if conditions is None or self.condition_scores is None:
            return logits
        matches = jnp.einsum(
            "bc,...bc->...b", self.condition_scores(features), conditions
        )
        return jnp.broadcast_to(logits, matches.shape) + matches

    def maps(self, images: Float[Array, "b h w 3"]) -> list[Float[Array, "b _ _ _"]]:
        """Return the map of each stage, from the largest to the smallest."""
        maps = [images.astype(self.dtype)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]

"""Weights of a picture's pixels: from a mask, or from visual saliency.

Weights are positive, with mean 1: a weight of two makes an error there count twice.
They come from a grey mask, or are computed: people look at what differs from its
surroundings in brightness or colour, at all scales, and at the centre more than at the
edges.

Source: Itti, Koch and Niebur, "A Model of Saliency-Based Visual Attention for Rapid
Scene Analysis" (1998), for differences between centre and surround at several scales,
in brightness and two pairs of opponent colours; Judd, Ehinger, Durand and Torralba,
"Learning to Predict Where Humans Look" (2009), for the centre bias.
Deviation: no channels of orientation, which a painter's brush marks would fill; and the
channels are combined as one distance between colours, without normalising each.
"""

import os

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image
from scipy import ndimage

from jaxart import images


SIDE = 128  # longer side of the picture that saliency is computed on, in pixels
SCALES = (1 / 128, 1 / 64, 1 / 32, 1 / 16)  # of salient parts, in longer sides
SURROUND = 5.0  # standard deviation of the surround's blur, in those of the centre's
SMOOTH = 0.02  # standard deviation of the result's blur, in longer sides

CORNER_BIAS = 0.5  # about what the centre bias leaves of saliency in the corners
BIAS_WIDTH = 0.6  # standard deviation of the centre bias, in half sides

MIN_WEIGHT = 0.25
MAX_WEIGHT = 4.0  # also the largest saliency, in times its mean
BLACK = 0.05  # weight of black in a mask, of white's: nothing is left unpainted

# Red, green and blue to brightness, red against green, and blue against yellow.
OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [-0.5, -0.5, 1]])


def saliency(picture: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """Return weights from the saliency of a picture.

    Good at what is small, bright or differs in colour; does not recognise faces.

    Args:
        picture: of any size.

    Returns:
        Weights between 0.25 and 4, of mean 1.
    """
    h, w, _ = picture.shape
    colours = _shrink(picture) @ OPPONENT.T
    size = max(colours.shape[:2])
    contrasts = [_contrast(colours, scale * size) for scale in SCALES]
    salient = _blur(np.stack(contrasts, axis=-1), SMOOTH * size).sum(-1)
    salient = salient * _centre_bias(*salient.shape)
    large = Image.fromarray(salient.astype(np.float32)).resize(
        (w, h), Image.Resampling.BILINEAR
    )
    return _balance(np.asarray(large))


def read_weights(
    path: str | os.PathLike[str], height: int, width: int
) -> Float32[np.ndarray, "h w"]:
    """Read a mask as weights: white matters most, black a twentieth of that.

    Args:
        path: a picture, of which only the brightness counts.
        height: that it must have, in pixels.
        width: that it must have, in pixels.

    Returns:
        Weights above 0, of mean 1.

    Raises:
        PictureError: as `images.read_pixels` says.
        ValueError: the mask is of another size.
    """
    pixels = images.read_pixels(path)
    if pixels.shape[:2] != (height, width):
        raise ValueError(
            f"weights must have the picture's size, {width} x {height} pixels; "
            f"got {pixels.shape[1]} x {pixels.shape[0]}"
        )
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32) / 255
    weights = BLACK + (1 - BLACK) * grey
    return weights / weights.mean(dtype=np.float64).astype(np.float32)


def _shrink(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h2 w2 3"]:
    """Return the picture with a longer side of `SIDE`, in [0, 1]."""
    h, w, _ = picture.shape
    sides = [max(1, round(side * SIDE / max(h, w))) for side in (w, h)]
    small = Image.fromarray(picture).resize(sides, Image.Resampling.BILINEAR)
    return np.asarray(small) / 255


def _contrast(
    colours: Float[np.ndarray, "h w 3"], deviation: float
) -> Float[np.ndarray, "h w"]:
    """Return the distance between the colours of centre and surround."""
    centre = _blur(colours, deviation / 2)
    surround = _blur(colours, deviation / 2 * SURROUND)
    return np.linalg.norm(centre - surround, axis=-1)


def _blur(
    planes: Float[np.ndarray, "h w c"], deviation: float
) -> Float[np.ndarray, "h w c"]:
    """Return planes under a Gaussian blur, their edges continued."""
    return ndimage.gaussian_filter(planes, (deviation, deviation, 0), mode="nearest")


def _centre_bias(h: int, w: int) -> Float[np.ndarray, "h w"]:
    """Return the factor of saliency at each pixel, 1 in the centre."""
    down, right = (2 * (np.arange(side) + 0.5) / side - 1 for side in (h, w))
    squared = down[:, None] ** 2 + right[None, :] ** 2
    return CORNER_BIAS + (1 - CORNER_BIAS) * np.exp(-squared / (2 * BIAS_WIDTH**2))


def _balance(salient: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return weights of mean 1, in range, that rise with saliency."""
    mean = salient.mean(dtype=np.float64)
    # A picture of one colour differs from its surroundings by rounding errors.
    salient = np.minimum(salient / max(mean, 1e-9), MAX_WEIGHT)
    above = salient - salient.mean(dtype=np.float64)
    return (1 + (1 - MIN_WEIGHT) * above).astype(np.float32)

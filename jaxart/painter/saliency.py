"""Weights: where in a picture paint matters more, and where less.

A map of weights has one number for each pixel, all above zero, one on average: a weight
of two makes an error there count twice. People paint such a map as a grey mask, or have
it computed: what differs from its surroundings in brightness or colour, at the scale of
a star as of a face, is what eyes go to, and they go to the middle more than to the rim.

Source: Itti, Koch and Niebur, "A Model of Saliency-Based Visual Attention for Rapid
Scene Analysis" (1998), for differences between centre and surround at several scales,
in brightness and two pairs of opponent colours; Judd, Ehinger, Durand and Torralba,
"Learning to Predict Where Humans Look" (2009), for the pull of the middle.
Deviation: no channels of orientation, which a painter's brush marks would fill; and the
channels are joined as one distance between colours, without normalising each.
"""

import os

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from jaxart import images


SIDE = 128  # longer side of the picture that saliency is computed on, in pixels
SCALES = (1 / 128, 1 / 64, 1 / 32, 1 / 16)  # of what stands out, in longer sides
SURROUND = 5.0  # times as wide as the centre
SMOOTH = 0.02  # blur of the result, in longer sides

CORNERS = 0.5  # what the pull of the middle leaves of saliency in corners, nearly
SPREAD = 0.6  # how far that pull reaches, in half sides

REST = 0.25  # what a weight is at least
CAP = 4.0  # what a weight is at most; and saliency, in times its mean
BLACK = 0.05  # what black is in a mask, of white: nothing is left unpainted

# Red, green and blue to brightness, red against green, and blue against yellow.
OPPONENT = np.array([[1 / 3, 1 / 3, 1 / 3], [1, -1, 0], [-0.5, -0.5, 1]])


def saliency(picture: UInt8[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w"]:
    """Return weights for where people are likely to look.

    Good at what is small, bright or of its own colour; knows nothing of faces.

    Args:
        picture: of any size.

    Returns:
        Weights between 0.25 and 4, of mean 1.
    """
    h, w, _ = picture.shape
    colours = _shrunk(picture) @ OPPONENT.T
    size = max(colours.shape[:2])
    contrasts = [_contrast(colours, scale * size) for scale in SCALES]
    salient = _blurred(np.stack(contrasts, axis=-1), SMOOTH * size).sum(-1)
    salient = salient * _middle(*salient.shape)
    large = Image.fromarray(salient.astype(np.float32)).resize(
        (w, h), Image.Resampling.BILINEAR
    )
    return _balanced(np.asarray(large))


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
        found = f"{pixels.shape[1]} x {pixels.shape[0]}"
        raise ValueError(
            f"weights must have the picture's size, {width} x {height} pixels; "
            f"got {found}"
        )
    grey = np.asarray(Image.fromarray(pixels).convert("L"), np.float32) / 255
    weights = BLACK + (1 - BLACK) * grey
    return weights / weights.mean(dtype=np.float64).astype(np.float32)


def _shrunk(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h2 w2 3"]:
    """Return the picture with a longer side of `SIDE`, in [0, 1]."""
    h, w, _ = picture.shape
    sides = [max(1, round(side * SIDE / max(h, w))) for side in (w, h)]
    small = Image.fromarray(picture).resize(sides, Image.Resampling.BILINEAR)
    return np.asarray(small) / 255


def _contrast(
    colours: Float[np.ndarray, "h w 3"], deviation: float
) -> Float[np.ndarray, "h w"]:
    """Return how far colours are from those around them."""
    centre = _blurred(colours, deviation / 2)
    surround = _blurred(colours, deviation / 2 * SURROUND)
    return np.linalg.norm(centre - surround, axis=-1)


def _blurred(
    planes: Float[np.ndarray, "h w c"], deviation: float
) -> Float[np.ndarray, "h w c"]:
    """Return planes under a Gaussian blur that sees nothing beyond the edges."""
    down, right = (_gaussian(side, deviation) for side in planes.shape[:2])
    return np.einsum("ij,jkc,lk->ilc", down, planes, right, optimize=True)


def _gaussian(side: int, deviation: float) -> Float[np.ndarray, "side side"]:
    """Return the matrix that blurs a row of pixels."""
    places = np.arange(side)
    apart = (places[:, None] - places[None, :]) / deviation
    weights = np.exp(-0.5 * apart**2)
    return weights / weights.sum(1, keepdims=True)


def _middle(h: int, w: int) -> Float[np.ndarray, "h w"]:
    """Return the pull of the middle, 1 there."""
    down, right = (2 * (np.arange(side) + 0.5) / side - 1 for side in (h, w))
    near = np.exp(-(down[:, None] ** 2 + right[None, :] ** 2) / (2 * SPREAD**2))
    return CORNERS + (1 - CORNERS) * near


def _balanced(salient: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h w"]:
    """Return weights of mean 1, between `REST` and `CAP`, that rise with saliency."""
    mean = salient.mean(dtype=np.float64)
    # A picture of one colour differs from its surroundings by rounding errors.
    salient = np.minimum(salient / max(mean, 1e-9), CAP)
    above = salient - salient.mean(dtype=np.float64)
    return (1 + (1 - REST) * above).astype(np.float32)

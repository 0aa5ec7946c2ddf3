"""Figures of what excites features of the discriminator, layer by layer.

Source: Beyers and Loane, figure 6.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxart import figures, images
from jaxart.figures import Pixels
from jaxart.gan import deconvnet
from jaxart.gan.trained import TrainedNetwork


COLUMNS = 16  # projections in a row
PICTURE_SIDE = 128  # side of the picture beside its projections, in pixels

Pictures = UInt8[np.ndarray, "n h w 3"]
Images = Float[np.ndarray, "n _ _ 3"]


class ExcitedFeatures(NamedTuple):
    """Features of a layer, and for each a picture that excites it."""

    features: Int[np.ndarray, " n"]  # their indices
    pictures: Pictures  # one for each feature
    total: int  # number of features in the layer


def figure_from_crops(
    discriminator: TrainedNetwork,
    crops: Pictures,
    *,
    keep: deconvnet.Keep,
    filters: int,
) -> Pixels:
    """Draw the first features of each layer, below the crops that excite them most."""
    grey = not np.ptp(crops, axis=-1).any()
    layers = []
    for activations in _max_activations(discriminator, crops):
        total = activations.shape[1]
        features = np.arange(min(filters, total))
        strongest = crops[activations.argmax(0)[features]]
        layers.append(ExcitedFeatures(features, strongest, total))
    figure = _draw_layers(discriminator, layers, keep, with_pictures=True, grey=grey)
    return figures.add_margin(figure)


def figure_from_picture(
    discriminator: TrainedNetwork,
    path: str,
    *,
    keep: deconvnet.Keep,
    filters: int,
    grey: bool,
) -> Pixels:
    """Draw the features of each layer that the centre of a picture excites most.

    Args:
        discriminator: from `trained.restore_discriminator`.
        path: of the picture.
        keep: of a feature map, as for `deconvnet.make_projector`.
        filters: features of each layer, at most.
        grey: whether the discriminator was trained on grey pictures.

    Raises:
        ValueError: the picture cannot be read, or is too small.
    """
    picture = _centre_crop(path, discriminator.settings.size)[None]
    layers = []
    for activations in _max_activations(discriminator, picture):
        features = np.argsort(-activations[0], kind="stable")[:filters]
        repeated = picture.repeat(len(features), axis=0)
        layers.append(ExcitedFeatures(features, repeated, activations.shape[1]))
    right = _draw_layers(discriminator, layers, keep, with_pictures=False, grey=grey)
    (large,) = figures.enlarge(picture, PICTURE_SIDE)
    left = figures.vstack([figures.render_text("the picture"), large])
    return figures.add_margin(figures.hstack([left, right], gap=12, centred=False))


def _max_activations(
    discriminator: TrainedNetwork, pixels: Pictures
) -> list[Float[np.ndarray, "n o"]]:
    network, state, *_ = discriminator
    return deconvnet.max_activations(network, state, pixels)


def _centre_crop(path: str, size: int) -> Pixels:
    """Return the centre of a picture, of the size of the discriminator's input."""
    try:
        pixels = images.read_pixels(path)
        height, width, _ = pixels.shape
        # A smaller one, such as a sample, is not resized.
        if height * width >= (2 * size) ** 2 and min(height, width) >= size:
            pixels = images.resize_for_crops(pixels, size)
    except images.PictureError as error:
        raise ValueError(f"picture {path}: {error}") from None
    height, width, _ = pixels.shape
    if min(height, width) < size:
        raise ValueError(
            f"picture must be at least {size} pixels wide and high; {path} is "
            f"{width} x {height}"
        )
    top, left = (height - size) // 2, (width - size) // 2
    return pixels[top : top + size, left : left + size]


def _draw_layers(
    discriminator: TrainedNetwork,
    layers: list[ExcitedFeatures],
    keep: deconvnet.Keep,
    *,
    with_pictures: bool,
    grey: bool,
) -> Pixels:
    """Draw the projections of each layer, below their pictures if these are wanted."""
    size = discriminator.settings.size
    bands = []
    for layer, excited in enumerate(layers, start=1):
        pictures, projections = _project(discriminator, layer, excited, keep, grey=grey)
        tiles = figures.enlarge(images.to_pixels(_stretch(projections)), size)
        columns = COLUMNS // 2
        if with_pictures:
            above = figures.enlarge(images.to_pixels(pictures), size)
            pairs = zip(above, tiles, strict=True)
            tiles = np.stack([figures.vstack([*pair]) for pair in pairs])
            columns = COLUMNS
        field = deconvnet.receptive_field(layer, 0).size
        title = f"layer {layer}: {len(tiles)} of {excited.total} features"
        title += f", each place sees {field} x {field} pixels"
        bands.append(
            figures.vstack([figures.render_text(title), images.grid(tiles, columns)])
        )
    return figures.vstack(bands, gap=8)


def _project(
    discriminator: TrainedNetwork,
    layer: int,
    excited: ExcitedFeatures,
    keep: deconvnet.Keep,
    *,
    grey: bool,
) -> tuple[Images, Images]:
    """Return pictures and projections, cut to the receptive field if keep="place"."""
    project = deconvnet.make_projector(discriminator.network, layer, keep)
    pictures = images.to_images(excited.pictures)
    projected, positions = project(
        discriminator.state, jnp.asarray(pictures), jnp.asarray(excited.features)
    )
    projections = np.asarray(projected)
    if grey:
        # Grey pictures train no colours: those of the filters are as initialised.
        projections = np.repeat(projections.mean(-1, keepdims=True), 3, -1)
    if keep == "place":
        projections = _cut_receptive_fields(projections, np.asarray(positions), layer)
        pictures = _cut_receptive_fields(pictures, np.asarray(positions), layer)
    return pictures, projections


def _stretch(projections: Images) -> Images:
    """Scale each projection around zero to the contrast of [-1, 1].

    A hundredth of its values other than zero may be outside: otherwise a single one
    could take the contrast from all others.
    """
    scaled = np.zeros_like(projections)
    for number, projection in enumerate(projections):
        sizes = np.abs(projection[projection != 0])
        if len(sizes):
            scaled[number] = projection / np.quantile(sizes, 0.99)
    return scaled


def _cut_receptive_fields(
    pictures: Images, positions: Int[np.ndarray, "n 2"], layer: int
) -> Images:
    """Cut out the receptive field of a position; zero where it is in the padding."""
    size = deconvnet.receptive_field(layer, 0).size
    padded = np.pad(pictures, ((0, 0), (size, size), (size, size), (0, 0)))
    cut = []
    for picture, (row, column) in zip(padded, positions, strict=True):
        top = size + deconvnet.receptive_field(layer, int(row)).start
        left = size + deconvnet.receptive_field(layer, int(column)).start
        cut.append(picture[top : top + size, left : left + size])
    return np.stack(cut)

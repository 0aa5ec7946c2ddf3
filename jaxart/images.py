"""Pictures: files <-> arrays, value ranges, sizes and grids.

The only file that knows ranges: *pixels* are uint8 from 0 to 255, *images* are float32
in [-1, 1]. It also stands between the program and the files people have. A collection
holds truncated files, web pages named .jpg and headers that promise a billion pixels;
each ends here as a `PictureError`, whose text begins with what is wrong: "missing",
"unreadable", "unsupported", "not a picture", "too large" or "too small".

No JAX is imported, because worker processes import this file.

Source: the sizes are those of the paper's section on its data ("resized to the smallest
size that still has at least 16,384 pixels").
Deviation: both sides must also hold a crop, which the paper's rule misses when the
aspect ratio is over 4:1.
"""

import contextlib
import functools
import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from jaxart import atomic, kinds, pngs, profiles


# Decoded pixels of one picture at most: where Pillow itself raises instead of warning.
# At four bytes a pixel, and again as RGB, such a picture needs 1.4 GB for a moment.
LARGEST = 178_956_970

# Raster formats that pictures of paintings come in. Not the ones that run an
# interpreter (EPS, PDF), nor those without a signature, which any file may seem to be.
FORMATS = (
    "JPEG",
    "PNG",
    "WEBP",
    "TIFF",
    "GIF",
    "BMP",
    "PPM",
    "JPEG2000",
    "AVIF",
    "HEIF",
)

CROP = 64  # side of the crops that a network is trained on by default, in pixels
BORDER = 2  # between the pictures of a grid, in pixels
MARK = ("Software", "jaxart")  # text in the PNGs that may be written again

# Decoding to no less than this many times the wanted size leaves the result to the
# filter: it differs from a full decode by a level or two.
MARGIN = 3

# What makes a picture upright, by EXIF's orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Those of them that swap width and height.
SIDEWAYS = [TURNS[orientation] for orientation in (5, 6, 7, 8)]

# Where a picture's bytes are: at a path, or in an open file.
Location = str | os.PathLike[str] | io.BufferedReader | io.BytesIO


class WithSides(NamedTuple):
    """A picture made smaller, upright, and the sides that it had, in pixels."""

    pixels: UInt8[np.ndarray, "h w 3"]
    width: int
    height: int


class PictureError(ValueError):
    """A picture that cannot be used; the text says why."""


def read_pixels(path: Location) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture of any common format and mode, upright and over white.

    What counts is what the file holds, not its suffix. Of an animation the first frame
    is read.

    Args:
        path: a picture with at most `LARGEST` pixels, or its bytes in an open file;
            larger ones are never decoded.

    Raises:
        PictureError: the file is missing, unreadable, truncated, not a picture or too
            large; the text says which, in one line.
    """
    with _opened(path) as image:
        image.load()
        return np.asarray(_upright(_rgb(image), _turn(image)))


def read_for_crops(path: Location, size: int = CROP) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture at the smallest size that crops of `size` can be taken from.

    The same as `resize_for_crops(read_pixels(path), size)` to a few levels, but a large
    JPEG is decoded at a fraction of its size, which is several times faster.

    Args:
        path: as in `read_pixels`.
        size: side of the crops, in pixels.

    Raises:
        PictureError: as in `read_pixels`, or the picture is too small.
    """
    return read_with_sides(path, size).pixels


def read_with_sides(path: Location, size: int = CROP) -> WithSides:
    """Read a picture as `read_for_crops` does, and say how large it is itself.

    Args:
        path: as in `read_pixels`.
        size: side of the crops, in pixels.

    Raises:
        PictureError: as in `read_for_crops`.
    """
    with _opened(path) as image:
        sides = image.width, image.height
        width, height = smallest_sides(*sides, size)
        # Does nothing to formats other than JPEG.
        image.draft(image.mode, (MARGIN * width, MARGIN * height))
        image.load()
        small, turn = _shrunk(_rgb(image), (width, height)), _turn(image)
        if turn in SIDEWAYS:
            sides = sides[::-1]
        return WithSides(np.asarray(_upright(small, turn)), *sides)


def resize_for_crops(
    pixels: UInt8[np.ndarray, "h w 3"], size: int = CROP
) -> UInt8[np.ndarray, "smaller_h smaller_w 3"]:
    """Shrink a picture to the smallest size that crops of `size` can be taken from.

    Args:
        pixels: the picture.
        size: side of the crops, in pixels; see `smallest_sides`.

    Raises:
        PictureError: the picture is too small; nothing is ever enlarged.
    """
    height, width = smallest_sides(pixels.shape[0], pixels.shape[1], size)
    return np.asarray(_shrunk(Image.fromarray(pixels), (width, height)))


def smallest_sides(first: int, second: int, size: int = CROP) -> tuple[int, int]:
    """Return the sides of the smallest version of a picture that suits crops.

    It has at least `(2 * size) ** 2` pixels, so that crops differ, both sides are at
    least `size`, and the longer side is the shorter one's times the aspect ratio,
    rounded.

    >>> smallest_sides(1000, 1000, 64)
    (128, 128)
    >>> smallest_sides(10_000, 1000, 64)
    (640, 64)

    Args:
        first: a side of the picture, in pixels.
        second: its other side, in pixels.
        size: side of the crops, in pixels.

    Raises:
        PictureError: the picture itself has fewer pixels or a shorter side than that.
    """
    enough = (2 * size) ** 2
    long, short = max(first, second), min(first, second)
    if long * short < enough or short < size:
        raise PictureError(
            f"too small: {first} x {second} pixels; crops of {size} x {size} need "
            f"{enough:,} pixels and sides of at least {size}"
        )
    # One below the real-valued answer, for what rounding the longer side may gain.
    side = max(size, math.isqrt(enough * short // long) - 1)
    while side * _rounded(side * long, short) < enough:
        side += 1
    other = _rounded(side * long, short)
    return (other, side) if first > second else (side, other)


def to_images(pixels: UInt8[Any, "..."]) -> Float32[Any, "..."]:
    """Return pixels as images in [-1, 1]; on NumPy arrays and, under jit, on JAX's.

    >>> to_images(np.array([0, 255], np.uint8))
    array([-1.,  1.], dtype=float32)
    """
    return pixels.astype("float32") / 127.5 - 1


def to_pixels(images: Float[Any, "..."]) -> UInt8[Any, "..."]:
    """Return images as pixels: rounded, and clipped where they leave [-1, 1].

    Like `to_images`, it takes NumPy's arrays and JAX's.

    >>> to_pixels(np.array([-7.0, 0.0, 1.0]))
    array([  0, 128, 255], dtype=uint8)
    """
    return ((images + 1) * 127.5).round().clip(0, 255).astype("uint8")


def grid(
    pixels: UInt8[np.ndarray, "n h w 3"], columns: int | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay pictures out row by row, with a thin white border between them.

    Args:
        pixels: at least one picture.
        columns: pictures in a row; None for a grid that is full and nearly square, or
            nearly square where no full one is.

    Raises:
        ValueError: there is no picture, or `columns` is below 1.
    """
    count, height, width, _ = pixels.shape
    if count < 1:
        raise ValueError("pixels must hold at least one picture; got none")
    if columns is not None and columns < 1:
        raise ValueError(f"columns must be at least 1; got {columns}")
    columns = min(columns or _squarest(count), count)
    rows = -(-count // columns)
    tall, wide = height + BORDER, width + BORDER
    canvas = np.full((rows * tall - BORDER, columns * wide - BORDER, 3), 255, np.uint8)
    for place, picture in enumerate(pixels):
        top, left = place // columns * tall, place % columns * wide
        canvas[top : top + height, left : left + width] = picture
    return canvas


def save_png(path: str | os.PathLike[str], pixels: UInt8[np.ndarray, "h w 3"]) -> None:
    """Write a PNG, all of it or nothing, and make the folders above it.

    A file in its place is replaced only if it is one of ours: it carries a mark.

    Args:
        path: where to; the suffix is not looked at.
        pixels: the picture.

    Raises:
        FileExistsError: something else is in its place.
    """
    mark = PngImagePlugin.PngInfo()
    mark.add_text(*MARK)
    with atomic.replacing(path, is_our_png) as unfinished:
        Image.fromarray(pixels).save(unfinished, "PNG", pnginfo=mark)


def is_our_png(path: Path) -> bool:
    """Return whether a file is a PNG that `save_png` wrote."""
    name, text = MARK
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return image.info.get(name) == text
    except Exception:
        return False


@contextlib.contextmanager
def _opened(path: Location) -> Iterator[Image.Image]:
    """Open a picture of bearable size; whatever fails is a `PictureError`."""
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        # Pillow's are about odd metadata, and about sizes that `LARGEST` lets pass.
        warnings.simplefilter("ignore")
        try:
            if isinstance(path, str | os.PathLike):
                path = stack.enter_context(open(path, "rb"))
            file = pngs.without_large_texts(path)
            with Image.open(file, formats=_formats()) as image:
                _check_size(image)
                if reason := kinds.misread(image):
                    raise PictureError(f"unsupported: {reason}")
                yield image
        except PictureError:
            raise
        except FileNotFoundError:
            raise PictureError("missing") from None
        except UnidentifiedImageError:
            assert not isinstance(path, str | os.PathLike), "it was opened above"
            raise PictureError(kinds.reason(path, _formats())) from None
        except Image.DecompressionBombError:
            raise PictureError(f"too large: over {LARGEST:,} pixels") from None
        except MemoryError:
            raise PictureError("too large: not enough memory to decode it") from None
        # Decoders of hostile files raise nearly anything: OSError, SyntaxError,
        # struct.error, zlib.error, KeyError, OverflowError, ...
        except Exception as error:
            text = getattr(error, "strerror", None) or str(error)
            reason = " ".join(text.split()) or type(error).__name__
            raise PictureError(f"unreadable: {reason}") from None


@functools.cache
def _formats() -> list[str]:
    """Return those of `FORMATS` that this build of Pillow has, and what extras read."""
    Image.init()
    with contextlib.suppress(ImportError):
        # In an extra of its own.
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    return [name for name in FORMATS if name in Image.OPEN]


def _check_size(image: Image.Image) -> None:
    """Refuse an absurd picture by its header, before anything is decoded."""
    width, height = image.size
    if width * height > LARGEST:
        raise PictureError(
            f"too large: {width} x {height} pixels; at most {LARGEST:,} are decoded"
        )


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return what makes a loaded picture upright; broken EXIF turns nothing."""
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return None


def _upright(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded picture of any mode to sRGB, with white behind it."""
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _lab_to_srgb()) or image
    colours, alpha = _plain(image)
    rgb = profiles.to_srgb(colours)
    if rgb is None:
        rgb = _whole_levels(colours).convert("RGB")
    if alpha is None:
        return rgb
    white = Image.new("RGB", image.size, "white")
    white.paste(rgb, mask=alpha)
    return white


def _plain(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Return a picture's colours as F, L, RGB or CMYK, and its transparency, if any."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = Image.fromarray(_grey_levels(image))
        grey.info = image.info
        return grey, None
    alpha = None
    if image.has_transparency_data:
        straight = image.convert("RGBA")
        alpha = straight.getchannel("A")
        image = image.getchannel("L") if image.mode == "LA" else straight
    mode = image.mode if image.mode in ("L", "CMYK") else "RGB"
    return image.convert(mode), alpha


def _whole_levels(image: Image.Image) -> Image.Image:
    if image.mode != "F":
        return image
    return Image.fromarray(np.rint(np.asarray(image)).astype(np.uint8))


def _grey_levels(image: Image.Image) -> Float32[np.ndarray, "h w"]:
    """Scale grey of more than 8 bits to [0, 255]; Pillow's own conversion clips it.

    Integers fill the bits that the file declares, else 16, and floats go up to 1, 255
    or 65,535, as programs write them. Values beyond that, or below zero, are taken to
    fill the range they have.
    """
    values = np.asarray(image)
    whites = (1, 255, 65_535) if values.dtype.kind == "f" else (65_535,)
    declared = kinds.white_of(image)
    whites = whites if declared is None else (declared,)
    values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    white = next((white for white in whites if low >= 0 and high <= white), high)
    black = min(0.0, low)
    shares = (values - black) * (255 / max(white - black, 1e-30))
    return 255 - shares if kinds.is_negative(image) else shares


@functools.cache
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )


def _shrunk(image: Image.Image, sides: tuple[int, int]) -> Image.Image:
    """Resize an RGB picture to (width, height), neither larger than its own.

    Lanczos, over as many pixels as fall on one: of Pillow's filters the one that keeps
    most detail without aliasing. Where the picture is many times too large, blocks of
    it are averaged first, which is faster and looks the same.
    """
    return image.resize(sides, Image.Resampling.LANCZOS, reducing_gap=MARGIN)


def _rounded(numerator: int, denominator: int) -> int:
    """Return the quotient rounded half up, exactly."""
    return (2 * numerator + denominator) // (2 * denominator)


def _squarest(count: int) -> int:
    """Return the columns of the squarest full grid that is at most twice too wide."""
    root = math.isqrt(count - 1) + 1
    full = (columns for columns in range(root, 2 * root) if count % columns == 0)
    return next(full, root)

"""Pictures: files <-> arrays, value ranges, sizes and grids.

It converts between *pixels*, uint8 from 0 to 255, and the GAN's *images*, float32 in
[-1, 1]. Files are untrusted: collections hold truncated files, web pages named .jpg and
headers that claim a billion pixels. Each is a `PictureError`, whose text begins with
the kind: "missing", "unreadable", "unsupported", "not a picture", "too large" or "too
small".

JAX is not imported, because worker processes import this file.

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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, UnidentifiedImageError

from jaxart import atomic, pngs, profiles, unsupported


# The largest picture that is decoded: where Pillow itself raises instead of warning. At
# four bytes a pixel, and again as RGB, it takes 1.4 GB.
MAX_PIXELS = 178_956_970

# Common raster formats. Not those that run an interpreter (EPS, PDF), nor those without
# a signature, which any file may match. HEIF comes with the extra `heif`.
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
MARK = ("Software", "jaxart")  # text in our PNGs, which may be overwritten

# Cheap reductions stop at this many times the final size, and Lanczos does the rest:
# the result differs from a full decode by a level or two. As Pillow's `reducing_gap`.
REDUCING_GAP = 3

# What makes a picture upright, by EXIF orientation.
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

# A path, or an open file.
Location = str | os.PathLike[str] | io.BufferedReader | io.BytesIO


class Resized(NamedTuple):
    """A picture shrunk for crops, upright, and the sides of the original in pixels."""

    pixels: UInt8[np.ndarray, "h w 3"]
    width: int
    height: int


class PictureError(ValueError):
    """A picture that cannot be used; the text is the reason."""


def read_pixels(path: Location) -> UInt8[np.ndarray, "h w 3"]:
    """Read a picture of any common format and mode, upright and over white.

    The format is recognised by content, not by suffix. The first frame of an animation
    is read. A picture of over `MAX_PIXELS` is not decoded.

    Raises:
        PictureError: the file is missing, unreadable, truncated, not a picture or too
            large; the text says which, in one line.
    """
    pixels, alpha = read_straight(path)
    if alpha is None:
        return pixels
    return over_white(np.dstack([pixels, alpha]))


def read_straight(
    path: Location, *, max_side: int | None = None
) -> tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w"] | None]:
    """Read a picture's own colours, and its alpha; None if it is opaque.

    Args:
        path: as in `read_pixels`.
        max_side: width and height at most, if there is such a limit.

    Raises:
        PictureError: as in `read_pixels`, or a side is too long.
    """
    with _opened(path) as image:
        if max_side is not None and max(image.size) > max_side:
            raise PictureError(
                f"too large: {image.width} x {image.height} pixels; at most "
                f"{max_side:,} a side"
            )
        image.load()
        (rgb, alpha), turn = _straight(image), _turn(image)
        pixels = np.asarray(_upright(rgb, turn))
        if alpha is None or alpha.getextrema()[0] == 255:
            return pixels, None
        return pixels, np.asarray(_upright(alpha, turn))


def over_white(pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return RGBA pixels over white; RGB as it is."""
    return (
        over(pixels[..., :3], pixels[..., 3], "white")
        if pixels.shape[2] == 4
        else pixels
    )


def over(
    pixels: UInt8[np.ndarray, "h w 3"],
    alpha: UInt8[np.ndarray, "h w"],
    ground: str | tuple[int, ...],
) -> UInt8[np.ndarray, "h w 3"]:
    """Return a transparent picture over a ground of one colour."""
    canvas = Image.new("RGB", alpha.shape[::-1], ground)
    canvas.paste(Image.fromarray(pixels), mask=Image.fromarray(alpha))
    return np.asarray(canvas)


def read_resized(
    path: Location, size: int = CROP, min_pixels: int | None = None
) -> Resized:
    """Read a picture at the smallest size that crops of `size` can be taken from.

    The same as `resize_for_crops(read_pixels(path), size)` to a few levels, but a large
    JPEG is decoded at a fraction of its size, which is several times faster.

    Args:
        path: a file, or one that is open.
        size: see `smallest_sides`.
        min_pixels: see `smallest_sides`.

    Raises:
        PictureError: as in `read_pixels`, or the picture is too small.
    """
    with _opened(path) as image:
        sides = image.width, image.height
        width, height = smallest_sides(*sides, size, min_pixels)
        # Does nothing to formats other than JPEG.
        image.draft(image.mode, (REDUCING_GAP * width, REDUCING_GAP * height))
        image.load()
        small, turn = _shrunk(_rgb(image), (width, height)), _turn(image)
        if turn in SIDEWAYS:
            sides = sides[::-1]
        return Resized(np.asarray(_upright(small, turn)), *sides)


def resize_for_crops(
    pixels: UInt8[np.ndarray, "h w 3"], size: int = CROP
) -> UInt8[np.ndarray, "smaller_h smaller_w 3"]:
    """Shrink a picture to the smallest size that crops of `size` can be taken from.

    Raises:
        PictureError: the picture is too small; pictures are never enlarged.
    """
    height, width = smallest_sides(pixels.shape[0], pixels.shape[1], size)
    return np.asarray(_shrunk(Image.fromarray(pixels), (width, height)))


def smallest_sides(
    first: int, second: int, size: int = CROP, min_pixels: int | None = None
) -> tuple[int, int]:
    """Return the sides of the smallest version of a picture for crops of `size`.

    It has at least `min_pixels`, or `(2 * size) ** 2` if that is not given, so that
    crops differ, and both sides have at least `size`. The longer side is the shorter
    one times the aspect ratio, rounded.

    >>> smallest_sides(1000, 1000, 64)
    (128, 128)
    >>> smallest_sides(10_000, 1000, 64)
    (640, 64)
    >>> smallest_sides(2000, 1000, 64, min_pixels=4096)
    (128, 64)

    Raises:
        PictureError: the picture itself has fewer pixels or a shorter side than that.
    """
    if min_pixels is None:
        min_pixels = (2 * size) ** 2
    long, short = max(first, second), min(first, second)
    if long * short < min_pixels or short < size:
        raise PictureError(
            f"too small: {first} x {second} pixels; crops of {size} x {size} need "
            f"{min_pixels:,} pixels and sides of at least {size}"
        )
    # One less than the real-valued solution, since the longer side may be rounded up.
    side = max(size, math.isqrt(min_pixels * short // long) - 1)
    while side * _divide_rounded(side * long, short) < min_pixels:
        side += 1
    other = _divide_rounded(side * long, short)
    return (other, side) if first > second else (side, other)


def to_images(pixels: UInt8[Any, "..."]) -> Float32[Any, "..."]:
    """Return pixels as images in [-1, 1]; for arrays of NumPy and, under jit, of JAX.

    >>> to_images(np.array([0, 255], np.uint8))
    array([-1.,  1.], dtype=float32)
    """
    return pixels.astype("float32") / 127.5 - 1


def to_pixels(images: Float[Any, "..."]) -> UInt8[Any, "..."]:
    """Return images as pixels, rounded and clipped; for arrays of NumPy and JAX.

    >>> to_pixels(np.array([-7.0, 0.0, 1.0]))
    array([  0, 128, 255], dtype=uint8)
    """
    return ((images + 1) * 127.5).round().clip(0, 255).astype("uint8")


def grid(
    pixels: UInt8[np.ndarray, "n h w 3"], columns: int | None = None
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay pictures out row by row, with a thin white border between them.

    Without `columns` the grid is nearly square, and has no gaps if there is such a one.

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
    dy, dx = height + BORDER, width + BORDER
    canvas = np.full((rows * dy - BORDER, columns * dx - BORDER, 3), 255, np.uint8)
    for index, picture in enumerate(pixels):
        top, left = index // columns * dy, index % columns * dx
        canvas[top : top + height, left : left + width] = picture
    return canvas


def save_png(
    path: str | os.PathLike[str],
    pixels: UInt8[np.ndarray, "h w c"],
    *,
    about: Mapping[str, str] | None = None,
) -> None:
    """Write a PNG atomically, and make the folders above it.

    An existing file is replaced only if it is ours: our PNGs carry a mark.

    Args:
        path: of the file; the suffix is ignored.
        pixels: the picture, RGB or RGBA.
        about: texts that the file carries besides, as from `command.provenance`; what
            is not Unicode in them is escaped.

    Raises:
        FileExistsError: the file exists and is not ours.
    """
    texts = PngImagePlugin.PngInfo()
    for name, text in (MARK, *(about or {}).items()):
        # File names may hold bytes that are no text.
        texts.add_text(name, text.encode("utf-8", "backslashreplace").decode())
    with atomic.replacing(path, is_our_png) as unfinished:
        Image.fromarray(pixels).save(unfinished, "PNG", pnginfo=texts)


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
    """Open a picture that is not too large; any failure is a `PictureError`."""
    with warnings.catch_warnings(), contextlib.ExitStack() as stack:
        # Of odd metadata, and of sizes that `MAX_PIXELS` allows.
        warnings.simplefilter("ignore")
        try:
            if isinstance(path, str | os.PathLike):
                path = stack.enter_context(open(path, "rb"))
            file = pngs.without_large_texts(path)
            with Image.open(file, formats=_formats()) as image:
                _check_size(image)
                if reason := unsupported.why_misread(image):
                    raise PictureError(f"unsupported: {reason}")
                yield image
        except PictureError:
            raise
        except FileNotFoundError:
            raise PictureError("missing") from None
        except UnidentifiedImageError:
            assert not isinstance(path, str | os.PathLike), "it was opened above"
            raise PictureError(unsupported.why_unreadable(path, _formats())) from None
        except Image.DecompressionBombError:
            raise PictureError(f"too large: over {MAX_PIXELS:,} pixels") from None
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
    """Refuse a picture that is too large by its header, before decoding it."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"too large: {width} x {height} pixels; at most {MAX_PIXELS:,} are decoded"
        )


def _turn(image: Image.Image) -> Image.Transpose | None:
    """Return the transposition that makes a loaded picture upright, by its EXIF.

    None where there is nothing to do, or the EXIF is broken.
    """
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:
        return None


def _upright(image: Image.Image, turn: Image.Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    """Convert a loaded picture of any mode to sRGB, over white."""
    rgb, alpha = _straight(image)
    if alpha is None:
        return rgb
    white = Image.new("RGB", image.size, "white")
    white.paste(rgb, mask=alpha)
    return white


def _straight(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Convert a loaded picture of any mode to sRGB, and return its alpha, if any."""
    if image.mode == "LAB":
        return ImageCms.applyTransform(image, _lab_to_srgb()) or image, None
    colours, alpha = _plain(image)
    rgb = profiles.to_srgb(colours)
    if rgb is None:
        if colours.mode == "F":
            colours = Image.fromarray(np.rint(np.asarray(colours)).astype(np.uint8))
        rgb = _converted(colours, "RGB")
    return rgb, alpha


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
    return _converted(image, mode), alpha


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """Return a picture in a mode; itself, not a copy, if it has it."""
    return image if image.mode == mode else image.convert(mode)


def _grey_levels(image: Image.Image) -> Float32[np.ndarray, "h w"]:
    """Scale grey of more than 8 bits to [0, 255]; Pillow's conversion would clip it.

    The range of integers is that of the bits that the file declares, else 16, and of
    floats up to 1, 255 or 65,535. Values outside, or below zero, are scaled by their
    own minimum and maximum.
    """
    values = np.asarray(image)
    whites = (1, 255, 65_535) if values.dtype.kind == "f" else (65_535,)
    declared = unsupported.white_level(image)
    whites = whites if declared is None else (declared,)
    values = np.nan_to_num(values.astype(np.float32), posinf=0, neginf=0)
    low, high = float(values.min()), float(values.max())
    white = next((white for white in whites if low >= 0 and high <= white), high)
    black = min(0.0, low)
    shares = (values - black) * (255 / max(white - black, 1e-30))
    return 255 - shares if unsupported.is_white_zero(image) else shares


@functools.cache
def _lab_to_srgb() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )


def _shrunk(image: Image.Image, sides: tuple[int, int]) -> Image.Image:
    """Shrink an RGB picture to (width, height), by the filter that keeps most detail.

    A picture that is many times larger is box-filtered first, which is faster.
    """
    return image.resize(sides, Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)


def _divide_rounded(numerator: int, denominator: int) -> int:
    """Return the quotient rounded half up, exactly."""
    return (2 * numerator + denominator) // (2 * denominator)


def _squarest(count: int) -> int:
    """Return the columns of the squarest full grid that is at most twice too wide."""
    root = math.isqrt(count - 1) + 1
    candidates = (columns for columns in range(root, 2 * root) if count % columns == 0)
    return next(candidates, root)

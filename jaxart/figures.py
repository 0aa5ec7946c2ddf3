"""Figures: pictures with words beside them, laid out on white.

Everything is an array of pixels, words too, so that a figure is put together from parts
with `beside` and `above`. Words are dark grey, in the font that Pillow carries, which
knows little more than ASCII.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont


INK = (51, 51, 51)
WHITE = (255, 255, 255)
TEXT = 12  # size of words, in pixels
GUTTER = 2  # between pictures that belong together, in pixels

# Of sizes of their own, also where there are several.
Pixels = UInt8[np.ndarray, "_ _ 3"]


def words(text: str, size: int = TEXT) -> Pixels:
    """Return words as a picture that just holds them; as high for any text.

    Args:
        text: one line.
        size: of the font, in pixels.
    """
    font = ImageFont.load_default(size)
    ascent, descent = _metrics(font)
    width = max(1, int(np.ceil(font.getlength(text))))
    picture = Image.new("RGB", (width, ascent + descent), WHITE)
    ImageDraw.Draw(picture).text((0, 0), text, INK, font)
    return np.asarray(picture)


def enlarged(
    pixels: UInt8[np.ndarray, "n h w 3"], side: int
) -> UInt8[np.ndarray, "n {side} {side} 3"]:
    """Return square pictures with sides of `side` pixels, smooth between their own."""
    size, filtered = (side, side), Image.Resampling.BICUBIC
    return np.stack(
        [
            np.asarray(Image.fromarray(picture).resize(size, filtered))
            for picture in pixels
        ]
    )


def captioned(
    pixels: UInt8[np.ndarray, "n h w 3"], captions: list[str]
) -> UInt8[np.ndarray, "n H W 3"]:
    """Return pictures with a caption beneath each; all as wide as the widest needs."""
    tiles = [
        above([picture, words(caption)], gap=1, centred=True)
        for picture, caption in zip(pixels, captions, strict=True)
    ]
    width = max(tile.shape[1] for tile in tiles)
    return np.stack([widened(tile, width, centred=True) for tile in tiles])


def beside(parts: list[Pixels], gap: int = GUTTER, *, centred: bool = True) -> Pixels:
    """Lay parts side by side.

    Args:
        parts: at least one, of any sizes.
        gap: between them, in pixels.
        centred: middles on one line; otherwise tops are.
    """
    turned = [part.transpose(1, 0, 2) for part in parts]
    return above(turned, gap, centred=centred).transpose(1, 0, 2)


def above(parts: list[Pixels], gap: int = GUTTER, *, centred: bool = False) -> Pixels:
    """Lay parts one above the other.

    Args:
        parts: at least one, of any sizes.
        gap: between them, in pixels.
        centred: middles on one line; otherwise left sides are.
    """
    width = max(part.shape[1] for part in parts)
    space = np.full((gap, width, 3), WHITE, np.uint8)
    rows: list[Pixels] = []
    for part in parts:
        rows += [widened(part, width, centred=centred), space]
    return np.concatenate(rows[: 2 * len(parts) - 1])


def widened(part: Pixels, width: int, *, centred: bool = True) -> Pixels:
    """Return a part on white that is so many pixels wide, not less than the part.

    Args:
        part: of any size.
        width: of the result, in pixels.
        centred: the part is in the middle; otherwise to the left.
    """
    left = (width - part.shape[1]) // 2 if centred else 0
    wide = np.full((part.shape[0], width, 3), WHITE, np.uint8)
    wide[:, left : left + part.shape[1]] = part
    return wide


def column(texts: list[str], height: int, gap: int = GUTTER) -> Pixels:
    """Return words for the rows of a grid, each in the middle of its row.

    Args:
        texts: at least one.
        height: of a row, in pixels; at least that of words.
        gap: between rows, in pixels.
    """
    cells = []
    for text in texts:
        line = words(text)
        cell = np.full((height, line.shape[1], 3), WHITE, np.uint8)
        top = (height - len(line)) // 2
        cell[top : top + len(line)] = line
        cells.append(cell)
    return above(cells, gap, centred=True)


def bracket(height: int) -> Pixels:
    """Return a square bracket that opens what stands to the right of it."""
    picture = np.full((height, 6, 3), WHITE, np.uint8)
    picture[:, 0] = picture[0] = picture[-1] = INK
    return picture


def framed(pixels: Pixels, margin: int = 8) -> Pixels:
    """Return a figure with a white margin around it, in pixels."""
    around = ((margin, margin), (margin, margin), (0, 0))
    return np.pad(pixels, around, constant_values=255)


def _metrics(font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> tuple[int, int]:
    """Return how far letters reach above and below their line, in pixels."""
    if isinstance(font, ImageFont.FreeTypeFont):
        return font.getmetrics()
    return round(font.getbbox("Ag")[3]), 0

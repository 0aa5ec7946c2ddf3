"""Figures: pictures and text laid out on white.

Everything is an array of pixels, text too, so that a figure is composed with `hstack`
and `vstack`. Text is dark grey, in the font that comes with Pillow, which has little
more than ASCII.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont


INK = (51, 51, 51)
WHITE = (255, 255, 255)
BICUBIC = Image.Resampling.BICUBIC
FONT_SIZE = 12  # in pixels
GAP = 2  # between the parts of a stack, in pixels

# Of any size: parts of one figure differ.
Pixels = UInt8[np.ndarray, "_ _ 3"]


def render_text(line: str, size: int = FONT_SIZE) -> Pixels:
    """Render a line of text, as high for any text and as wide as it needs."""
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # as a size is asked for
    ascent, descent = font.getmetrics()
    width = max(1, int(np.ceil(font.getlength(line))))
    picture = Image.new("RGB", (width, ascent + descent), WHITE)
    ImageDraw.Draw(picture).text((0, 0), line, INK, font)
    return np.asarray(picture)


def enlarge(
    pixels: UInt8[np.ndarray, "n h w 3"], side: int
) -> UInt8[np.ndarray, "n {side} {side} 3"]:
    """Resize square pictures to sides of `side` pixels, by bicubic interpolation."""
    return np.stack(
        [
            np.asarray(Image.fromarray(picture).resize((side, side), BICUBIC))
            for picture in pixels
        ]
    )


def add_captions(
    pixels: UInt8[np.ndarray, "n h w 3"], captions: list[str]
) -> UInt8[np.ndarray, "n H W 3"]:
    """Return pictures with a caption below each, all as wide as the widest needs."""
    tiles = [
        vstack([picture, render_text(caption)], gap=1, centred=True)
        for picture, caption in zip(pixels, captions, strict=True)
    ]
    width = max(tile.shape[1] for tile in tiles)
    return np.stack([pad_width(tile, width, centred=True) for tile in tiles])


def hstack(parts: list[Pixels], gap: int = GAP, *, centred: bool = True) -> Pixels:
    """Stack parts horizontally, their middles aligned, or their tops."""
    transposed = [part.transpose(1, 0, 2) for part in parts]
    return vstack(transposed, gap, centred=centred).transpose(1, 0, 2)


def vstack(parts: list[Pixels], gap: int = GAP, *, centred: bool = False) -> Pixels:
    """Stack parts vertically, their left sides aligned, or their middles."""
    width = max(part.shape[1] for part in parts)
    space = np.full((gap, width, 3), WHITE, np.uint8)
    rows: list[Pixels] = []
    for part in parts:
        rows += [pad_width(part, width, centred=centred), space]
    return np.concatenate(rows[: 2 * len(parts) - 1])


def pad_width(part: Pixels, width: int, *, centred: bool = True) -> Pixels:
    """Pad a part with white to a width in pixels, on both sides or on the right."""
    left = (width - part.shape[1]) // 2 if centred else 0
    padded = np.full((part.shape[0], width, 3), WHITE, np.uint8)
    padded[:, left : left + part.shape[1]] = part
    return padded


def row_labels(labels: list[str], height: int, gap: int = GAP) -> Pixels:
    """Return a column of labels, each in the middle of a grid's row of this height."""
    cells = []
    for label in labels:
        rendered = render_text(label)
        cell = np.full((height, rendered.shape[1], 3), WHITE, np.uint8)
        top = (height - len(rendered)) // 2
        cell[top : top + len(rendered)] = rendered
        cells.append(cell)
    return vstack(cells, gap, centred=True)


def bracket(height: int) -> Pixels:
    """Return a left square bracket."""
    picture = np.full((height, 6, 3), WHITE, np.uint8)
    picture[:, 0] = picture[0] = picture[-1] = INK
    return picture


def add_margin(pixels: Pixels, margin: int = 8) -> Pixels:
    """Return a figure with a white margin around it, in pixels."""
    padding = ((margin, margin), (margin, margin), (0, 0))
    return np.pad(pixels, padding, constant_values=255)

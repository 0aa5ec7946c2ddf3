"""SVG: a painting as shapes for a vector program, one for each stroke, in their order.

A stroke of a round brush becomes an ellipse, any other a rectangle with round corners.
Size and opacity are such that a shape leaves as much paint as the brush does, but there
are no bristles and no relief, and colours mix in RGB, whatever the pigment: this is an
approximation, and the file says so.

Units are picture heights, as everywhere in the painter, so that a shape has the
parameters of its stroke.
"""

import re
from pathlib import Path
from xml.sax.saxutils import escape

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxart.drawing.brushes import Brush, PictureBrush, mark


HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<!-- painted by jaxart -->\n'
DESCRIPTION = (
    "Strokes as shapes, in the order in which they were laid; bristles and relief are "
    "not shown."
)

# Brushes at least as round as this are drawn as ellipses.
ROUND_ENOUGH = 0.7

# Characters that XML 1.0 does not allow.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def svg(
    strokes: Float[np.ndarray, "n 8"],
    *,
    brush: Brush | PictureBrush,
    ground: tuple[float, ...] | None,
    ratio: float,
    height: int,
    width: int,
    title: str,
) -> str:
    """Return a painting as the text of an SVG file.

    Args:
        strokes: as they are drawn, n of them; colours are sRGB.
        brush: of all strokes.
        ground: colour below all strokes, sRGB in [0, 1]; None for nothing.
        ratio: width of the picture over its height.
        height: at which it is first shown, in pixels.
        width: likewise.
        title: of the picture.
    """
    right = _format_number(ratio)
    length_share, width_share, corner, opacity = _shape(brush)
    shape = _ellipse if corner >= ROUND_ENOUGH / 2 else _rectangle
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {right} 1">',
        f"<title>{escape(FORBIDDEN.sub(' ', title))}</title>",
        f"<desc>{DESCRIPTION}</desc>",
    ]
    if ground is not None:
        lines.append(f'<rect width="{right}" height="1" fill="{_colour(*ground)}"/>')
    lines.append(f'<g fill-opacity="{opacity:.2f}">')
    for x, y, length, width_, angle, *colour in np.asarray(strokes, float).tolist():
        turn = f"rotate({np.rad2deg(angle):.1f})"
        transform = f"translate({_format_number(x)} {_format_number(y)}) {turn}"
        size = shape(length * length_share, width_ * width_share, corner)
        lines.append(f'{size} fill="{_colour(*colour)}" transform="{transform}"/>')
    return HEAD + "\n".join([*lines, "</g>", "</svg>", ""])


def is_ours(path: Path) -> bool:
    """Return whether a file begins like those of `svg`."""
    try:
        with path.open("rb") as file:
            return file.read(len(HEAD)) == HEAD.encode()
    except OSError:
        return False


def _shape(brush: Brush | PictureBrush) -> tuple[float, float, float, float]:
    """Return the shape of a brush's average mark.

    Returns:
        Its length and width as shares of the stroke's, its corners' radius as a share
        of its shorter side, and its opacity.
    """
    points = (np.arange(64) + 0.5) / 32 - 1
    u, v = (jnp.asarray(plane) for plane in np.meshgrid(points, points))
    coverage = np.asarray(_average_coverage(brush, u, v))
    # Of a mark with a bare middle, such as a ring, that of all of it.
    opacity = max(coverage[16:48, 16:48].mean(), coverage.mean())
    # Through the middle of the mark, along it and across.
    length = _profile_width(coverage[28:36].mean(0))
    width = _profile_width(coverage[:, 28:36].mean(1))
    if isinstance(brush, Brush):
        roundness = float(np.asarray(brush.roundness))
    else:
        # An ellipse leaves the corners of its box bare.
        row, column = (32 + int(27 * share) for share in (width, length))
        corners = coverage[[row, row, 63 - row, 63 - row], [column, 63 - column] * 2]
        roundness = 1.0 if corners.mean() < opacity / 4 else 0.2
    return length, width, roundness / 2, float(opacity)


@jax.jit
def _average_coverage(
    brush: Brush | PictureBrush,
    u: Float[Array, "side side"],
    v: Float[Array, "side side"],
) -> Float[Array, "side side"]:
    """Return the mean of a brush's marks over its hairs."""
    seeds = jnp.linspace(0, 0.97, 32)
    return jax.vmap(lambda seed: mark(brush, u, v, seed)[0])(seeds).mean(0)


def _profile_width(coverage: Float[np.ndarray, " points"]) -> float:
    """Return the width of a box with the height of a profile's middle and its area.

    At most 1; that of a profile without any coverage, too.
    """
    middle = max(coverage[24:40].mean(), coverage.mean())
    return float(coverage.mean() / middle) if middle else 1.0


def _ellipse(length: float, width: float, _: float) -> str:
    return (
        f'<ellipse rx="{_format_number(length / 2)}" ry="{_format_number(width / 2)}"'
    )


def _rectangle(length: float, width: float, corner: float) -> str:
    return (
        f'<rect x="{_format_number(-length / 2)}" y="{_format_number(-width / 2)}" '
        f'width="{_format_number(length)}" height="{_format_number(width)}" '
        f'rx="{_format_number(corner * min(length, width))}"'
    )


def _colour(red: float, green: float, blue: float) -> str:
    """Return a colour as SVG writes it.

    >>> _colour(1.0, 0.5, 0.0)
    '#ff8000'
    """
    levels = (round(255 * min(max(share, 0.0), 1.0)) for share in (red, green, blue))
    return "#" + "".join(f"{level:02x}" for level in levels)


def _format_number(number: float) -> str:
    """Return a number with up to five decimals, as short as possible.

    >>> [_format_number(number) for number in (0.25, -1e-7, 12.0, -0.123456)]
    ['.25', '0', '12', '-.12346']
    """
    text = f"{number:.5f}".rstrip("0").rstrip(".")
    text = "0" if text == "-0" else text
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text

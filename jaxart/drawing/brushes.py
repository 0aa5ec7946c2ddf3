"""Brush marks: coverage (alpha) and thickness of a stroke's paint, as a formula.

The marks of all built-in brushes are one formula with a few parameters, and a brush is
a set of parameters. There is no bitmap to sample: a mark is as sharp at 4,096 pixels as
at 64, and smooth in between. A user's own brush is a picture of its mark, interpolated
between its pixels.

A mark is a function of stroke coordinates: `u` runs along it and `v` across, both
from -1 to 1. Its hairs depend on the stroke's seed and on them, never on the pixel
grid.

Source: ctmakro's opencv_playground, painterfun.py, for streaks of bristles and paint
that runs out along the stroke.
Deviation: that program scales photographs of marks. Ours are formulas, which are
differentiable and need no file.
"""

import functools
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, ScalarLike
from PIL import Image

from jaxart import images


# Phases of the waves of a stroke's hairs: the fractional part of the seed times each of
# these is as good as random.
PHASES = (127.1, 311.7, 74.7, 269.5, 183.3)


# Of one stroke, or of the stroke of each point.
Seed = ScalarLike | Float[Array, "*#point"]

MARK_SIDE = 64  # of a brush's picture as it is used, in pixels: all share programs
MAX_MARK_SIDE = 1_024  # of a brush's picture as it is read, in pixels
FAINTEST = 8  # level that must be reached in a brush's picture


class Brush(NamedTuple):
    """Parameters of a brush, in [0, 1] but for `hairs`.

    Args:
        roundness: outline of the mark: 0 a rectangle, 1 an ellipse.
        softness: share of the mark over which its edge fades.
        hairs: clumps of bristles across the mark, 1 and more, or 0 for a brush without
            hairs, which is much cheaper if that is known when compiling.
        depth: how far the gaps between the hairs let the ground through.
        raggedness: how unequally the hairs touch down and lift.
        dryness: how much of the paint is used up at the stroke's end.
        body: thickness of the paint, and of the furrows that the hairs leave.
        ridge: paint pushed to the two long edges.
    """

    roundness: ScalarLike
    softness: ScalarLike
    hairs: ScalarLike
    depth: ScalarLike
    raggedness: ScalarLike
    dryness: ScalarLike
    body: ScalarLike
    ridge: ScalarLike


SOFT = Brush(1.0, 0.8, 0, 0.0, 0.0, 0.0, 0.5, 0.0)
ROUND = Brush(1.0, 0.45, 2.0, 0.10, 0.10, 0.1, 0.5, 0.0)
FLAT = Brush(0.15, 0.25, 3.0, 0.30, 0.25, 0.2, 0.6, 0.1)
BRISTLE = Brush(0.4, 0.3, 4.0, 0.70, 0.55, 0.4, 0.9, 0.1)
DRY = Brush(0.3, 0.35, 5.0, 1.00, 0.80, 0.9, 0.6, 0.0)
KNIFE = Brush(0.05, 0.1, 1.0, 0.15, 0.35, 0.1, 0.6, 0.9)

BRUSHES = {
    "soft": SOFT,
    "round": ROUND,
    "flat": FLAT,
    "bristle": BRISTLE,
    "dry": DRY,
    "knife": KNIFE,
}


class PictureBrush(NamedTuple):
    """A brush whose mark is a picture.

    Args:
        plane: coverage, which is the thickness of the paint as well, in [0, 1]: columns
            along the stroke, rows across. The outermost pixels lie on the frame of the
            stroke, and are 0.
    """

    plane: Float[Array | np.ndarray, "side side"]


def find(name: str) -> Brush | PictureBrush:
    """Return a brush by its name in `BRUSHES`, or by the path of its picture.

    The picture is bright where the brush leaves paint; or, if it is transparent, opaque
    there. Its width is the stroke's length.

    Raises:
        ValueError: there is no such brush, or its picture cannot be used.
    """
    if name in BRUSHES:
        return BRUSHES[name]
    if not Path(name).suffix:
        raise ValueError(
            f"brush must be one of {', '.join(BRUSHES)}, or the file of a picture; "
            f"got {name[:80]!r}"
        )
    try:
        status = os.stat(name)
    except (OSError, ValueError):
        raise ValueError(f"brush {name[:200]!r} is missing") from None
    try:
        return _read(name, status.st_mtime_ns, status.st_size)
    except images.PictureError as error:
        raise ValueError(f"brush {name[:200]!r} is {error}") from None


def sha256(brush: Brush | PictureBrush) -> str | None:
    """Return the hash of a brush's picture; None for a formula."""
    if isinstance(brush, Brush):
        return None
    return hashlib.sha256(np.asarray(brush.plane).tobytes()).hexdigest()


@functools.lru_cache(maxsize=8)
def _read(path: str, time: int, size: int) -> PictureBrush:
    """Read a brush's picture, unless that was done since it was changed."""
    del time, size
    if not Path(path).is_file():
        raise images.PictureError("no file")
    pixels, alpha = images.read_straight(path, max_side=MAX_MARK_SIDE)
    picture = Image.fromarray(pixels if alpha is None else alpha).convert("L")
    # Each pixel is the average of what is around its point of the frame.
    dx, dy = (side / (2 * (MARK_SIDE - 1)) for side in picture.size)
    box = (dx, dy, picture.width - dx, picture.height - dy)
    inner = MARK_SIDE - 2
    small = picture.resize((inner, inner), Image.Resampling.BOX, box=box)
    levels = np.pad(np.asarray(small), 1)
    if levels.max() < FAINTEST:
        raise images.PictureError("empty: it must be bright where paint goes")
    return PictureBrush(levels.astype(np.float32) / 255)


def mark(
    brush: Brush | PictureBrush,
    u: Float[Array, "*point"],
    v: Float[Array, "*point"],
    seed: Seed,
) -> tuple[Float[Array, "*point"], Float[Array, "*point"]]:
    """Return coverage and thickness of a brush's mark.

    Args:
        brush: whose numbers are scalars.
        u: position along the stroke; the mark ends at -1 and 1.
        v: position across the stroke; the mark ends at -1 and 1.
        seed: picks the hairs, in [0, 1); of all points, or of each.

    Returns:
        Share of the ground that the paint hides, and thickness of the paint, both in
        [0, 1]. Coverage is zero outside the frame.
    """
    if isinstance(brush, PictureBrush):
        coverage = _interpolate(jnp.asarray(brush.plane), u, v)
        return coverage, coverage
    if isinstance(brush.hairs, float | int) and brush.hairs == 0:
        hair = jnp.ones_like(u)
    else:
        hair = jnp.where(brush.hairs == 0, 1.0, _hairs(brush.hairs, u, v, seed))
    travel = (u + 1) / 2
    lift = brush.raggedness * (1 - hair) * (0.3 + 0.7 * travel)
    along = _smoothstep((1 - u**2 - brush.roundness * v**2 - lift) / brush.softness)
    across = _smoothstep((1 - v**2) / brush.softness)
    coverage = along * across
    if not (isinstance(brush.depth, float | int) and brush.depth == 0):
        dry = brush.depth * (0.35 + 0.65 * brush.dryness * travel)
        contact = _smoothstep((hair - dry) / 0.25 + 0.5)
        coverage *= 1 - brush.depth * (1 - contact)
    body = brush.body * (0.35 + 0.65 * hair) * (1 - 0.5 * brush.dryness * travel)
    thickness = body + brush.ridge * (1 - body) * v**4
    return coverage, jnp.clip(thickness, 0, 1)


def _interpolate(
    plane: Float[Array, "side side"],
    u: Float[Array, "*point"],
    v: Float[Array, "*point"],
) -> Float[Array, "*point"]:
    """Return a plane between its pixels, bilinearly; its own border outside."""
    side = plane.shape[0]
    x, y = ((side - 1) * (jnp.clip(axis, -1, 1) + 1) / 2 for axis in (u, v))
    left, top = (jnp.minimum(jnp.floor(axis), side - 2) for axis in (x, y))
    right_share, down_share = x - left, y - top
    index = (side * top + left).astype(int)
    upper, upper_right, lower, lower_right = (
        plane.ravel()[index + offset] for offset in (0, 1, side, side + 1)
    )
    above = upper + right_share * (upper_right - upper)
    below = lower + right_share * (lower_right - lower)
    return above + down_share * (below - above)


def _hairs(
    count: ScalarLike,
    u: Float[Array, "*point"],
    v: Float[Array, "*point"],
    seed: Seed,
) -> Float[Array, "*point"]:
    """Return how much paint the hair over each point carries, in [0, 1].

    Three waves across, of incommensurable frequencies, that drift sideways along the
    stroke as a hand does.
    """
    a, b, c, d, e = (jnp.multiply(seed, phase) for phase in PHASES)
    drift = 0.35 * _wave(0.4 * u + a) + 0.15 * _wave(1.1 * u + b)
    across = jnp.asarray(count * v / 2 + drift)
    broad = _wave(0.61 * across + c)
    middle = _wave(across + d + 0.3 * broad)
    fine = _wave(2.27 * across + e + 0.2 * u)
    return 0.3 * broad + 0.4 * middle + 0.3 * fine


def _wave(x: Float[Array, "*point"]) -> Float[Array, "*point"]:
    """Return a smooth wave of period 1 between 0 and 1, cheaper than a cosine."""
    return _smoothstep(jnp.abs(2 * (x - jnp.floor(x)) - 1))


@jax.custom_jvp
def _smoothstep(x: Float[Array, "*point"]) -> Float[Array, "*point"]:
    """Return the smoothstep of x: 0 below 0, 1 above 1."""
    x = jnp.clip(x, 0, 1)
    return x * x * (3 - 2 * x)


@_smoothstep.defjvp
def _smoothstep_jvp(primals: tuple[Array], tangents: tuple[Array]):
    # Cheaper than the derivative of a clip, which halves ties.
    x = jnp.clip(primals[0], 0, 1)
    return x * x * (3 - 2 * x), 6 * x * (1 - x) * tangents[0]

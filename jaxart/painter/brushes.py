"""Brush marks: coverage (alpha) and height of a stroke's paint, as a formula.

All marks are one formula with a few parameters, and a brush is a set of parameters.
There is no bitmap to sample: a mark is as sharp at 4,096 pixels as at 64, and smooth in
between.

A mark is a function of its stroke's own frame: `u` runs along it and `v` across, both
from -1 to 1. Its hairs depend on the stroke's seed and that frame, never on the pixel
grid.

Source: ctmakro's opencv_playground, painterfun.py, for streaks of bristles and paint
that runs out along the stroke.
Deviation: that program scales photographs of marks. Ours are formulas, which are
differentiable and need no file.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike


# Phases of the waves of a stroke's hairs: the fractional part of the seed times each of
# these is as good as random.
PHASES = (127.1, 311.7, 74.7, 269.5, 183.3)


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


def mark(
    brush: Brush, u: Float[Array, "*point"], v: Float[Array, "*point"], seed: ScalarLike
) -> tuple[Float[Array, "*point"], Float[Array, "*point"]]:
    """Return coverage and height of a brush's mark.

    Args:
        brush: whose numbers are scalars.
        u: position along the stroke; the mark ends at -1 and 1.
        v: position across the stroke; the mark ends at -1 and 1.
        seed: picks the hairs, in [0, 1).

    Returns:
        Share of the ground that the paint hides, and thickness of the paint, both in
        [0, 1]. Coverage is zero outside the frame.
    """
    if isinstance(brush.hairs, float | int) and brush.hairs == 0:
        hair = jnp.ones_like(u)
    else:
        hair = jnp.where(brush.hairs == 0, 1.0, _hairs(brush.hairs, u, v, seed))
    travel = (u + 1) / 2
    lift = brush.raggedness * (1 - hair) * (0.3 + 0.7 * travel)
    along = _smoothstep((1 - u**2 - brush.roundness * v**2 - lift) / brush.softness)
    across = _smoothstep((1 - v**2) / brush.softness)
    dry = brush.depth * (0.35 + 0.65 * brush.dryness * travel)
    contact = _smoothstep((hair - dry) / 0.25 + 0.5)
    coverage = along * across * (1 - brush.depth * (1 - contact))
    body = brush.body * (0.35 + 0.65 * hair) * (1 - 0.5 * brush.dryness * travel)
    height = body + brush.ridge * (1 - body) * v**4
    return coverage, jnp.clip(height, 0, 1)


def _hairs(
    count: ScalarLike,
    u: Float[Array, "*point"],
    v: Float[Array, "*point"],
    seed: ScalarLike,
) -> Float[Array, "*point"]:
    """Return how much paint the hair over each point carries, in [0, 1].

    Three waves across, of incommensurable frequencies, that drift sideways along the
    stroke as a hand does.
    """
    a, b, c, d, e = jnp.asarray(seed) * jnp.array(PHASES)
    drift = 0.35 * _wave(0.4 * u + a) + 0.15 * _wave(1.1 * u + b)
    across = count * v / 2 + drift
    broad = _wave(0.61 * across + c)
    middle = _wave(across + d + 0.3 * broad)
    fine = _wave(2.27 * across + e + 0.2 * u)
    return 0.3 * broad + 0.4 * middle + 0.3 * fine


def _wave(x: Float[Array, "*point"]) -> Float[Array, "*point"]:
    """Return a smooth wave of period 1 between 0 and 1, cheaper than a cosine."""
    return _smoothstep(jnp.abs(2 * (x - jnp.floor(x)) - 1))


def _smoothstep(x: Float[Array, "*point"]) -> Float[Array, "*point"]:
    """Return the smoothstep of x: 0 below 0, 1 above 1."""
    x = jnp.clip(x, 0, 1)
    return x * x * (3 - 2 * x)

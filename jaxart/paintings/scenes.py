"""Scenes of synthetic paintings: landscapes, still lifes, portraits and abstracts.

A shape is a signed distance, and is filled with strokes coarse to fine: broad ones,
then smaller ones along its outline and here and there inside; details are single
strokes. Colours and directions are functions of position, evaluated at the strokes'
centres, so nothing is rasterised here.

Source: Hertzmann, "Painterly rendering with curved brush strokes of multiple sizes",
SIGGRAPH 1998: layers of strokes from coarse to fine, along the edges.
Deviation: formulas stand for the photograph, and strokes are straight.
"""

import cmath
import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxart.drawing.brushes import BRISTLE, FLAT, KNIFE, ROUND, Brush


Colour = Float[np.ndarray, "3"]
Colours = Float[np.ndarray, "n 3"]
Real = float | int  # jaxtyping's checker tells them apart
Field = Callable[[Any, Any], Any]  # a function of positions x and y

FINEST = 0.014  # width of the smallest strokes, in picture heights
STEP = 1.12  # distance between the strokes of a shape, in widths
REACH = (-3.0, 3.0)  # of a shape from its frame's origin, in units
FAR = [[-1e9, -1e9], [1e9, 1e9]]
REFINED = 0.1  # share of the small strokes that is kept away from the outline


class Style(NamedTuple):
    """A painter's brush and strokes."""

    brush: Brush
    length: float  # of a stroke, in widths
    size: float  # factor of all widths
    jitter: float  # standard deviation of a stroke's colour, in sRGB
    wander: float  # standard deviation of a stroke's angle, in radians
    chroma: float  # factor of the colours' distance from grey


# Oil has rounder, softer marks than a robot's flat brush.
FILBERT = FLAT._replace(roundness=0.7, softness=0.5)
SOFT_BRISTLE = BRISTLE._replace(roundness=0.7, softness=0.5)
STYLES = {
    "Impressionism": Style(FILBERT, 2.6, 0.9, 0.05, 0.35, 1.15),
    "Post-Impressionism": Style(ROUND, 4.2, 1.0, 0.055, 0.15, 1.3),
    "Expressionism": Style(SOFT_BRISTLE, 3.2, 1.15, 0.06, 0.35, 1.35),
    "Realism": Style(FILBERT, 3.0, 0.9, 0.02, 0.2, 0.95),
    "Fauvism": Style(SOFT_BRISTLE, 2.6, 1.1, 0.05, 0.3, 1.5),
    "Tachisme": Style(KNIFE, 2.2, 1.1, 0.045, 0.4, 1.2),
}

# Three colours of the sky from the zenith to the horizon, three of the land from shadow
# to light, four accents, and the colour of the light.
PALETTES = {
    "morning": "7fa8c9b9cfd6f3e3c62f4a456f8f5ecdc98ad9805fe8b04a5f86b5b3566bfff3d6",
    "noon": "2f6fb36ea6d6d6e6ea254a2a5c8f3ac9c75ad8402ff0b92e2f64b0f08a3cfffbe8",
    "autumn": "6f87a0b9b8aeecd9a83b2a209a5a24e0a63cb5301fe0731df2c14e44663fffeec2",
    "sunset": "3f3f7db5567cf7a35a241f3d6b3a4fc9704ff25c3affc24f8c3b7a3a7a96ffe3a0",
    "storm": "2f3d4d62727db3b8b01f2a2a4a594797966aa3482fd1a85a3a6a80e3ddc8f1efe0",
    "moonlight": "121b3d27457d6f92ae0e173022405c5a7f86f2d06be8923f3fa0a88a6fb0fdf0b8",
    "snow": "7d93b3b7c4d6f0e4dc51617fa9b9cff2f2eeb3563fd69a4f3f6a8c5c4a6ffffaf0",
    "the south": "1f7fb85cb8d1f6e3b06b3f2ac27a3af0cd7ae3482ff7b32b1f8f8af2e7d5fff6d0",
    "the studio": "1c15113f2f227a5c3d1f16105c4028a8804f9c2f1fc9902f5f6b3ae0cda8fff0cf",
    "the fair": "1f9aa8f0a0b8ffe0661f3f8f2fa05cf2d13ae8275aff7a1f6f2fa000a896fffadf",
    "roses": "a89bc4e0b3bff9ddcb5f4a6ba87f8ce6c3a8d1495bedae496a8fb38fae7afff2ea",
    "jade": "3f7f7a8fbfa8e6ebc916403a3f7d5ca9c47fe07a5ff2cc8f2a6f97b56576fbffe6",
}


def _colours(text: str) -> Colours:
    """Return hexadecimal colours as sRGB in [0, 1]."""
    return np.frombuffer(bytes.fromhex(text), np.uint8).reshape(-1, 3) / 255


SKINS = _colours("f6d9c2 ecc09c d9a27a b57d56 85563a")
HAIRS = _colours("1f1714 3b2618 6b4526 a8763a d9b56a 8c3a1f b8b0a8")
BLUSH, LEAF, WHITE = _colours("d94d40 33663a ffffff")


class Scene:
    """Strokes in the order in which they are drawn.

    Angles go from right towards down. Positions and sizes are in a frame: first that of
    the picture, whose unit is its height and which is `aspect` wide, then that of a
    thing in it; see `at`.
    """

    def __init__(
        self, rng: np.random.Generator, palette: str, style: Style, aspect: Real
    ):
        self.rng, self.style, self.aspect = rng, style, aspect
        self.uniform = rng.uniform
        colours = _colours(PALETTES[palette])
        self.sky, self.land, self.light_colour = colours[:3], colours[3:6], colours[10]
        self.accents = rng.permutation(colours[6:10])
        self.dusk = _mix(self.land[0], self.sky[0], 0.25)  # the colour of shadows
        self.side = self.pick(-1.0, 1.0)  # the light comes from the left or the right
        self._flow = self.noise(2)
        self._origin, self._frame = 0j, 1 + 0j  # the frame's unit of length and angle
        self._strokes: list[Float[np.ndarray, "n 8"]] = []

    def strokes(self) -> Float[np.ndarray, "n 8"]:
        """Return all strokes, as colourful as the style has them."""
        strokes = np.concatenate(self._strokes)
        inside = (strokes[:, :2] > -0.1) & (strokes[:, :2] < [self.aspect + 0.1, 1.1])
        strokes = strokes[inside.all(1)]
        grey = strokes[:, 5:].mean(1, keepdims=True)
        vivid = grey + self.style.chroma * (strokes[:, 5:] - grey)
        return np.hstack([strokes[:, :5], vivid.clip(0, 1)])

    def at(self, x: Real, y: Real, unit: Real = 1.0, turn: Real = 0.0) -> "Scene":
        """Return this scene in another frame: its origin, unit of length and angle."""
        scene = copy.copy(self)
        scene._origin = self._origin + self._frame * complex(x, y)
        scene._frame = self._frame * cmath.rect(unit, turn)
        return scene

    def dab(self, x: Any, y: Any, length: Any, width: Any, angle: Any, colour: Any):
        """Add single strokes; their numbers are broadcast."""
        unit, turn = cmath.polar(self._frame)
        place = self._origin + self._frame * (np.asarray(x) + 1j * np.asarray(y))
        sides = (
            np.maximum(unit * np.asarray(side), FINEST) for side in (length, width)
        )
        columns = (place.real, place.imag, *sides, np.asarray(angle) + turn, *colour.T)
        strokes = np.stack(np.broadcast_arrays(*columns), -1).reshape(-1, 8)
        self._strokes.append(strokes)

    def fill(
        self,
        distance: Field,
        tones: Colours | list[Colour],
        light: Field | Real = 0.5,
        angle: Field | Real | None = None,
        width: Real = 0.11,
        mottle: Real = 0.6,
        length: Real = 1.0,
    ) -> None:
        """Fill a shape with strokes of a width, and then with those of half of it.

        The shape is where `distance`, to its outline, is above zero, at most `REACH`
        from the origin. `light`, with noise `mottle` times as strong, goes from 0 for
        the first of the tones to 1 for the last. Strokes follow the outline near it,
        and go in a direction `angle` elsewhere, or flow where it is None. They are
        `length` times as long as the style's, and as much calmer.
        """
        rng, style, noise = self.rng, self.style, self.noise(3, 2)
        (unit, turn), origin = cmath.polar(self._frame), self._origin
        sides = [[-0.05, -0.05], [self.aspect + 0.05, 1.05]] if turn == 0 else FAR
        ends = np.clip((sides - np.array([origin.real, origin.imag])) / unit, *REACH)
        for level in (1.0, 0.5):
            w = max(level * width * style.size, FINEST / unit)
            columns, rows = np.ceil((ends[1] - ends[0]) / (STEP * w)).astype(int)
            cells = rng.permutation(rows * columns)
            shift = rng.uniform(0.2, 0.8, (2, len(cells)))
            x = ends[0, 0] + STEP * w * (cells % columns + shift[0])
            y = ends[0, 1] + STEP * w * (cells // columns + shift[1])
            depth = distance(x, y)
            refined = (depth < 0.9 * w) | (rng.random(len(cells)) < REFINED)
            x, y, depth = np.stack([x, y, depth])[
                :, (depth > 0) & (refined | (level == 1))
            ]
            steps = np.stack([distance(x + w / 9, y), distance(x, y + w / 9)])
            slope = 9 / w * (steps - depth)
            # A stroke that would cross the outline moves inside, up against it.
            inwards = np.clip(0.45 * w - depth, 0, 0.5 * w) * slope
            x, y = np.stack([x, y]) + inwards / np.maximum((slope**2).sum(0), 0.3)
            inner = self.side + 4 * self._flow(x, y) - 2 if angle is None else angle
            inner = _at(inner, x, y) + rng.normal(0, style.wander / length, len(x))
            along = np.arctan2(slope[1], slope[0]) + math.pi / 2
            jitter = rng.normal(0, style.jitter / length, (len(x), 4))
            colour = _ramp(tones, _at(light, x, y) + mottle * (noise(x, y) - 0.5))
            colour += jitter[:, :1] + 0.6 * jitter[:, 1:]
            long = w * style.length * length * rng.uniform(0.8, 1.3, len(x))
            wide, at_edge = w * rng.uniform(1.3, 1.7, len(x)), depth < 0.8 * w
            self.dab(x, y, long, wide, np.where(at_edge, along, inner), colour)

    def noise(self, cells: Real, octaves: int = 1, stretch: Real = 1.0) -> Field:
        """Return smooth noise of mean 0.5 and standard deviation 0.2: random waves.

        It has about as many `cells` in a unit of length, `stretch` times as wide as
        high; each further octave is twice as fine and half as strong.
        """
        scales = np.repeat(2.0 ** np.arange(octaves), 6)
        turns, phases = self.uniform(0, 2 * math.pi, (2, len(scales)))
        rates = math.pi * cells * scales * self.uniform(0.6, 1.3, len(scales))
        waves = rates * np.stack([np.cos(turns) / stretch, np.sin(turns)])
        weights = 0.2 * math.sqrt(2) / scales / np.linalg.norm(1 / scales)
        return lambda x, y: (
            0.5 + np.sin(np.stack([x, y], -1) @ waves + phases) @ weights
        )

    def lit(self, across: Real, down: Real = 0.0, middle: Real = 0.5) -> Field:
        """Return light that grows towards the light's side, and downwards."""
        return lambda x, y: middle + across * self.side * x + down * y

    def body(self, colour: Colour) -> Colours:
        """Return the tones of a thing of one colour."""
        dark = _mix(colour * 0.4, self.dusk, 0.3)
        return np.stack(
            [dark, colour * 0.8, colour, _mix(colour, self.light_colour, 0.55)]
        )

    def pick(self, *options: Any) -> Any:
        """Return one of the options."""
        return options[self.rng.integers(len(options))]


def _at(value: Any, x: Any, y: Any) -> Any:
    return value(x, y) if callable(value) else value


def _mix(a: Any, b: Any, share: Real) -> Any:
    return a + share * (b - a)


def _ramp(tones: Any, t: Any) -> Float[np.ndarray, "*t 3"]:
    """Return the colours at `t` in [0, 1] of the way through `tones`."""
    stops = np.linspace(0, 1, len(tones))
    return np.stack([np.interp(t, stops, c) for c in np.transpose(tones)], -1)


def _ellipse(width: Real, height: Real) -> Field:
    return lambda x, y: min(width, height) * (1 - np.hypot(x / width, y / height))


def _box(width: Real, top: Real, foot: Real) -> Field:
    return lambda x, y: np.minimum(width - np.abs(x), np.minimum(y - top, foot - y))


def _triangle(slope: Real, top: Real, foot: Real) -> Field:
    return lambda x, y: np.minimum(slope * (y - top) - np.abs(x), foot - y)


def _around(x: Any, y: Any) -> Any:
    return np.arctan2(y, x) + math.pi / 2


def landscape(scene: Scene) -> tuple[str, str]:
    """Compose a landscape or a marina; return genre and subject."""
    horizon, sun, top = scene.uniform(
        (0.35, 0.1, 0.05), (0.68, scene.aspect - 0.1, 0.35)
    )
    clouds, cover = scene.noise(2.5, 3, scene.uniform(1.5, 4)), scene.uniform(0.4, 0.62)
    wind, gusts, waves = (
        scene.uniform(-0.3, 0.3),
        scene.noise(1.5),
        scene.noise(12, 2, 6),
    )

    def sky(x, y):
        glow = 0.5 * np.exp(-((np.hypot(x - sun, y - top) / 0.3) ** 2))
        shade = 0.4 + 2 * (clouds(x, y) - clouds(x, y - 0.05))
        return 0.6 * y / horizon + glow + np.clip(6 * (clouds(x, y) - cover), 0, shade)

    def water(x, y):
        glitter = 0.6 * (waves(x, y) > 0.6) * (np.abs(x - sun) < 0.15)
        return 0.7 * sky(x, 2 * horizon - y) + 0.8 * waves(x, y) - 0.2 + glitter

    air, breeze = (
        [*scene.sky, scene.light_colour],
        lambda x, y: wind + 1.5 * (gusts(x, y) - 0.5),
    )
    scene.fill(_box(9, -9, horizon + 0.1), air, sky, breeze, 0.1, 0, 1.6)
    if scene.rng.random() < 0.6:
        scene.at(sun, top, scene.uniform(0.03, 0.06)).fill(
            _ellipse(1, 1), air[3:], width=0.6
        )
    for near in np.linspace(0.3, 1, scene.rng.integers(1, 4)):
        ridge, rise = (
            scene.noise(scene.uniform(1, 3), 3),
            (1.1 - near) * scene.uniform(0.2, 0.6),
        )
        hazy = _mix(
            scene.land, _mix(scene.sky[0], scene.sky[2], 0.4), 0.85 - 0.6 * near
        )

        def hill(x, y, rise=rise, ridge=ridge):
            return np.minimum(y - 0.04 + rise * (ridge(x, 0 * x) - 0.1), 0.1 - y)

        scene.at(0, horizon).fill(hill, hazy, 0.5, 0.3 * scene.side, 0.06, length=1.4)
    subject, *things = scene.pick(
        ("Boats", _ship),
        ("Trees", _tree),
        ("Haystacks", _haystack, _haystack, _tree),
        ("Village", _tree, _house, _house),
    )
    if subject == "Boats":
        deep = [_mix(scene.sky[0], scene.land[0], 0.7), *air]
        scene.fill(_box(9, horizon, 9), deep, water, 0.0, 0.07, 0.3, 2)
    else:
        _meadow(scene.at(0, horizon))
    for foot in np.sort(scene.uniform(horizon + 0.04, 0.95, scene.rng.integers(1, 6))):
        size = (0.08 + 0.35 * (foot - horizon)) * scene.uniform(0.8, 1.3)
        scene.pick(*things)(
            scene.at(scene.uniform(0.1, scene.aspect - 0.1), foot, size)
        )
    return "marina" if subject == "Boats" else "landscape", subject


def _meadow(scene: Scene) -> None:
    vanishing, bend, patches = (
        scene.uniform(0, scene.aspect),
        scene.uniform(2, 6),
        scene.noise(3, 2, 5),
    )
    furrows = scene.pick(0.1, lambda x, y: np.arctan2(y + 0.05, x - vanishing))
    grass = [*scene.land, scene.accents[0]]
    scene.fill(_box(9, 0, 9), grass, patches, furrows, 0.09, length=1.3)
    if scene.rng.random() < 0.5:
        bent = lambda x, y: x - vanishing - 0.3 * np.sin(bend * y) * y  # noqa: E731
        road = lambda x, y: np.minimum(y, 0.3 * y - np.abs(bent(x, y)))  # noqa: E731
        scene.fill(
            road, _mix(scene.land[1:], scene.light_colour, 0.35), 0.5, 1.57, 0.06
        )
    if scene.rng.random() < 0.4:
        x, y, angle = scene.uniform(0, [[scene.aspect], [0.6], [3]], (3, 70))
        scene.dab(x, y, 0.015 + 0.06 * y, 0.01 + 0.05 * y, angle, scene.accents[1])


def _ship(scene: Scene) -> None:
    sail = scene.body(
        _mix(scene.accents[0], scene.light_colour, scene.pick(0.1, 0.6, 0.9))
    )
    hull, k, bow = (
        _mix(scene.land[0], scene.accents[1], 0.4),
        np.arange(5) / 5,
        scene.pick(-1, 1),
    )
    x, y = scene.rng.normal(0, 0.15, 6), np.linspace(0.25, 1.6, 6)
    scene.dab(x, y, 1.4 - 0.5 * y, 0.16, 0, _mix(sail[2], scene.sky[1], 0.6))
    scene.dab(x[:3], y[:3], 1.7, 0.16, 0, _mix(hull, scene.sky[0], 0.4))
    for way, tall, low in ((bow, 2.4, 0.9), (-bow, 1.9, 0.65)):
        # Strokes along the mast, shorter and more slanted the farther out.
        tones = _ramp(sail, 0.6 + 0.4 * way * scene.side * (k - 0.3))
        x, y, angle = way * (0.1 + low * k), -0.25 - tall * (1 - k) / 2, 0.4 * way * k
        scene.dab(x, y, tall * (1.05 - k), 0.32, math.pi / 2 - angle, tones)
    scene.dab(
        [-0.5, 0.5, 0], [0, 0, 0.08], [1.2, 1.2, 1.5], 0.3, [0.18, -0.18, 0], hull
    )
    scene.dab(0, -0.16, 2, 0.09, 0, _mix(hull, scene.light_colour, 0.5))


def _house(scene: Scene) -> None:
    wall, roof = (
        _mix(scene.land[2], scene.light_colour, 0.7),
        _mix(scene.accents[0], scene.land[1], 0.3),
    )
    scene = scene.at(0, 0, 0.7)
    _shadow(scene)
    scene.fill(
        _box(1.1, -1, 0), scene.body(wall), 0.5 + 0.3 * scene.side, 1.57, 0.4, 0.3
    )
    scene.dab(0.6 * scene.side, -1.75, 0.5, 0.25, 1.57, roof * 0.7)
    scene.fill(_triangle(1.1, -2.3, -0.85), scene.body(roof), 0.6, 0.0, 0.35, 0.3)
    scene.dab(
        [-0.65, 0.65, 0], [-0.55, -0.55, -0.3], [0.4, 0.4, 0.6], 0.28, 1.57, scene.dusk
    )


def _haystack(scene: Scene) -> None:
    straw, lit = (
        scene.body(_mix(scene.land[2], scene.accents[3], 0.4)),
        scene.lit(0.5, -0.2),
    )
    _shadow(scene)
    scene.fill(_box(0.9, -1, 0), straw, lit)
    slope, slanted = scene.uniform(1.0, 1.6), lambda x, y: 1.57 - 0.6 * x
    scene.fill(_triangle(slope, -1.9, -0.8), straw, lit, slanted, 0.3)


def _tree(scene: Scene) -> None:
    girth, leaves = scene.pick(0.35, 0.8, 1.0), scene.noise(2.2, 2)
    leaf = _mix(
        scene.land[scene.pick(0, 1)], scene.accents[2], scene.pick(0.0, 0.0, 0.35, 0.7)
    )

    def crown(x, y):
        return girth**0.5 * (0.2 + 0.7 * leaves(x, y) - 0.6 * np.hypot(x / girth, y))

    _shadow(scene)
    scene.dab(0, [0, -0.4, -0.8], 0.6, [0.17, 0.14, 0.1], 1.57, 0.7 * scene.land[0])
    lit, width = scene.lit(0.4 / girth, -0.35, 0.45), max(0.3, 0.04 / abs(scene._frame))
    scene.at(0, -1.45).fill(crown, scene.body(leaf), lit, None, width, 1.0)


def _shadow(scene: Scene) -> None:
    x, y = scene.uniform(-1, 1, (2, 14))
    scene.dab(0.8 * x - 0.6 * scene.side, 0.15 * y, 0.9, 0.22, 0.1, scene.dusk)


def still_life(scene: Scene) -> tuple[str, str]:
    """Compose fruit or flowers on a table; return genre and subject."""
    edge, bouquet = scene.uniform(0.45, 0.7), scene.pick(True, False)
    cloth = scene.body(
        _mix(scene.accents[0], scene.light_colour, scene.pick(0.15, 0.4, 0.85))
    )
    wall = scene.pick(scene.land[:2], scene.sky[1:], scene.sky[:2])
    glow = scene.lit(1, -0.2, 0.5 - 0.5 * scene.side)
    scene.fill(_box(9, -9, edge + 0.1), wall, glow, width=0.12, length=1.3)
    scene.fill(_box(9, edge, 9), cloth, glow, 0.15 * scene.side, 0.1, 1.0, 1.5)
    x, foot, tall = scene.uniform((0.3, edge + 0.08, 0.28), (0.7, edge + 0.18, 0.45))
    _vase(scene.at(x * scene.aspect, foot, tall))
    if bouquet:
        _bouquet(scene.at(x * scene.aspect, foot - 1.5 * tall, scene.uniform(0.2, 0.3)))
    fruit = scene.pick(0.0, 0.3, 1.0, 1.0)
    for foot in np.sort(scene.uniform(edge + 0.05, 0.92, scene.rng.integers(1, 7))):
        place = scene.uniform(0.1, scene.aspect - 0.1), foot, scene.uniform(0.08, 0.14)
        _fruit(scene.at(*place), scene.pick(fruit, fruit, 0.0, 0.3))
    return ("flower painting", "Flowers") if bouquet else ("still life", "Fruit")


def _fruit(scene: Scene, pear: Real) -> None:
    """Draw an apple, a lemon or a pear: the more `pear`, the narrower its top."""
    colour = np.clip(scene.pick(*scene.accents) + scene.rng.normal(0, 0.05, 3), 0, 1)

    def shape(x, y):
        wide = 1 - 0.5 * pear / (1 + np.exp(8 * y + 3))
        return 0.85 * (1 - np.hypot(x / wide, (y + 0.3 * pear) / (0.9 + 0.4 * pear)))

    _shadow(scene.at(0, 0.9))
    lit = scene.lit(0.5, -0.45, 0.4)
    scene.fill(shape, scene.body(colour), lit, _around, 0.35, 0.2)
    scene.dab(
        0.4 * scene.side,
        [-0.42, -0.36],
        0.34,
        0.2,
        0.7 * scene.side,
        scene.light_colour,
    )
    scene.dab(0.05, -0.9 - 0.7 * pear, 0.35, 0.1, 1.8, scene.dusk)


def _vase(scene: Scene) -> None:
    start, girth, neck = scene.uniform((-0.2, 0.22, 0.3), (0.7, 0.4, 0.5))
    glaze = scene.body(_mix(scene.accents[3], scene.sky[1], scene.pick(0.0, 0.6)))
    bottle = lambda y: neck + (1 - neck) * (y > -0.6)  # noqa: E731
    radius = scene.pick(bottle, lambda y: 0.55 + 0.5 * np.sin(start - 3.3 * y) ** 2)

    def shape(x, y):
        return np.minimum(girth * radius(y) - np.abs(x), 0.5 - np.abs(y + 0.5))

    _shadow(scene.at(0, 0, girth))
    scene.fill(shape, glaze, scene.lit(1.2), 1.57, 0.14, 0.3)
    scene.dab(
        0.4 * scene.side * girth, [-0.5, -0.43], 0.25, 0.05, 1.57, scene.light_colour
    )


def _bouquet(scene: Scene) -> None:
    leaves = scene.noise(2, 2)
    leafy = lambda x, y: 0.6 + 0.7 * leaves(x, y) - np.hypot(x / 1.2, y)  # noqa: E731
    stems = lambda x, y: np.arctan2(y - 0.8, x) + 3 * leaves(x, y) - 1.5  # noqa: E731
    scene.fill(leafy, _mix(scene.land, LEAF, 0.4), 0.5, stems, 0.28, 1.4)
    for _ in range(scene.rng.integers(7, 14)):
        away, size = math.sqrt(scene.uniform(0, 1)), scene.uniform(0.2, 0.35)
        place = cmath.rect(away, scene.uniform(0, 2 * math.pi))
        _flower(scene.at(1.3 * place.real, place.imag, size))


def _flower(scene: Scene) -> None:
    colour = _mix(
        scene.pick(*scene.accents), scene.light_colour, scene.pick(0.0, 0.15, 0.5, 0.9)
    )
    flat, way = scene.uniform(0.7, 1), scene.pick(0.0, math.pi / 2)
    petals = scene.uniform(0, 6) + np.arange(0, 6.2, scene.pick(0.8, 1.05, 1.25))
    for ring, light in ((0.62, 0.45), (0.32, 0.75)):
        x, y = ring * np.cos(petals), flat * ring * np.sin(petals)
        shade = _ramp(scene.body(colour), scene.lit(0.25, -0.3, light)(x, y))
        scene.dab(x, y, 0.85 * (ring + 0.3), 0.5, petals + way, shade)
    scene.dab(0, 0, 0.35, 0.3, 0, _mix(scene.accents[3], scene.land[0], 0.2))


def portrait(scene: Scene) -> tuple[str, str]:
    """Compose a head and shoulders; return genre and subject."""
    low, high = (0.42, 0.4, 0.16, -1.1, -0.2), (0.58, 0.5, 0.28, 1.1, 0.2)
    x, y, size, yaw, tilt = scene.uniform(low, high)
    bust, head = (
        scene.at(x * scene.aspect, y, 3 * size),
        scene.at(x * scene.aspect, y, size, tilt),
    )
    skin, colour = scene.pick(*SKINS), scene.pick(*HAIRS)
    hair = np.stack([0.4 * colour, colour, _mix(colour, scene.light_colour, 0.35)])
    cloth = scene.body(_mix(scene.accents[0], scene.land[0], scene.pick(0.0, 0.3, 0.7)))
    wide, below = scene.pick(
        (0.92, 0.6), (0.92, 0.6), (1, 1.3), (1.05, 2.1), (1.35, 1.1)
    )
    parting, collar, lit = (
        scene.uniform(-0.3, 0.3),
        scene.uniform(0, 0.16),
        scene.lit(0.4, -0.25),
    )
    if scene.rng.random() < 0.15:
        hair = scene.body(scene.accents[1])  # a headscarf

    def behind(x, y):
        return 1 - np.hypot((x + 0.2 * yaw) / wide, y / np.where(y > 0, below, 1.3))

    def shoulders(x, y):
        return y - 0.45 - 0.8 * x**2 - collar * np.exp(-((x / 0.13) ** 2))

    def fringe(x, y):
        brow = 0.5 * (x - 0.4 * yaw) ** 2 + parting * x - 0.55 - y
        temple = np.abs(np.arcsin(np.clip(x / 0.85, -1, 1)) - yaw) - 1.15
        cap = 0.9 * (1 - np.hypot((x + 0.1 * yaw) / 0.92, (y + 0.15) / 1.12))
        return np.minimum(cap, np.maximum(brow, temple))

    # Lighter behind the shadow side of the face.
    wall, glow = (
        scene.pick(scene.land[:2], scene.land, scene.sky),
        scene.lit(-0.7, 0, 0.5 + 0.35 * scene.side),
    )
    scene.fill(_box(9, -9, 9), wall, glow, None, 0.11, 1.0, 1.2)
    head.fill(behind, hair, lit, 1.57, 0.3, 0.8)
    head.fill(_box(0.46, 0.3, 2), scene.body(skin), 0.3, 1.4, 0.3)
    bust.fill(
        shoulders, cloth, scene.lit(1), lambda x, y: np.arctan2(y, x), 0.12, 0.8, 1.2
    )
    _face(head, yaw, skin)
    if below < 1 and scene.rng.random() < 0.3:
        beard = lambda x, y: 0.85 - np.hypot(x - 0.15 * yaw, y - 0.5)  # noqa: E731
        chin = lambda x, y: np.minimum(beard(x, y), y - 0.78)  # noqa: E731
        head.fill(chin, hair, lit, 1.57, 0.25)
    if below > 1 or scene.rng.random() < 0.8:  # else bald
        head.fill(fringe, hair, lit, _around, 0.24, 0.8)
    if scene.rng.random() < 0.35:
        _hat(head.at(0, -0.55), scene.pick(cloth, scene.body(scene.accents[3])))
    return "portrait", scene.pick("Head of a sitter", "Half-length", "A friend")


def _hat(scene: Scene, felt: Colours) -> None:
    tall, brim = scene.uniform(0.7, 1.1), scene.pick(1.0, 1.5, 1.8)
    crown = lambda x, y: 0.8 - np.hypot(x, np.minimum(y, 0) / tall)  # noqa: E731
    dome = lambda x, y: np.minimum(crown(x, y), 0.15 - y)  # noqa: E731
    scene.fill(dome, felt, scene.lit(0.2, -0.3), 0.1, 0.3)
    scene.dab(0, [-0.08, 0.1], [1.7, 2 * brim], [0.25, 0.3], 0, felt[0])
    scene.dab(0, 0.04, 1.9 * brim, 0.26, 0, felt[2])


def _face(scene: Scene, yaw: Real, skin: Colour) -> None:
    wide, eye, edge = scene.uniform((0.72, 0.85, 0.4), (0.84, 1.15, 0.9))

    def shape(x, y):
        jaw = wide - 0.17 * np.clip(y, 0, 2) ** 1.5
        return 0.8 * (1 - np.hypot((x - 0.08 * yaw * y) / jaw, y / 1.12))

    def on(azimuth, y, length, width, angle, colour, radius=0.8):
        # A mark on a head that is turned.
        place = cmath.rect(1, azimuth + yaw)
        if place.real > 0:
            length = np.multiply(length, max(place.real, 0.35))
            scene.dab(radius * place.imag, y, length, width, angle, colour)

    scene.fill(shape, scene.body(skin), scene.lit(edge, -0.1, 0.62), _around, 0.24, 0.1)
    shade, dark = _mix(skin * 0.5, scene.dusk, 0.2), scene.dusk * 0.4
    soft, lips = _mix(skin, shade, 0.55), _mix(BLUSH * 0.8, skin, 0.2)
    for side in (-1, 1):
        x = 0.43 * side
        on(1.3 * x, 0.3, 0.35, 0.3, 0, _mix(skin, BLUSH, 0.2))
        on(x, -0.13, 0.46 * eye, 0.24, 0, soft)
        on(x, -0.07, 0.36 * eye, 0.15, 0, _mix(skin, WHITE, 0.45))
        on(x, [-0.08, -0.16], [0.18, 0.42 * eye], [0.17, 0.08], 0, dark)
        on(x, -0.31, 0.45 * eye, 0.1, 0.12 * side, shade * 0.6)
        on(0.13 * side, 0.38, 0.16, 0.07, 0, shade, 1.0)
    nose = 1.57 - 0.5 * yaw
    on(-0.13 * scene.side, [0, 0.22], 0.4, 0.12, nose, soft, 0.9)
    on(
        0,
        [0.05, 0.2],
        [0.36, 0.3],
        [0.1, 0.14],
        nose,
        _mix(skin, scene.light_colour, 0.5),
        0.95,
    )
    on(0, [0.6, 0.68], [0.46, 0.34], 0.12, 0, lips, 0.85)
    on(0, 0.635, 0.4, 0.05, 0, shade * 0.6, 0.85)
    on(0, 0.82, 0.3, 0.09, 0, soft)


def abstract(scene: Scene) -> tuple[str, str]:
    """Compose forms that are nothing else; return genre and subject."""
    palette = np.vstack(
        [scene.sky, scene.land, scene.accents, scene.accents, scene.light_colour]
    )
    ground, *colours = scene.rng.permutation(palette)
    scene.fill(_box(9, -9, 9), scene.body(ground), width=0.14)
    kind = scene.pick(_fields, _rings, _patchwork, _gestures)
    kind(scene, np.stack(colours))
    return "abstract", kind.__name__.strip("_").capitalize()


def _fields(scene: Scene, colours: Colours) -> None:
    cuts = [0.05, *np.sort(scene.uniform(0.2, 0.8, scene.rng.integers(1, 4))), 0.95]
    for top, foot, colour in zip(cuts, cuts[1:], colours, strict=False):
        shape = _box(scene.aspect / 2 - 0.06, top + 0.01, foot - 0.01)
        scene.at(scene.aspect / 2, 0).fill(shape, scene.body(colour), 0.5, 0.0, 0.12)


def _rings(scene: Scene, colours: Colours) -> None:
    for _ in range(scene.rng.integers(3, 8)):
        x, y, size = scene.uniform((0, 0, 0.08), (scene.aspect, 1, 0.4))
        tones = scene.rng.permutation(colours)[: scene.pick(2, 3, 5)]
        disc, width = scene.at(x, y, size), 0.06 / size + 0.1
        disc.fill(_ellipse(1, 1), tones, np.hypot, _around, width, mottle=0)
    low, high = (
        [[0], [0], [0.3], [0.015], [0]],
        [[scene.aspect], [1], [1.2], [0.05], [3]],
    )
    x, y, length, width, angle = scene.uniform(low, high, (5, 4))
    scene.dab(x, y, length, width, angle, 0.6 * scene.pick(*colours))


def _patchwork(scene: Scene, colours: Colours) -> None:
    cloth, size = (
        scene.at(scene.aspect / 2, 0.5, 1, scene.uniform(0, 1.5)),
        1 / scene.uniform(3, 5.5),
    )
    for x, y in size * (np.indices((11, 11)).reshape(2, -1).T - 5):
        tones, way = scene.body(scene.pick(*colours)), scene.pick(0, math.pi / 2)
        cloth.at(x, y, size).fill(_box(0.5, -0.5, 0.5), tones, 0.6, way, 0.45)


def _gestures(scene: Scene, colours: Colours) -> None:
    for colour in colours[: scene.rng.integers(6, 13)]:
        count, width = scene.rng.integers(6, 40), scene.uniform(0.03, 0.15)
        turns = scene.uniform(0, 6) + np.cumsum(scene.rng.normal(0, 0.4, count))
        x, y = np.cumsum(1.1 * width * np.stack([np.cos(turns), np.sin(turns)]), 1)
        stroke = scene.at(scene.uniform(0, scene.aspect), scene.uniform(0, 1))
        stroke.dab(x, y, 2.2 * width, width, turns, colour)


GENRES = (landscape, still_life, portrait, abstract)

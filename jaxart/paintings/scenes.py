"""Scenes of synthetic paintings: landscapes, still lifes, portraits and abstracts.

A scene is a list of strokes. A shape is a signed distance, and is filled with strokes
coarse to fine: broad ones, then smaller ones along its outline and here and there
inside; details are single strokes. Colours and directions are functions of position,
evaluated at the strokes' centres, so nothing is rasterised here.

Source: Hertzmann, "Painterly rendering with curved brush strokes of multiple sizes",
SIGGRAPH 1998: layers of strokes from coarse to fine, along the edges.
Deviation: formulas stand for the photograph, and strokes are straight.
"""

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from jaxart.painter.brushes import BRISTLE, FLAT, KNIFE, ROUND, Brush


T = TypeVar("T")
Colour = Float[np.ndarray, "3"]
Colours = Float[np.ndarray, "n 3"]
Real = float | int  # jaxtyping's checker tells them apart
Field = Callable[[Any, Any], Any]  # a function of positions x and y

FINEST = 0.014  # width of the smallest strokes, in picture heights
STEP = 1.1  # distance between the strokes of a shape, in widths
REFINED = 0.12  # share of the small strokes that is kept away from the outline


class Style(NamedTuple):
    """A painter's brush and strokes."""

    brush: Brush
    length: float  # of a stroke, in widths
    size: float  # factor of all widths
    jitter: float  # standard deviation of a stroke's colour, in sRGB
    wander: float  # standard deviation of a stroke's angle, in radians
    chroma: float  # factor of the colours' distance from grey


STYLES = {
    "Impressionism": Style(FLAT, 2.4, 0.9, 0.05, 0.35, 1.15),
    "Post-Impressionism": Style(ROUND, 4.2, 1.0, 0.055, 0.15, 1.3),
    "Expressionism": Style(BRISTLE, 3.2, 1.15, 0.06, 0.35, 1.35),
    "Realism": Style(ROUND, 2.4, 0.95, 0.025, 0.25, 0.95),
    "Fauvism": Style(FLAT, 2.2, 1.15, 0.05, 0.3, 1.5),
    "Tachisme": Style(KNIFE, 1.8, 1.1, 0.045, 0.5, 1.2),
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
    the picture, whose unit is its height, then that of a thing in it; see `at`.

    Args:
        rng: decides everything that is left open.
        palette: one of `PALETTES`.
        style: of the strokes.
        aspect: width of the picture, in heights.
    """

    def __init__(
        self, rng: np.random.Generator, palette: str, style: Style, aspect: Real
    ):
        self.rng, self.style, self.aspect = rng, style, aspect
        self.uniform = rng.uniform
        colours = _colours(PALETTES[palette])
        self.sky, self.land, self.lamp = colours[:3], colours[3:6], colours[10]
        self.accents = rng.permutation(colours[6:10])
        self.dusk = _mix(self.land[0], self.sky[0], 0.25)  # the colour of shadows
        self.side = self.pick(-1.0, 1.0)  # the light comes from the left or the right
        self._flow = self.noise(2)
        self._origin, self._unit, self._turn = np.zeros(2), 1.0, 0.0
        self._strokes: list[Float[np.ndarray, "n 8"]] = []

    def strokes(self) -> Float[np.ndarray, "n 8"]:
        """Return all strokes, as colourful as the style has them."""
        strokes = np.concatenate(self._strokes)
        grey = strokes[:, 5:].mean(1, keepdims=True)
        vivid = grey + self.style.chroma * (strokes[:, 5:] - grey)
        return np.hstack([strokes[:, :5], vivid.clip(0, 1)])

    def at(self, x: Real, y: Real, unit: Real = 1.0, turn: Real = 0.0) -> "Scene":
        """Return this scene in another frame: its origin, unit of length and angle."""
        scene = copy.copy(self)
        scene._origin = self._origin + self._unit * np.array([x, y]) @ _rotation(
            self._turn
        )
        scene._unit, scene._turn = self._unit * unit, self._turn + turn
        return scene

    def dab(
        self, x: Any, y: Any, length: Any, width: Any, angle: Any, colour: Any
    ) -> None:
        """Add single strokes; their numbers are broadcast."""
        columns = np.broadcast_arrays(x, y, length, width, angle, *colour.T)
        strokes = np.stack(columns, -1).reshape(-1, 8)
        strokes[:, :4] *= self._unit
        strokes[:, :2] = self._origin + strokes[:, :2] @ _rotation(self._turn)
        strokes[:, 2:4] = np.maximum(strokes[:, 2:4], FINEST)
        strokes[:, 4] += self._turn
        self._strokes.append(strokes)

    def fill(
        self,
        distance: Field,
        tones: Colours,
        light: Field | Real = 0.5,
        angle: Field | Real | None = None,
        width: Real = 0.11,
        mottle: Real = 0.6,
        reach: Real = 3.0,
    ) -> None:
        """Fill a shape with strokes of a width, and then with those of half of it.

        The shape is where `distance`, to its outline, is above zero, at most `reach`
        from the origin. `light`, with noise `mottle` times as strong, goes from 0 for
        the first of the tones to 1 for the last. Strokes follow the outline near it,
        and go in a direction `angle` elsewhere, or flow where it is None.
        """
        rng, style, noise = self.rng, self.style, self.noise(3, 2)
        sides = np.array([[-0.05, -0.05], [self.aspect + 0.05, 1.05]])
        ends = np.clip((sides - self._origin) / self._unit, -reach, reach)
        ends = ends if self._turn == 0 else np.array([[-reach] * 2, [reach] * 2])
        for level in (1.0, 0.5):
            w = max(level * width * style.size, FINEST / self._unit)
            columns, rows = np.ceil((ends[1] - ends[0]) / (STEP * w)).astype(int)
            cells = rng.permutation(rows * columns)
            x = ends[0, 0] + STEP * w * (cells % columns + rng.random(len(cells)))
            y = ends[0, 1] + STEP * w * (cells // columns + rng.random(len(cells)))
            depth = distance(x, y)
            refined = (depth < 0.9 * w) | (rng.random(len(cells)) < REFINED)
            keep = (depth > 0) & (refined | (level == 1))
            x, y, depth = x[keep], y[keep], depth[keep]
            slope = np.stack([distance(x + w / 9, y), distance(x, y + w / 9)]) - depth
            slope *= 9 / w
            # A stroke that would cross the outline moves inside, up against it.
            inwards = np.clip(0.45 * w - depth, 0, 0.5 * w) * slope
            x, y = np.stack([x, y]) + inwards / np.maximum((slope**2).sum(0), 0.3)
            inner = self.side + 4 * self._flow(x, y) - 2 if angle is None else angle
            inner = _at(inner, x, y) + rng.normal(0, style.wander, len(x))
            along = np.arctan2(slope[1], slope[0]) + math.pi / 2
            jitter = rng.normal(0, style.jitter, (len(x), 4)) * (0.5 + level / 2)
            colour = _ramp(tones, _at(light, x, y) + mottle * (noise(x, y) - 0.5))
            self.dab(
                *(x, y, w * style.length * rng.uniform(0.7, 1.3, len(x))),
                w * rng.uniform(1.1, 1.5, len(x)),
                np.where(depth < 0.8 * w, along, inner),
                colour + jitter[:, :1] + 0.6 * jitter[:, 1:],
            )

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
        shifted = lambda x, y: np.stack([x, y], -1) @ waves + phases  # noqa: E731
        return lambda x, y: 0.5 + np.sin(shifted(x, y)) @ weights

    def body(self, colour: Colour) -> Colours:
        """Return the tones of a thing of one colour."""
        dark = _mix(colour * 0.4, self.dusk, 0.3)
        return np.stack([dark, colour * 0.8, colour, _mix(colour, self.lamp, 0.55)])

    def pick(self, *options: T) -> T:
        """Return one of the options."""
        return options[self.rng.integers(len(options))]


def _at(value: Any, x: Any, y: Any) -> Any:
    return value(x, y) if callable(value) else value


def _rotation(angle: Real) -> Float[np.ndarray, "2 2"]:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, sin], [-sin, cos]])


def _mix(a: Any, b: Any, share: Real) -> Any:
    return a + share * (b - a)


def _ramp(tones: Colours, t: Any) -> Float[np.ndarray, "*t 3"]:
    """Return the colours at `t` in [0, 1] of the way through `tones`."""
    stops = np.linspace(0, 1, len(tones))
    return np.stack([np.interp(t, stops, channel) for channel in tones.T], -1)


def _everywhere(x: Any, y: Any) -> Any:
    return np.ones_like(x)


def _ellipse(width: Real, height: Real) -> Field:
    return lambda x, y: min(width, height) * (1 - np.hypot(x / width, y / height))


def _box(width: Real, top: Real, foot: Real) -> Field:
    return lambda x, y: np.minimum(width - np.abs(x), np.minimum(y - top, foot - y))


def _triangle(slope: Real, top: Real, foot: Real) -> Field:
    return lambda x, y: np.minimum(slope * (y - top) - np.abs(x), foot - y)


def _around(x: Any, y: Any) -> Any:
    """Return the direction of a circle around the origin."""
    return np.arctan2(y, x) + math.pi / 2


def landscape(s: Scene) -> tuple[str, str]:
    """Compose a landscape or a marina; return genre and subject."""
    horizon, sun, top = s.uniform((0.35, 0.1, 0.05), (0.68, s.aspect - 0.1, 0.35))
    clouds, cover = s.noise(3, 3, s.uniform(1.2, 3)), s.uniform(0.4, 0.62)
    waves, air = s.noise(14, 2, stretch=5), np.stack([*s.sky, s.lamp])

    def sky(x, y):
        glow = 0.5 * np.exp(-((np.hypot(x - sun, y - top) / 0.3) ** 2))
        shade = 0.4 + 2 * (clouds(x, y) - clouds(x, y - 0.05))
        lit = np.clip(6 * (clouds(x, y) - cover), 0, 1) * shade
        return 0.6 * y / horizon + glow + lit

    def water(x, y):
        glitter = 0.6 * (waves(x, y) > 0.6) * (np.abs(x - sun) < 0.15)
        return 0.7 * sky(x, 2 * horizon - y) + waves(x, y) - 0.3 + glitter

    s.fill(lambda x, y: horizon + 0.1 - y, air, sky, mottle=0)
    if s.rng.random() < 0.6:
        disc = s.at(sun, top, s.uniform(0.03, 0.06))
        disc.fill(_ellipse(1, 1), air[3:], width=0.6)
    for near in np.linspace(0.3, 1, s.rng.integers(1, 4)):
        ridge, rise = s.noise(s.uniform(1, 3), 3), (1.1 - near) * s.uniform(0.2, 0.6)
        hazy = _mix(s.land, _mix(s.sky[0], s.sky[2], 0.4), 0.85 - 0.6 * near)

        def hill(x, y, rise=rise, ridge=ridge):
            top = 0.04 - rise * (ridge(x, 0 * x) - 0.1)
            return np.minimum(y - top, 0.1 - y)

        s.at(0, horizon).fill(hill, hazy, 0.5, 0.3 * s.side, 0.06)
    genre, subject, *things = s.pick(
        ("marina", "Boats", _ship),
        ("landscape", "Trees", _tree),
        ("landscape", "Village", _tree, _house, _house),
    )
    if genre == "marina":
        deep = np.stack([_mix(s.sky[0], s.land[0], 0.7), *air])
        s.fill(lambda x, y: y - horizon, deep, water, 0.0, 0.075)
    else:
        _meadow(s.at(0, horizon))
    for foot in np.sort(s.uniform(horizon + 0.03, 0.95, s.rng.integers(1, 7))):
        size = (0.05 + 0.4 * (foot - horizon)) * s.uniform(0.7, 1.3)
        s.pick(*things)(s.at(s.uniform(0.05, s.aspect - 0.05), foot, size))
    return genre, subject


def _meadow(s: Scene) -> None:
    vanishing, bend, patches = s.uniform(0, s.aspect), s.uniform(2, 6), s.noise(3, 2, 5)
    grass, earth = np.stack([*s.land, s.accents[0]]), _mix(s.land[1:], s.lamp, 0.35)

    def road(x, y):
        return 0.01 + 0.3 * y - np.abs(x - vanishing - 0.3 * np.sin(bend * y) * y)

    furrows = s.pick(None, lambda x, y: np.arctan2(y + 0.05, x - vanishing))
    s.fill(lambda x, y: y, grass, lambda x, y: patches(x, y) - 0.2 * y, furrows, 0.09)
    if s.rng.random() < 0.5:
        s.fill(lambda x, y: np.minimum(y, road(x, y)), earth, 0.5, 1.57, 0.06)
    if s.rng.random() < 0.5:
        x, y, angle = s.uniform(0, [[s.aspect], [0.6], [3]], (3, 70))
        s.dab(x, y, 0.015 + 0.06 * y, 0.01 + 0.05 * y, angle, s.accents[1])


def _ship(s: Scene) -> None:
    sail, y = _mix(s.accents[0], s.lamp, s.pick(0.1, 0.8)), np.arange(5)
    s.dab(0, 0.4 + 0.3 * y, 1.3 - 0.2 * y, 0.22, 0, _mix(sail, s.land[0], 0.5))
    s.fill(_triangle(0.45, -2.2, -0.15), s.body(sail), 0.8, 1.4, 0.4)
    s.dab(0, [-0.02, 0.12], [2.2, 1.6], 0.3, 0, _mix(s.land[0], s.accents[1], 0.5))


def _house(s: Scene) -> None:
    wall, roof = _mix(s.land[2], s.lamp, 0.7), _mix(s.accents[0], s.land[1], 0.3)
    s = s.at(0, 0, 0.6)
    s.fill(_box(1, -1, 0), s.body(wall), lambda x, y: 0.6 + 0.3 * s.side * x, 1.5, 0.4)
    s.fill(_triangle(1.2, -2, -0.9), s.body(roof), 0.6, 0.1, 0.35)
    s.dab([-0.5, 0.5, 0], [-0.5, -0.5, -0.25], 0.4, 0.26, 1.57, s.land[0])


def _tree(s: Scene) -> None:
    girth, leaves = s.pick(0.35, 0.8, 1.0), s.noise(2.2, 2)
    foliage = _mix(s.land, s.accents[2], s.pick(0.0, 0.0, 0.35, 0.7))
    _shadow(s)

    def crown(x, y):
        return girth**0.5 * (0.2 + 0.7 * leaves(x, y) - 0.6 * np.hypot(x / girth, y))

    def lit(x, y):
        return 0.3 + 0.4 * s.side * x / girth - 0.35 * y

    s.dab(0, [0, -0.4, -0.8], 0.5, [0.13, 0.11, 0.09], 1.57, 0.8 * s.land[0])
    s.at(0, -1.45).fill(crown, foliage, lit, None, max(0.3, 0.04 / s._unit), 1.2)


def _shadow(s: Scene) -> None:
    x, y = s.uniform(-1, 1, (2, 14))
    s.dab(0.8 * x - 0.6 * s.side, 0.15 * y, 0.7, 0.22, 0.1, s.dusk)


def still_life(s: Scene) -> tuple[str, str]:
    """Compose fruit or flowers on a table; return genre and subject."""
    edge, bouquet = s.uniform(0.45, 0.7), s.pick(True, False)
    cloth = s.body(_mix(s.accents[0], s.lamp, s.pick(0.15, 0.4, 0.85)))
    wall = s.pick(s.land[:2], s.sky[1:], s.sky[:2])
    glow = lambda x, y: 0.5 + s.side * (x / s.aspect - 0.5) - 0.2 * y  # noqa: E731
    s.fill(lambda x, y: edge + 0.1 - y, wall, glow)
    s.fill(lambda x, y: y - edge, cloth, glow, width=0.09, mottle=1.0)
    x, foot, tall = s.uniform((0.3, edge + 0.08, 0.28), (0.7, edge + 0.18, 0.45))
    _vase(s.at(x * s.aspect, foot, tall))
    if bouquet:
        _bouquet(s.at(x * s.aspect, foot - 1.5 * tall, s.uniform(0.2, 0.3)))
    for foot in np.sort(s.uniform(edge + 0.05, 0.92, s.rng.integers(1, 7))):
        _fruit(s.at(s.uniform(0.1, s.aspect - 0.1), foot, s.uniform(0.07, 0.13)))
    return ("flower painting", "Flowers") if bouquet else ("still life", "Fruit")


def _fruit(s: Scene) -> None:
    colour = np.clip(s.pick(*s.accents) + s.rng.normal(0, 0.05, 3), 0, 1)

    def lit(x, y):
        return 0.5 + 0.5 * s.side * x - 0.45 * y - 0.3 * (x**2 + y**2)

    _shadow(s.at(0, 0.9))
    s.fill(_ellipse(1, s.uniform(0.85, 1.1)), s.body(colour), lit, _around, 0.35, 0.2)
    s.dab(0.4 * s.side, [-0.42, -0.36], 0.34, 0.2, 0.7 * s.side, s.lamp)


def _vase(s: Scene) -> None:
    start, girth = s.uniform((-0.2, 0.22), (0.7, 0.4))
    glaze = s.body(_mix(s.accents[3], s.sky[1], s.pick(0.0, 0.6)))

    def shape(x, y):
        radius = girth * (0.55 + 0.5 * np.sin(start - 3.3 * y) ** 2)
        return np.minimum(radius - np.abs(x), 0.5 - np.abs(y + 0.5))

    _shadow(s.at(0, 0, girth))
    s.fill(shape, glaze, lambda x, y: 0.5 + s.side * x, 1.57, 0.14, 0.3)
    s.dab(0.4 * s.side * girth, [-0.65, -0.58], 0.2, 0.05, 1.57, s.lamp)


def _bouquet(s: Scene) -> None:
    leaves = s.noise(2, 2)
    leafy = lambda x, y: 0.6 + 0.7 * leaves(x, y) - np.hypot(x / 1.2, y)  # noqa: E731
    stems = lambda x, y: np.arctan2(y - 0.8, x) + 3 * leaves(x, y) - 1.5  # noqa: E731
    s.fill(leafy, _mix(s.land, LEAF, 0.4), 0.5, stems, 0.28, 1.4)
    for _ in range(s.rng.integers(7, 14)):
        turn, away = s.uniform(0, 2 * math.pi), math.sqrt(s.uniform(0, 1))
        x, y = 1.3 * away * math.cos(turn), away * math.sin(turn)
        _flower(s.at(x, y, s.uniform(0.2, 0.35)))


def _flower(s: Scene) -> None:
    colour = _mix(s.pick(*s.accents), s.lamp, s.pick(0.0, 0.15, 0.5, 0.9))
    flat, way = s.uniform(0.7, 1), s.pick(0.0, math.pi / 2)
    petals = s.uniform(0, 6) + np.arange(0, 6.2, s.pick(0.8, 1.05, 1.25))
    for ring, light in ((0.62, 0.45), (0.32, 0.75)):
        x, y = ring * np.cos(petals), flat * ring * np.sin(petals)
        shade = _ramp(s.body(colour), light + 0.25 * s.side * x - 0.3 * y)
        s.dab(x, y, 0.85 * (ring + 0.3), 0.5, petals + way, shade)
    s.dab(0.0, 0.0, 0.35, 0.3, 0.0, _mix(s.accents[3], s.land[0], 0.2))


def portrait(s: Scene) -> tuple[str, str]:
    """Compose a head and shoulders; return genre and subject."""
    x, y, size, turned = s.uniform((0.42, 0.36, 0.18, -0.35), (0.58, 0.46, 0.26, 0.35))
    head = s.at(x * s.aspect, y, size)
    skin, hair = s.pick(*SKINS), s.body(s.pick(*HAIRS))
    below, parting, collar = s.pick(1.3, 2.1), s.uniform(-0.3, 0.3), s.uniform(0, 0.5)
    cloth = s.body(_mix(s.accents[0], s.land[0], s.pick(0.0, 0.3, 0.7)))

    def lit(x, y):
        return 0.4 + 0.25 * s.side * x - 0.1 * y

    def long_hair(x, y):
        return 1 - np.hypot(x / 1.02, y / np.where(y > 0, below, 1.3))

    def shoulders(x, y):
        return y - 1.35 - 0.28 * x**2 - collar * np.exp(-((x / 0.4) ** 2))

    def fringe(x, y):
        brow = 0.5 * (x - 0.4 * turned) ** 2 + parting * x - 0.5 - y
        cap = 0.9 * (1 - np.hypot(x / 0.92, (y + 0.15) / 1.12))
        return np.minimum(cap, np.maximum(brow, 2 * (np.abs(x) - 0.74)))

    # Lighter behind the shadow side of the face.
    glow = lambda x, y: 0.5 - 0.7 * s.side * (x / s.aspect - 0.5)  # noqa: E731
    s.fill(_everywhere, s.pick(s.land[:2], s.land, s.sky), glow, None, 0.13, 1.0)
    head.fill(long_hair, hair, lit, 1.57, 0.3, 1.2)
    head.fill(_box(0.46, 0.3, 2), s.body(skin), lit, 1.4, 0.3)
    head.fill(shoulders, cloth, 0.45, lambda x, y: np.arctan2(y, x), 0.35, 1.2, reach=9)
    _face(head, turned, skin)
    head.fill(fringe, hair, lit, _around, 0.24, 1.2)
    return "portrait", s.pick("Head of a sitter", "Half-length", "A friend")


def _face(s: Scene, turned: Real, skin: Colour) -> None:
    def shape(x, y):
        jaw = 0.8 - 0.17 * np.clip(y, 0, 2) ** 1.5
        return 0.8 * (1 - np.hypot(x / jaw, y / 1.12))

    def lit(x, y):
        # One cheek turns away from the light.
        return 0.4 - 0.1 * y + 0.5 * np.tanh(1.6 * s.side * (x + 0.3 * turned) + 1.1)

    s.fill(shape, s.body(skin), lit, _around, 0.22, 0.1)
    s, shade, dark = s.at(turned, 0), _mix(skin * 0.5, s.dusk, 0.2), s.dusk * 0.4
    soft, lips = _mix(skin, shade, 0.55), _mix(BLUSH * 0.8, skin, 0.2)
    for side in (-1, 1):
        x, w = 0.34 * side, 1 - 0.3 * turned * side  # the far eye is narrower
        s.dab(x + 0.1 * side, 0.3, 0.3, 0.25, 0.0, _mix(skin, BLUSH, 0.25))
        s.dab(x, -0.13, 0.42 * w, 0.22, 0.0, soft)
        s.dab(x, -0.07, 0.34 * w, 0.14, 0.0, _mix(skin, WHITE, 0.6))
        s.dab(x, [-0.08, -0.16], [0.17, 0.38 * w], [0.17, 0.07], 0.0, dark)
        s.dab([x - 0.1, x + 0.1], -0.3, 0.3 * w, 0.09, [-0.2, 0.2], shade * 0.5)
        s.dab(0.1 * side, 0.38, 0.16, 0.07, 0.0, shade)
    s.dab(-0.11 * s.side, [0, 0.22], 0.36, 0.1, 1.5, soft)
    s.dab(0.03 * s.side, [0.05, 0.22], 0.34, 0.09, 1.57, _mix(skin, s.lamp, 0.6))
    s.dab([-0.1, 0.1, 0], [0.6, 0.6, 0.69], 0.28, 0.1, [-0.15, 0.15, 0], lips)
    s.dab([-0.1, 0.1], 0.635, 0.26, 0.04, [0.1, -0.1], shade * 0.6)
    s.dab(0.0, 0.82, 0.3, 0.09, 0.0, soft)


def abstract(s: Scene) -> tuple[str, str]:
    """Compose forms that are nothing else; return genre and subject."""
    palette = np.vstack([s.sky, s.land, s.accents, s.accents, s.lamp])
    colours = s.rng.permutation(palette)
    s.fill(_everywhere, s.body(colours[0]), width=0.14)
    kind = s.pick(_fields, _rings, _patchwork, _cuttings, _gestures)
    kind(s, colours[1:])
    return "abstract", kind.__name__.strip("_").capitalize()


def _fields(s: Scene, colours: Colours) -> None:
    cuts = [0.05, *np.sort(s.uniform(0.2, 0.8, s.rng.integers(1, 4))), 0.95]
    for top, foot, colour in zip(cuts, cuts[1:], colours, strict=False):
        shape = _box(s.aspect / 2 - 0.06, top + 0.01, foot - 0.01)
        s.at(s.aspect / 2, 0).fill(shape, s.body(colour), 0.5, 0.0, 0.1)


def _rings(s: Scene, colours: Colours) -> None:
    for _ in range(s.rng.integers(3, 8)):
        x, y, size = s.uniform((0, 0, 0.08), (s.aspect, 1, 0.4))
        tones = s.rng.permutation(colours)[: s.pick(2, 3, 5)]
        disc, width = s.at(x, y, size), 0.06 / size + 0.1
        disc.fill(_ellipse(1, 1), tones, np.hypot, _around, width, mottle=0)
    low, high = [[0], [0], [0.3], [0.015], [0]], [[s.aspect], [1], [1.2], [0.05], [3]]
    x, y, length, width, angle = s.uniform(low, high, (5, 4))
    s.dab(x, y, length, width, angle, 0.6 * s.pick(*colours))


def _patchwork(s: Scene, colours: Colours) -> None:
    cloth, size = s.at(s.aspect / 2, 0.5, 1, s.uniform(0, 1.5)), 1 / s.uniform(3, 5.5)
    for x, y in size * (np.indices((11, 11)).reshape(2, -1).T - 5):
        tones, way = s.body(s.pick(*colours)), s.pick(0, math.pi / 2)
        patch, square = cloth.at(x, y, size), _box(0.5, -0.5, 0.5)
        patch.fill(square, tones, 0.6, way, 0.45, reach=0.6)


def _cuttings(s: Scene, colours: Colours) -> None:
    for colour in s.rng.choice(colours, s.rng.integers(6, 14)):
        low, high = (0, 0, 0.1, 0, 0.2, -0.5), (s.aspect, 1, 0.4, 3, 0.8, 0.5)
        x, y, size, turn, narrow, slant = s.uniform(low, high)
        cut, shape = s.at(x, y, size, turn), _triangle(slant + 1, -1.5, narrow)
        cut.fill(shape, s.body(colour), 0.5, 0.0, 0.06 / size + 0.1)


def _gestures(s: Scene, colours: Colours) -> None:
    for colour in colours[: s.rng.integers(5, 10)]:
        count, width = s.rng.integers(6, 30), s.uniform(0.02, 0.15)
        turns = s.uniform(0, 6) + np.cumsum(s.rng.normal(0, 0.4, count))
        x, y = np.cumsum(1.1 * width * np.stack([np.cos(turns), np.sin(turns)]), 1)
        stroke = s.at(s.uniform(0, s.aspect), s.uniform(0, 1))
        stroke.dab(x, y, 2.2 * width, width, turns, colour)


GENRES = (landscape, still_life, portrait, abstract)

"""Scenes for invented paintings: what is seen, before a brush touches the canvas.

A sketch says for every place of a picture what colour is seen there, which way a brush
would go, and how much there is to look at. It is composed from a few forms and a
painter's palette: landscapes, still lifes, portraits and abstracts.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float
from PIL import Image


Plane = Float[np.ndarray, "h w"]
Planes = Float[np.ndarray, "3 h w"]
Colour = Float[np.ndarray, "3"]
Colours = Float[np.ndarray, "n 3"]
Real = float | int  # a checker of types at run time tells them apart
T = TypeVar("T")


def _colours(text: str) -> Colours:
    """Return hexadecimal colours as sRGB in [0, 1]."""
    pixels = [list(bytes.fromhex(colour)) for colour in text.split()]
    return np.array(pixels, np.float32) / 255


class Palette(NamedTuple):
    """Colours that a painter would set out together.

    Args:
        sky: from the zenith to the horizon.
        land: from shadow to light.
        accents: the few strong ones.
        lamp: the colour of the light and of highlights.
    """

    sky: Colours
    land: Colours
    accents: Colours
    lamp: Colour


def _palette(sky: str, land: str, accents: str, lamp: str) -> Palette:
    return Palette(_colours(sky), _colours(land), _colours(accents), _colours(lamp)[0])


PALETTES = {
    "morning": _palette(
        "7fa8c9 b9cfd6 f3e3c6", "2f4a45 6f8f5e cdc98a", "d9805f e8b04a 5f86b5 b3566b",
        "fff3d6",
    ),
    "noon": _palette(
        "2f6fb3 6ea6d6 d6e6ea", "254a2a 5c8f3a c9c75a", "d8402f f0b92e 2f64b0 f08a3c",
        "fffbe8",
    ),
    "autumn": _palette(
        "6f87a0 b9b8ae ecd9a8", "3b2a20 9a5a24 e0a63c", "b5301f e0731d f2c14e 44663f",
        "ffeec2",
    ),
    "sunset": _palette(
        "3f3f7d b5567c f7a35a", "241f3d 6b3a4f c9704f", "f25c3a ffc24f 8c3b7a 3a7a96",
        "ffe3a0",
    ),
    "storm": _palette(
        "2f3d4d 62727d b3b8b0", "1f2a2a 4a5947 97966a", "a3482f d1a85a 3a6a80 e3ddc8",
        "f1efe0",
    ),
    "moonlight": _palette(
        "121b3d 27457d 6f92ae", "0e1730 22405c 5a7f86", "f2d06b e8923f 3fa0a8 8a6fb0",
        "fdf0b8",
    ),
    "snow": _palette(
        "7d93b3 b7c4d6 f0e4dc", "51617f a9b9cf f2f2ee", "b3563f d69a4f 3f6a8c 5c4a6f",
        "fffaf0",
    ),
    "the south": _palette(
        "1f7fb8 5cb8d1 f6e3b0", "6b3f2a c27a3a f0cd7a", "e3482f f7b32b 1f8f8a f2e7d5",
        "fff6d0",
    ),
    "the studio": _palette(
        "1c1511 3f2f22 7a5c3d", "1f1610 5c4028 a8804f", "9c2f1f c9902f 5f6b3a e0cda8",
        "fff0cf",
    ),
    "the fair": _palette(
        "1f9aa8 f0a0b8 ffe066", "1f3f8f 2fa05c f2d13a", "e8275a ff7a1f 6f2fa0 00a896",
        "fffadf",
    ),
    "roses": _palette(
        "a89bc4 e0b3bf f9ddcb", "5f4a6b a87f8c e6c3a8", "d1495b edae49 6a8fb3 8fae7a",
        "fff2ea",
    ),
    "jade": _palette(
        "3f7f7a 8fbfa8 e6ebc9", "16403a 3f7d5c a9c47f", "e07a5f f2cc8f 2a6f97 b56576",
        "fbffe6",
    ),
}  # fmt: skip

SKINS = _colours("f6d9c2 ecc09c d9a27a b57d56 85563a")
HAIRS = _colours("1f1714 3b2618 6b4526 a8763a d9b56a 8c3a1f b8b0a8")
WHITE = np.ones(3, np.float32)
BLUSH = _colours("d94d40")[0]
LEAF = _colours("33663a")[0]


# The sketch


class Sketch:
    """A picture before it is painted, at the size in pixels it will have.

    Places and sizes are in picture heights, and angles go from right towards down, as
    those of strokes do.

    Args:
        rng: decides everything that is left open.
        palette: the colours to work with.
        h: height of the picture, in pixels.
        w: its width, in pixels.
    """

    def __init__(self, rng: np.random.Generator, palette: Palette, h: int, w: int):
        self.rng = rng
        self.h, self.w = h, w
        self.aspect = w / h
        self.y = ((np.arange(h, dtype=np.float32) + 0.5) / h)[:, None]
        self.x = ((np.arange(w, dtype=np.float32) + 0.5) / h)[None, :]
        self.sky, self.land, accents, self.lamp = palette
        self.accents = rng.permutation(accents)
        self.dusk = _mix(self.land[0], self.sky[0], 0.25)  # the colour of shadows
        self.side = self.pick(-1.0, 1.0)  # where the light is: at the left, the right
        self.colours = np.zeros((3, h, w), np.float32)
        self.way = np.zeros((h, w), np.float32)
        self.detail = np.full((h, w), 0.15, np.float32)

    def lay(
        self,
        mask: Plane,
        colour: Planes | Colour,
        way: Plane | float | None = None,
        detail: Plane | float | None = None,
    ) -> None:
        """Cover what `mask`, in [0, 1], selects; what is None stays as it was."""
        colour = colour if colour.ndim == 3 else colour[:, None, None]
        self.colours += mask * (colour - self.colours)
        if way is not None:
            np.copyto(self.way, way, casting="same_kind", where=mask > 0.5)
        if detail is not None:
            self.detail += mask * (detail - self.detail)

    def everywhere(self) -> Plane:
        """Return the mask of the whole picture."""
        return np.ones((self.h, self.w), np.float32)

    def inside(self, depth: Plane) -> Plane:
        """Return the mask of where `depth`, in picture heights, is above zero."""
        return np.clip(depth * 80 + 0.5, 0, 1)

    def around(
        self, x: Real, y: Real, size: Real
    ) -> tuple[Float[np.ndarray, "1 w"], Float[np.ndarray, "h 1"]]:
        """Return places relative to a point, in units of `size`."""
        return (self.x - x) / size, (self.y - y) / size

    def noise(self, cells: Real, octaves: int = 1, stretch: Real = 1) -> Plane:
        """Return smooth noise of mean 0.5 and deviation 0.2.

        Args:
            cells: bumps to a picture height.
            octaves: how many times finer noise of half the strength is added.
            stretch: width of the bumps, in their heights.
        """
        total = np.zeros((self.h, self.w), np.float32)
        for octave in range(octaves):
            rows = cells * 2**octave
            total += _bumps(self, rows, rows * self.aspect / stretch) / 2**octave
        return 0.5 + 0.2 * total / (2 - 0.5 ** (octaves - 1))

    def ridge(self, cells: Real) -> Float[np.ndarray, "1 w"]:
        """Return a wavy line across the picture, around 0, seldom more than 0.4 off."""
        return self.noise(cells, 3)[:1] - 0.5

    def uniform(self, low: Real, high: Real) -> float:
        """Return a number between the two."""
        return self.rng.uniform(low, high)

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.rng.random() < probability

    def pick(self, *options: T) -> T:
        """Return one of the options."""
        return options[self.rng.integers(len(options))]


def _bumps(s: Sketch, rows: Real, columns: Real) -> Plane:
    shape = math.ceil(rows) + 1, math.ceil(columns) + 1
    lattice = Image.fromarray(s.rng.standard_normal(shape, np.float32))
    # Half a cell off at random, or the lattice shows in every picture.
    left, top = s.rng.uniform(0, 1, 2)
    box = (left, top, left + shape[1] - 1, top + shape[0] - 1)
    return np.asarray(lattice.resize((s.w, s.h), Image.Resampling.BICUBIC, box))


def _mix(a: Any, b: Any, share: Any) -> Any:
    """Return what lies between two colours, or two arrays of them."""
    return a + share * (b - a)


def _ramp(colours: Colours, at: Plane) -> Planes:
    """Return the colour at each place of the way, in [0, 1], through `colours`."""
    at = np.clip(at, 0, 1) * (len(colours) - 1)
    total = np.repeat(colours[0], at.size).reshape(3, *at.shape)
    for k, (a, b) in enumerate(pairwise(colours)):
        total += np.clip(at - k, 0, 1) * (b - a)[:, None, None]
    return total


def _lit(s: Sketch, colour: Colour, light: Plane) -> Planes:
    """Return a colour in light that is 0 in the shadow, and 1 where it shines."""
    dark = _mix(colour * 0.4, s.dusk, 0.3)
    tones = [dark, colour * 0.8, colour, _mix(colour, s.lamp, 0.55)]
    return _ramp(np.stack(tones), light)


def _mottled(s: Sketch, colour: Colour, cells: Real) -> Planes:
    """Return a colour that is lighter in some places than in others."""
    return colour[:, None, None] + 0.3 * (s.noise(cells, 2) - 0.5)


# Landscapes


def landscape(s: Sketch) -> tuple[str, str]:
    """Compose a landscape or a marina; return genre and subject."""
    horizon = s.uniform(0.35, 0.68)
    sun = _sky(s, horizon)
    _hills(s, horizon)
    if s.chance(0.4):
        return _shore(s, horizon, sun)
    _field(s, horizon)
    houses = s.pick(0, 0, 1, 4)
    for _ in range(houses):
        _house(s, horizon + s.uniform(0.02, 0.12))
    for y in np.sort(s.rng.uniform(horizon, 0.95, s.rng.integers(1, 7))):
        _tree(s, float(y), horizon)
    if houses == 4:
        return "landscape", "Village"
    return "landscape", s.pick("Trees", "Fields", "A walk", "The valley")


def _shore(s: Sketch, horizon: float, sun: float) -> tuple[str, str]:
    _water(s, horizon, sun)
    ships = s.rng.integers(0, 4)
    for y in np.sort(s.rng.uniform(horizon + 0.04, 0.9, ships)):
        _ship(s, float(y), horizon)
    return "marina", "Boats" if ships else "Water"


def _sky(s: Sketch, horizon: float) -> float:
    """Lay the sky; return how far from the left edge the sun stands."""
    s.lay(s.everywhere(), _ramp(s.sky, s.y / horizon + 0 * s.x), way=0.0)
    sun = s.uniform(0.1, s.aspect - 0.1)
    away = np.hypot(*s.around(sun, s.uniform(0.15, 1.05) * horizon, 1.0))
    s.lay(0.75 * np.exp(-((away / 0.3) ** 2)), s.lamp)
    if s.chance(0.6):
        s.lay(s.inside(s.uniform(0.025, 0.06) - away), s.lamp, detail=0.7)
    clouds = s.noise(3, 4, stretch=s.uniform(1.2, 3))
    light = 0.5 + 5 * (clouds - np.roll(clouds, 6, 0))
    tones = np.stack([_mix(s.sky[0], s.sky[2], 0.35), _mix(s.sky[2], s.lamp, 0.7)])
    cover = np.clip((clouds - s.uniform(0.4, 0.62)) * 6, 0, 0.9)
    s.lay(cover, _ramp(tones, light), way=3 * s.noise(2) - 1.5, detail=0.3)
    return sun


def _hills(s: Sketch, horizon: float) -> None:
    haze = _mix(s.sky[0], s.sky[2], 0.4)[:, None, None]
    ranges = s.rng.integers(1, 5)
    for k in range(1, ranges + 1):
        near = k / ranges
        rise = (1.1 - near) * s.uniform(0.1, 0.5)
        top = horizon + 0.04 - rise * (s.ridge(s.uniform(1, 3)) + 0.4)
        slope = np.gradient(top, 1 / s.h, axis=1)
        light = s.noise(6, 2) + 0.6 * s.side * slope - 0.05
        colour = _mix(_ramp(s.land, light), haze, 0.85 - 0.6 * near)
        way = np.arctan(slope) + 0.3 * s.side + 0 * s.y
        s.lay(s.inside(s.y - top), colour, way, detail=0.35)


def _field(s: Sketch, horizon: float) -> None:
    near = np.clip((s.y - horizon) / (1 - horizon), 0, 1) + 0 * s.x
    light = 0.25 - 0.5 * near + 1.2 * s.noise(3, 3, stretch=4)
    patches = np.clip(5 * s.noise(2.5, 2, stretch=5) - 3.1, 0, 0.7)
    colour = _mix(_ramp(s.land, light), s.accents[0][:, None, None], patches)
    vanishing = s.uniform(0, s.aspect)
    furrows = np.arctan2(s.y - horizon + 0.05, s.x - vanishing)
    way = furrows if s.chance(0.5) else 1.5 * s.noise(2) - 0.75
    s.lay(s.inside(s.y - horizon + 0 * s.x), colour, way, 0.3 + 0.2 * near)
    if s.chance(0.5):
        bend = vanishing + 0.25 * np.sin(s.uniform(2, 6) * near) * near
        road = s.inside(0.01 + 0.16 * near**1.5 - np.abs(s.x - bend)) * (near > 0)
        s.lay(0.9 * road, _mix(s.land[2], s.lamp, 0.35), furrows)
    if s.chance(0.5):
        flowers = np.clip(12 * s.noise(22) - 8.4, 0, 1) * np.clip(3 * near - 0.4, 0, 1)
        s.lay(flowers, s.accents[1], detail=0.9)


def _water(s: Sketch, horizon: float, sun: float) -> None:
    near = np.clip((s.y - horizon) / (1 - horizon), 0, 1) + 0 * s.x
    mirrored = (np.clip(2 * horizon - s.y[:, 0], 0, 0.99) * s.h).astype(int)
    deep = _mix(s.sky[0], s.land[0], 0.5)[:, None, None]
    colour = _mix(s.colours[:, mirrored], deep, 0.25 + 0.35 * near)
    ripples = s.noise(14, 2, stretch=5)
    crests = np.clip(3 * ripples - 1.65, 0, 0.6)
    colour = _mix(colour, s.sky[2][:, None, None], crests)
    path = np.exp(-(((s.x - sun) / (0.05 + 0.15 * near)) ** 2))
    glitter = path * np.clip(5 * ripples - 2.1, 0, 0.9)
    colour = _mix(colour, s.lamp[:, None, None], glitter)
    s.lay(s.inside(near), colour, way=0.4 * ripples - 0.2, detail=0.4)


def _ship(s: Sketch, afloat: float, horizon: float) -> None:
    size = 0.05 + 0.35 * (afloat - horizon)
    x, y = s.around(s.uniform(0.1, s.aspect - 0.1), afloat, size)
    wake = 0.9 - np.abs(x) - 0.7 * np.abs(y - 0.9)
    s.lay(0.5 * s.inside(wake), _mix(s.accents[0], s.land[0], 0.5), way=0.0)
    sail = np.minimum(-0.15 - y, 0.45 * (y + 2.2) - np.abs(x - 0.1))
    canvas = _mix(s.accents[0], s.lamp, s.pick(0.1, 0.8))
    s.lay(s.inside(sail * size), canvas, way=1.4, detail=0.9)
    hull = np.minimum(0.25 - np.abs(y), 1 - 0.5 * y - np.abs(x))
    s.lay(s.inside(hull * size), _mix(s.land[0], s.accents[1], 0.5), 0.0, 0.9)


def _tree(s: Sketch, foot: float, horizon: float) -> None:
    size = (0.08 + 0.5 * (foot - horizon)) * s.uniform(0.7, 1.4)
    x, y = s.around(s.uniform(-0.05, s.aspect + 0.05), foot, size)
    girth = s.pick(0.45, 0.9, 1.1)
    shadow = 1 - np.hypot((x + 0.7 * s.side) / 1.3, (y - 0.05) / 0.18)
    s.lay(0.6 * s.inside(0.1 * shadow), s.dusk, way=0.0)
    stem = 0.07 + 0.04 * y - np.abs(x - 0.06 * np.sin(3 * y))
    stem = np.minimum(stem, np.minimum(-y, y + 1.6))
    s.lay(s.inside(stem * size), _mix(s.land[0], s.accents[0], 0.2), 1.5, 0.8)
    leaves = s.noise(min(2.2 / size, 24), 2)
    crown = 0.4 - np.hypot(x / girth, (y + 1.55) / 1.15) + 1.2 * leaves
    light = 1.8 * leaves - 1 + 0.45 * s.side * x / girth - 0.3 * y
    foliage = _mix(s.land, s.accents[2], s.pick(0.0, 0.0, 0.35, 0.7))
    way = np.arctan2(y + 1.5, x) + 6 * leaves
    s.lay(s.inside(0.5 * crown * size), _ramp(foliage, light), way, 0.8)


def _house(s: Sketch, foot: float) -> None:
    size = s.uniform(0.06, 0.13)
    x, y = s.around(s.uniform(0.1, s.aspect - 0.1), foot, size)
    wall = np.minimum(1 - np.abs(x), np.minimum(-y, y + 0.9))
    bright = _mix(s.land[2], s.lamp, 0.7)
    s.lay(s.inside(wall * size), bright, way=1.5, detail=0.9)
    dark = np.minimum(wall, -0.2 - s.side * x)
    s.lay(s.inside(dark * size), _mix(bright, s.sky[0], 0.55))
    roof = np.minimum(1.87 + 0.8 * y - np.abs(x), np.minimum(-y - 0.85, y + 1.6))
    s.lay(s.inside(roof * size), _mix(s.accents[0], s.land[1], 0.3), 0.1, 0.9)
    window = np.minimum(0.15 - np.abs(np.abs(x) - 0.5), 0.18 - np.abs(y + 0.5))
    s.lay(s.inside(window * size), s.land[0], way=1.5, detail=1.0)


# Still lifes


def still_life(s: Sketch) -> tuple[str, str]:
    """Compose fruit or flowers on a table; return genre and subject."""
    edge = s.uniform(0.45, 0.7)
    _room(s, edge)
    bouquet = s.chance(0.45)
    if bouquet:
        _vase(s, edge + 0.18, tall=s.uniform(0.25, 0.4), flowers=True)
    elif s.chance(0.7):
        _vase(s, edge + 0.08, tall=s.uniform(0.35, 0.55), flowers=False)
    fruits = s.rng.integers(0, 4) if bouquet else s.rng.integers(3, 9)
    for y in np.sort(s.rng.uniform(edge + 0.05, 0.92, fruits)):
        _fruit(s, float(y))
    if bouquet:
        return "flower painting", "Flowers"
    return "still life", s.pick("Fruit", "The table", "A corner of the kitchen")


def _room(s: Sketch, edge: float) -> None:
    wall = s.pick(s.land[:2], s.sky[1:], s.sky[:2])
    light = s.side * (s.x / s.aspect - 0.5) - 0.3 * s.y + 0.9 * s.noise(2, 2)
    way = 0.9 * s.side + 2 * s.noise(2) - 1
    s.lay(s.everywhere(), _ramp(wall, light + 0.05), way)
    cloth = _mix(s.accents[0], s.lamp, s.pick(0.15, 0.4, 0.85))
    folds = s.noise(2.5, 2, stretch=0.5)
    light = 1.2 * folds + 0.3 * s.side * (s.x - s.aspect / 2)
    top = s.y - edge - 0.06 * s.ridge(1)
    s.lay(s.inside(top), _lit(s, cloth, light), 1.2 * folds - 0.6, 0.3)


def _shadow(s: Sketch, left: float, foot: float, size: float) -> None:
    """Lay the shadow that a thing of half-width `size` casts on a table."""
    x, y = s.around(left - 0.7 * s.side * size, foot, size)
    shape = 1 - np.hypot(x / 1.4, y / 0.4)
    s.lay(np.clip(3 * shape, 0, 0.7), s.dusk, way=0.1)


def _fruit(s: Sketch, foot: float) -> None:
    size, centre = s.uniform(0.07, 0.13), s.uniform(0.1, s.aspect - 0.1)
    _shadow(s, centre, foot - 0.2 * size, size)
    x, y = s.around(centre, foot - size, size)
    y = y / s.uniform(0.85, 1.1)
    away = np.hypot(x, y)
    bulge = np.sqrt(np.clip(1 - away**2, 0, 1))
    light = 0.08 + 0.47 * s.side * x - 0.42 * y + 0.55 * bulge
    colour = s.pick(*s.accents) + s.rng.normal(0, 0.05, 3).astype(np.float32)
    skin = _lit(s, np.clip(colour, 0, 1), light)
    s.lay(s.inside((1 - away) * size), skin, np.arctan2(y, x) + math.pi / 2, 0.75)
    bounce = np.clip(-light, 0, 0.4) * (away < 1)
    s.lay(bounce, s.accents[0])
    shine = 0.22 - np.hypot(x - 0.38 * s.side, y + 0.4)
    s.lay(np.clip(8 * shine, 0, 1), s.lamp, detail=1.0)


def _vase(s: Sketch, foot: float, tall: float, flowers: bool) -> None:
    centre = s.aspect * s.uniform(0.3, 0.7)
    up = (foot - s.y) / tall
    belly = np.sin(3.3 * np.clip(up, 0, 1) + s.uniform(-0.2, 0.7)) ** 2
    girth = tall * s.uniform(0.22, 0.4) * (0.55 + 0.5 * belly)
    _shadow(s, centre, foot, float(girth.max()))
    x = (s.x - centre) / girth
    body = np.minimum((1 - np.abs(x)) * girth, np.minimum(up, 1 - up) * tall)
    glaze = _mix(s.accents[3], s.sky[1], s.pick(0.0, 0.6))
    light = 0.55 + 0.4 * s.side * x - 0.35 * x**2
    s.lay(s.inside(body), _lit(s, glaze, light), 1.57 - 0.6 * x, 0.7)
    shine = np.minimum(0.05 - np.abs(x - 0.45 * s.side), 0.2 - np.abs(up - 0.6))
    s.lay(s.inside(0.3 * shine), s.lamp, 1.57, 1.0)
    if flowers:
        _bouquet(s, centre, foot - tall)


def _bouquet(s: Sketch, x: float, y: float) -> None:
    spread = s.uniform(0.2, 0.3)
    y -= 0.8 * spread
    leaves = s.noise(9, 2)
    shape = 1.1 * spread + 0.25 * leaves - 0.125
    away = np.hypot((s.x - x) / 1.2, s.y - y)
    green = _ramp(_mix(s.land, LEAF, 0.4), 1.2 * leaves - 0.1)
    s.lay(s.inside(shape - away), green, 9 * leaves, 0.5)
    for _ in range(s.rng.integers(7, 16)):
        turn, reach = s.uniform(0, 2 * math.pi), spread * math.sqrt(s.uniform(0, 1))
        right, down = 1.3 * reach * math.cos(turn), reach * math.sin(turn)
        _flower(s, x + right, y + down, s.uniform(0.045, 0.09))


def _flower(s: Sketch, left: float, top: float, size: float) -> None:
    x, y = s.around(left, top, size)
    y = y / s.uniform(0.7, 1)
    turn, away = np.arctan2(y, x), np.hypot(x, y)
    petals = s.rng.integers(4, 8) * turn + s.uniform(0, 6)
    colour = _mix(s.pick(*s.accents), s.lamp, s.pick(0.0, 0.15, 0.5, 0.9))
    light = 0.5 + 0.25 * s.side * x - 0.3 * y + 0.3 * away
    way = turn + s.pick(0.0, math.pi / 2)
    shape = 0.85 + 0.25 * np.cos(petals) - away
    s.lay(s.inside(shape * size), _lit(s, colour, light), way, 0.9)
    heart = _mix(s.accents[3], s.land[0], 0.2)
    s.lay(s.inside((0.25 - away) * size), heart, detail=1.0)


# Portraits


class Sitter(NamedTuple):
    """Where the head is, its half-width, how far it is turned, and its colours."""

    x: float
    y: float
    size: float
    turned: float
    skin: Colour
    hair: Colour


def portrait(s: Sketch) -> tuple[str, str]:
    """Compose a head and shoulders; return genre and subject."""
    sitter = Sitter(
        x=s.aspect * s.uniform(0.42, 0.58),
        y=s.uniform(0.36, 0.46),
        size=s.uniform(0.18, 0.26),
        turned=s.uniform(-0.35, 0.35),
        skin=s.pick(*SKINS),
        hair=s.pick(*HAIRS),
    )
    wall = s.pick(s.land[:2], s.land, s.sky)
    # Lighter behind the shadow side of the face.
    light = s.noise(2.5, 3) - 0.7 * s.side * (s.x / s.aspect - 0.5)
    s.lay(s.everywhere(), _ramp(wall, light), 4 * s.noise(2) - 2 + s.side)
    long = s.chance(0.5)
    _fall_of_hair(s, sitter, long)
    _bust(s, sitter)
    _head(s, sitter)
    for side in (-1, 1):
        _eye(s, sitter, side)
    _nose_and_mouth(s, sitter)
    _cap_of_hair(s, sitter)
    return "portrait", s.pick("Head of a sitter", "Half-length", "A friend")


def _fall_of_hair(s: Sketch, sitter: Sitter, long: bool) -> None:
    x, y = s.around(*sitter[:3])
    below = 2.1 if long else 1.3
    shape = 1 - np.hypot(x / 1.02, np.where(y > 0, y / below, y / 1.3))
    light = 0.3 + 0.5 * (s.noise(8) - 0.5) + 0.2 * s.side * x
    s.lay(
        s.inside(shape * sitter.size),
        _lit(s, sitter.hair, light),
        math.pi / 2 - 0.5 * x + 0 * y,
        0.5,
    )


def _bust(s: Sketch, sitter: Sitter) -> None:
    x, y = s.around(*sitter[:3])
    neck = np.minimum(0.46 - np.abs(x), np.minimum(y - 0.3, 2.3 - y))
    light = 0.3 + 0.3 * s.side * x - 0.25 * np.exp(-(((y - 1) / 0.3) ** 2))
    s.lay(s.inside(neck * sitter.size), _lit(s, sitter.skin, light), 1.4, 0.5)
    folds = s.noise(4, 2, stretch=0.6)
    open_collar = s.uniform(0, 0.5) * np.exp(-((x / 0.4) ** 2))
    slope = y - 1.35 - 0.28 * x**2 - open_collar
    cloth = _mix(s.accents[0], s.land[0], s.pick(0.0, 0.3, 0.7))
    light = 0.22 * s.side * x + 1.3 * folds - 0.2
    way = np.arctan2(y, x) + folds - 0.5
    s.lay(s.inside(slope * sitter.size), _lit(s, cloth, light), way, 0.4)
    if s.chance(0.5):
        collar = np.minimum(0.1 - np.abs(y - 1.4 - 0.5 * x**2), 0.75 - np.abs(x))
        colour = _mix(s.lamp, s.accents[1], s.pick(0.1, 0.8))
        s.lay(s.inside(collar * sitter.size), colour, 0.6 * x + 0 * y, 0.8)


def _head(s: Sketch, sitter: Sitter) -> None:
    x, y = s.around(*sitter[:3])
    jaw = 0.8 - 0.17 * np.clip(y, 0, 2) ** 1.5
    away = np.hypot(x / jaw, y / 1.12)
    # A plane that turns away from the light, with the shadow's edge on one cheek.
    facing = s.side * (x + 0.45 * s.side) + 0.3 * s.side * sitter.turned
    light = 0.28 + 0.5 * np.tanh(1.6 * facing + 0.4) - 0.1 * y
    light = light + 0.12 * np.sqrt(np.clip(1 - away**2, 0, 1))
    colour = _lit(s, sitter.skin, light)
    for side in (-1, 1):
        cheek = np.hypot((x - sitter.turned - 0.42 * side) / 0.25, (y - 0.3) / 0.2)
        colour = _mix(colour, BLUSH[:, None, None], 0.22 * np.exp(-(cheek**2)))
    way = np.arctan2(y / 1.3, x) + math.pi / 2
    s.lay(s.inside((1 - away) * sitter.size), colour, way, 0.8)


def _smudge(s: Sketch, x: Plane, y: Plane, colour: Colour, share: float) -> None:
    """Lay a soft mark where `x` and `y` are near 0, within 1."""
    s.lay(share * np.exp(-(x**2) - y**2), colour, way=0.0, detail=1.0)


def _eye(s: Sketch, sitter: Sitter, side: int) -> None:
    x, y = s.around(*sitter[:3])
    # The far eye of a turned head is narrower.
    x = (x - sitter.turned - 0.34 * side) / (1 - 0.3 * sitter.turned * side) + 0 * y
    y = y + 0.08 + 0 * x
    shade = _mix(sitter.skin * 0.4, s.dusk, 0.3)
    _smudge(s, x / 0.25, (y + 0.05) / 0.15, shade, 0.55)
    white = 1 - np.hypot(x / 0.17, y / 0.08)
    s.lay(np.clip(3 * white, 0, 0.8), _mix(sitter.skin, WHITE, 0.6), detail=1.0)
    s.lay(np.clip(12 * (0.09 - np.hypot(x, y)), 0, 1), s.dusk * 0.4, detail=1.0)
    _smudge(s, x / 0.2, (y + 0.09) / 0.035, shade * 0.4, 0.9)
    _smudge(s, x / 0.24, (y + 0.22 - 0.6 * x**2) / 0.05, sitter.hair * 0.6, 0.9)


def _nose_and_mouth(s: Sketch, sitter: Sitter) -> None:
    x, y = s.around(*sitter[:3])
    x, y = x - sitter.turned + 0 * y, y + 0 * x
    shade = _mix(sitter.skin * 0.5, s.accents[0] * 0.5, 0.3)
    bright = _mix(sitter.skin, s.lamp, 0.7)
    _smudge(s, (x + 0.1 * s.side) / 0.07, (y - 0.15) / 0.25, shade, 0.6)
    _smudge(s, (x - 0.02 * s.side) / 0.05, (y - 0.15) / 0.25, bright, 0.7)
    _smudge(s, x / 0.16, (y - 0.39) / 0.05, shade * 0.8, 0.8)
    _smudge(s, x / 0.23, (y - 0.63) / 0.09, _mix(BLUSH * 0.8, sitter.skin, 0.2), 0.95)
    _smudge(s, x / 0.25, (y - 0.62) / 0.025, shade * 0.5, 0.8)
    _smudge(s, x / 0.18, (y - 0.8) / 0.05, shade, 0.4)


def _cap_of_hair(s: Sketch, sitter: Sitter) -> None:
    x, y = s.around(*sitter[:3])
    parting = 0.3 * s.uniform(-1, 1) * x
    brow = -0.5 + 0.5 * (x - 0.4 * sitter.turned) ** 2 + parting
    sides = 2 * (np.abs(x) - 0.74)
    cap = 1 - np.hypot(x / 0.92, (y + 0.15) / 1.12)
    shape = np.minimum(cap, np.maximum(brow - y, sides))
    light = 0.3 * s.side * x + 1.2 * s.noise(7, 2) - 0.2 * y - 0.35
    way = np.arctan2(y + 0.3, x) + math.pi / 2
    s.lay(s.inside(shape * sitter.size), _lit(s, sitter.hair, light), way, 0.6)


# Abstracts


def abstract(s: Sketch) -> tuple[str, str]:
    """Compose forms that are nothing else; return genre and subject."""
    kinds = (_fields, _rings, _patchwork, _currents, _cuttings)
    return "abstract", s.pick(*kinds)(s)


def _all_colours(s: Sketch) -> Colours:
    """Return the palette's colours in random order, strong ones first and often."""
    strong, rest = s.rng.permutation(s.accents), np.concatenate([s.sky, s.land])
    mixed = s.rng.permutation(np.concatenate([rest, s.accents, s.lamp[None]]))
    return np.concatenate([strong[:2], mixed])


def _fields(s: Sketch) -> str:
    colours = s.rng.permutation(_all_colours(s))
    s.lay(s.everywhere(), _mottled(s, colours[0], 3), way=0.1)
    cuts = np.sort(s.rng.uniform(0.15, 0.85, s.rng.integers(1, 4))).tolist()
    for colour, (top, foot) in zip(
        colours[1:], pairwise([0.03, *cuts, 0.97]), strict=False
    ):
        ragged = 0.03 * s.ridge(4)
        upright = np.minimum(s.y - top - 0.02, foot - 0.02 - s.y) + ragged
        across = np.minimum(s.x - 0.07, s.aspect - 0.07 - s.x) + ragged
        mask = np.clip(30 * np.minimum(upright, across) + 0.5, 0, 0.92)
        s.lay(mask, _mottled(s, colour, 5), way=0.05, detail=0.25)
    return "Fields"


def _rings(s: Sketch) -> str:
    colours = _all_colours(s)
    s.lay(s.everywhere(), _ramp(colours[:3], s.noise(1.5, 2)), 5 * s.noise(1.5))
    for _ in range(s.rng.integers(3, 9)):
        size = s.uniform(0.08, 0.42)
        x, y = s.around(s.uniform(0, s.aspect), s.uniform(0, 1), size)
        turn, away = np.arctan2(y, x), np.hypot(x, y)
        for k in range(s.rng.integers(1, 5)):
            halves = 0.85 + 0.15 * np.sign(np.sin(turn + 40 * size))
            colour = s.pick(*colours)[:, None, None] * halves
            shape = (1 - 0.24 * k - away) * size
            s.lay(s.inside(shape), colour, turn + math.pi / 2, 0.5)
    for _ in range(s.rng.integers(0, 7)):
        _, off, turn = _turned(s)
        bar = s.uniform(0.004, 0.03) - np.abs(off)
        s.lay(s.inside(bar), s.pick(*colours) * 0.6, turn, 0.8)
    return "Rings"


def _turned(s: Sketch) -> tuple[Plane, Plane, float]:
    """Return places along and across a random direction through a random point."""
    turn = s.uniform(0, math.pi)
    x, y = s.around(s.uniform(0, s.aspect), s.uniform(0, 1), 1.0)
    cos, sin = math.cos(turn), math.sin(turn)
    return x * cos + y * sin, y * cos - x * sin, turn


def _patchwork(s: Sketch) -> str:
    colours = _all_colours(s)
    bend = s.uniform(0, 0.5) * s.noise(2)
    along, across, turn = _turned(s)
    cells = s.uniform(3, 7)
    # Within reach of a corner of the widest picture.
    at = tuple(((p + bend + 4) * cells).astype(int) for p in (along, across))
    sewn = colours[s.rng.integers(0, len(colours), (60, 60))[at]].transpose(2, 0, 1)
    way = turn + s.rng.integers(0, 2, (60, 60))[at] * np.float32(math.pi / 2)
    s.lay(s.everywhere(), sewn + 0.25 * (s.noise(8, 2) - 0.5), way, 0.45)
    return "Patchwork"


def _currents(s: Sketch) -> str:
    colours = _all_colours(s)
    field = s.noise(s.uniform(1, 2.2), 2)
    down, right = np.gradient(field)
    bands = ((field + 2) * s.uniform(6, 14)).astype(int) % len(colours)
    flow = colours[bands].transpose(2, 0, 1) + 0.3 * (s.noise(9) - 0.5)
    s.lay(s.everywhere(), flow, np.arctan2(down, right) + math.pi / 2, 0.45)
    return "Currents"


def _cuttings(s: Sketch) -> str:
    colours = _all_colours(s)
    s.lay(s.everywhere(), _mottled(s, s.pick(*colours), 3), way=0.6)
    for _ in range(s.rng.integers(6, 16)):
        along, across, turn = _turned(s)
        size = s.uniform(0.1, 0.4)
        ends = size - np.abs(along) + s.uniform(-0.3, 0.3) * across
        shape = np.minimum(ends, size * s.uniform(0.2, 0.8) - np.abs(across))
        s.lay(s.inside(shape), _mottled(s, s.pick(*colours), 4), turn, 0.45)
    return "Cuttings"


GENRES: tuple[Callable[[Sketch], tuple[str, str]], ...] = (
    landscape,
    still_life,
    portrait,
    abstract,
)

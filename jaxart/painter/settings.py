"""How to paint: everything that a user chooses, and what it may be."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

from jaxart import vgg
from jaxart.painter.brushes import BRUSHES
from jaxart.painter.pigments import PIGMENTS
from jaxart.painter.slopes import Slope


DISTANCES = ("mse", "vgg", "essay")

# The least that a setting may be.
LEAST = {
    "strokes": 1,
    "seed": 0,
    "steps": 1,
    "refine": 0,
    "refine_half": 0,
    "refine_whole": 0,
    "prune": 0,
    "psnr": 0,
    "seconds": 0,
}


@dataclass(frozen=True)
class Settings:
    """How to paint.

    Args:
        strokes: how many.
        seed: of all that is random.
        brush: name of one of `brushes.BRUSHES`.
        pigment: name of one of `pigments.PIGMENTS`.
        ground: colour of the empty canvas, sRGB in [0, 1].
        distance: "mse"; "vgg"; or "essay", the author's own recipe with VGG16.
        emphasis: count errors that stand out more; see `distances.SquaredError`.
        layers: of VGG16, whose features "vgg" compares in rounds, on a picture of half
            the size.
        refine_layers: the same, in the joint descent.
        shares: how much each of these layers counts beside the squared error: in
            rounds, and at half and at whole size in the joint descent.
        vgg_weights: file of VGG16's weights; "" for those that are installed.
        slope: how a stroke finds its way: "finite_differences", "autodiff" or
            "monte_carlo".
        steps: moves of a stroke, in its round.
        refine: steps of the joint descent in squared error.
        refine_half: steps after those, if VGG16 is to judge; it sees half the size.
        refine_whole: steps after those, in which it sees the whole size as well.
        prune: share of the strokes that are dropped half-way through the first of
            these descents, those that show least, and painted anew.
        psnr: where to stop painting, in decibels; 0 for no such end.
        seconds: when to stop painting; 0 for no such end.

    Raises:
        ValueError: a value is out of range.
    """

    strokes: int
    seed: int
    brush: str
    pigment: str
    ground: tuple[float, ...]
    distance: str
    emphasis: bool
    layers: tuple[str, ...]
    refine_layers: tuple[str, ...]
    shares: tuple[float, ...]
    vgg_weights: str
    slope: str
    steps: int
    refine: int
    refine_half: int
    refine_whole: int
    prune: float
    psnr: float
    seconds: float

    def __post_init__(self):
        # A config's lists, and a file's, are tuples here.
        for name in ("ground", "layers", "refine_layers", "shares"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_choice("brush", self.brush, BRUSHES)
        _check_choice("pigment", self.pigment, PIGMENTS)
        _check_choice("distance", self.distance, DISTANCES)
        _check_choice("slope", self.slope, get_args(Slope))
        for name, least in LEAST.items():
            value = getattr(self, name)
            if not least <= value < math.inf:
                raise ValueError(f"{name} must be at least {least}; got {value}")
        if self.prune >= 1:
            raise ValueError(f"prune must be below 1; got {self.prune}")
        if len(self.ground) != 3 or not all(0 <= part <= 1 for part in self.ground):
            raise ValueError(f"ground must be 3 numbers in [0, 1]; got {self.ground}")
        if len(self.shares) != 3 or not all(
            0 <= part < math.inf for part in self.shares
        ):
            raise ValueError(f"shares must be 3 numbers from 0 on; got {self.shares}")
        for layer in (*self.layers, *self.refine_layers):
            vgg.receptive_field(layer)


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")

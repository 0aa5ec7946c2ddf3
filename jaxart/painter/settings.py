"""Settings of a painting: everything that a user chooses, and the allowed values."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import get_args

from jaxart import vgg
from jaxart.painter.brushes import BRUSHES
from jaxart.painter.gradients import Method
from jaxart.painter.medium import Medium
from jaxart.painter.pigments import PIGMENTS


DISTANCES = ("mse", "vgg", "essay")

MINIMA = {
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
        seed: of everything random.
        brush: name of one of `brushes.BRUSHES`.
        pigment: name of one of `pigments.PIGMENTS`.
        ground: colour of the empty canvas, sRGB in [0, 1].
        distance: "mse"; "vgg"; or "essay", the author's own recipe with VGG16.
        emphasis: count errors that stand out more; see `distances.SquaredError`.
        layers: of VGG16, whose features "vgg" compares in rounds, on a picture of half
            the size.
        refine_layers: the same, in the joint refinement.
        shares: weight of each of these layers beside the squared error: in rounds, and
            at half and at whole size in the joint refinement.
        vgg_weights: file of VGG16's weights; "" for those that are installed.
        slope: how the loss of a stroke is minimised: "finite_differences", "autodiff"
            or "monte_carlo".
        steps: of that minimisation.
        refine: steps of the joint refinement in squared error.
        refine_half: steps after those, by VGG16's features at half the size.
        refine_whole: steps after those, by features at half and at whole size.
        prune: share of the strokes that is dropped half-way through the first
            refinement, those that are least visible, and painted anew.
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

    @property
    def medium(self) -> Medium:
        """The brush and the pigment."""
        return Medium(BRUSHES[self.brush], PIGMENTS[self.pigment])

    def __post_init__(self):
        # A config's lists, and a file's, are tuples here.
        for name in ("ground", "layers", "refine_layers", "shares"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_choice("brush", self.brush, BRUSHES)
        _check_choice("pigment", self.pigment, PIGMENTS)
        _check_choice("distance", self.distance, DISTANCES)
        _check_choice("slope", self.slope, get_args(Method))
        for name, least in MINIMA.items():
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


def check_keys(keys: Iterable[str]) -> None:
    """Check that a config or a file has each setting and nothing else.

    Raises:
        ValueError: a setting is missing or unknown.
    """
    known = {field.name for field in fields(Settings)}
    if differing := known ^ set(keys):
        names = repr(", ".join(sorted(differing)))[1:-1]  # on one line
        names = names if len(names) <= 80 else f"{names[:77]}..."
        raise ValueError(
            f"must have the painter's settings; missing or unknown: {names}"
        )


def _check_choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {value!r}")

"""Settings of a painting: everything that a user chooses, and the allowed values."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Annotated, Literal

from jaxart import vgg
from jaxart.drawing import brushes
from jaxart.drawing.medium import Medium
from jaxart.drawing.pigments import PIGMENTS
from jaxart.validation import (
    MAX_COUNT,
    FilePath,
    OneOf,
    Range,
    Seed,
    Validated,
    expand_home,
    short,
)


MAX_STROKES = 300_000  # of a painting
MAX_STEPS = 10_000  # of a stroke
ARTIST = "artist"

# How a stroke is found: by minimising its loss from a random start, by asking the
# artist, or by both.
Slope = Literal[
    "finite_differences",
    "autodiff",
    "monte_carlo",
    "artist",
    "artist+autodiff",
    "artist+finite_differences",
]

Level = Annotated[float, Range(0, 1)]
NotNegative = Annotated[float, Range(0)]
Steps = Annotated[int, Range(0, MAX_COUNT)]


def _brush(name: str, value: str) -> str:
    """Return a brush: its name, or the path of a picture that can be read."""
    del name
    brushes.find(value)
    return value


def _few(name: str, layers: tuple[str, ...]) -> tuple[str, ...]:
    """Return layers that are not more than VGG16 has."""
    if len(layers) > len(vgg.LAYERS):
        raise ValueError(f"{name} must be layers of VGG16; got {len(layers)} of them")
    return layers


def _layer(name: str, layer: str) -> str:
    """Return the name of a layer of VGG16 that exists."""
    del name
    vgg.receptive_field(layer)
    return layer


Layers = Annotated[tuple[Annotated[str, _layer], ...], _few]


@dataclass(frozen=True)
class Settings(Validated):
    """How to paint.

    Args:
        strokes: how many.
        seed: of everything random.
        brush: name of one of `brushes.BRUSHES`, or the path of a picture.
        pigment: name of one of `pigments.PIGMENTS`.
        ground: colour of the empty canvas, sRGB in [0, 1].
        distance: "mse"; "vgg", where strokes are placed by squared error and refined
            by VGG16's features; "vgg_rounds", where each is placed by them as well; or
            "essay", the author's own recipe with VGG16.
        emphasis: count errors that stand out more; see `distances.SquaredError`.
        layers: of VGG16, whose features "vgg_rounds" compares in rounds, on a picture
            of half the size.
        refine_layers: the same, in the joint refinement.
        shares: weight of each of these layers beside the squared error: in rounds, and
            at half and at whole size in the joint refinement.
        vgg_weights: file of VGG16's weights; "" for those that are installed.
        slope: how the loss of a stroke is minimised: "finite_differences", "autodiff"
            or "monte_carlo"; "artist" for the strokes that the artist chooses, and
            "artist+autodiff" or "artist+finite_differences" to begin with them.
        steps: of that minimisation; the artist alone takes none.
        artist: file of the artist; "" for the one that comes with jaxart.
        refine: steps of the joint refinement in squared error.
        refine_half: steps after those, by VGG16's features at half the size.
        refine_whole: steps after those, by features at half and at whole size.
        prune: share of the strokes that is dropped after 30 steps of that refinement,
            those without which the error is lowest, and painted anew; and again after
            each 30 more steps but those of the last quarter, a share that falls evenly
            towards 0 at the end.
        psnr: where to stop painting, in decibels; 0 for no such end.
        seconds: when to stop painting; 0 for no such end.

    Raises:
        ValueError: a value is out of range.
    """

    strokes: Annotated[int, Range(1, MAX_STROKES)]
    seed: Seed
    brush: Annotated[str, expand_home, _brush]
    pigment: Annotated[str, OneOf(tuple(PIGMENTS))]
    ground: tuple[Level, Level, Level]
    distance: Literal["mse", "vgg", "vgg_rounds", "essay"]
    emphasis: bool
    layers: Layers
    refine_layers: Layers
    shares: tuple[NotNegative, NotNegative, NotNegative]
    vgg_weights: FilePath
    slope: Slope
    steps: Annotated[int, Range(1, MAX_STEPS)]
    artist: FilePath
    refine: Steps
    refine_half: Steps
    refine_whole: Steps
    prune: Annotated[float, Range(0, below=1)]
    psnr: NotNegative
    seconds: NotNegative

    @property
    def has_artist(self) -> bool:
        """Whether strokes are proposed by the artist."""
        return self.slope.startswith(ARTIST)

    @property
    def medium(self) -> Medium:
        """The brush and the pigment."""
        return Medium(brushes.find(self.brush), PIGMENTS[self.pigment])


def check_keys(keys: Iterable[str]) -> None:
    """Check that a config or a file has each setting and nothing else.

    Raises:
        ValueError: a setting is missing or unknown.
    """
    known = {field.name for field in fields(Settings)}
    if differing := known ^ set(keys):
        names = short(", ".join(sorted(differing))).strip("'")
        raise ValueError(
            f"must have the painter's settings; missing or unknown: {names}"
        )

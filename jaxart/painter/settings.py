"""Settings of a painting: everything that a user chooses, and the allowed values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

import numpy as np

from jaxart import vgg
from jaxart.painter import brushes
from jaxart.painter.gradients import Method
from jaxart.painter.medium import Medium
from jaxart.painter.pigments import PIGMENTS


DISTANCES = ("mse", "vgg", "essay")

MAX_STROKES = 300_000  # of a painting

# Type, smallest and largest value of each number.
NUMBERS = {
    "strokes": (int, 1, MAX_STROKES),
    "seed": (int, 0, 2**32 - 1),
    "steps": (int, 1, 10_000),
    "refine": (int, 0, 1_000_000),
    "refine_half": (int, 0, 1_000_000),
    "refine_whole": (int, 0, 1_000_000),
    "prune": (float, 0.0, 1.0),
    "psnr": (float, 0.0, 1e3),
    "seconds": (float, 0.0, 1e9),
}


@dataclass(frozen=True)
class Settings:
    """How to paint.

    Args:
        strokes: how many.
        seed: of everything random.
        brush: name of one of `brushes.BRUSHES`, or the path of a picture.
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
        return Medium(brushes.find(self.brush), PIGMENTS[self.pigment])

    def __post_init__(self):
        for name, value in _checked(vars(self)).items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Settings":
        """Return the settings of a config, or of a file, whose types may be wrong.

        Raises:
            ValueError: as above, or a value is of a wrong type.
        """
        return cls(**_checked(config))


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


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in the types of their fields, if they are in range.

    Lists become tuples, and whole numbers may stand for floats.
    """
    for name in ("brush", "vgg_weights"):
        if not isinstance(value := values[name], str):
            raise ValueError(f"{name} must be text; got {short(value)}")
    brushes.find(values["brush"])
    _check_choice("pigment", values["pigment"], PIGMENTS)
    _check_choice("distance", values["distance"], DISTANCES)
    _check_choice("slope", values["slope"], get_args(Method))
    if not isinstance(value := values["emphasis"], bool):
        raise ValueError(f"emphasis must be true or false; got {short(value)}")
    numbers = {name: _number(name, values[name], *NUMBERS[name]) for name in NUMBERS}
    if numbers["prune"] == 1:
        raise ValueError("prune must be below 1; got 1")
    return {
        **values,
        **numbers,
        "ground": _three_floats("ground", values["ground"], 1.0),
        "shares": _three_floats("shares", values["shares"], 1e9),
        "layers": _layers("layers", values["layers"]),
        "refine_layers": _layers("refine_layers", values["refine_layers"]),
    }


def short(value: Any) -> str:
    """Return a value in a form that fits into a line."""
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits
        text = type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."


def _check_choice(name: str, value: Any, choices: Iterable[str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{name} must be one of {', '.join(choices)}; got {short(value)}"
        )


def _number(
    name: str, value: Any, kind: type, low: float | int, high: float | int
) -> Any:
    """Return a number as `kind`, int or float, if it is in range."""
    kinds = (int, np.integer) if kind is int else (int, float, np.number)
    if isinstance(value, bool) or not isinstance(value, kinds):
        which = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} must be {which}; got {short(value)}")
    if not low <= value <= high:
        limit = f"least {low:g}" if value < low else f"most {high:,}"
        raise ValueError(f"{name} must be at {limit}; got {short(value)}")
    return kind(value)


def _three_floats(name: str, values: Any, high: float) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or len(values) != 3:
        raise ValueError(f"{name} must be 3 numbers; got {short(values)}")
    return tuple(_number(name, value, float, 0.0, high) for value in values)


def _layers(name: str, values: Any) -> tuple[str, ...]:
    if not isinstance(values, list | tuple) or len(values) > len(vgg.LAYERS):
        raise ValueError(
            f"{name} must be a list of VGG16's layers; got {short(values)}"
        )
    for value in values:
        if not isinstance(value, str) or len(value) > 80:
            raise ValueError(f"{name} must be names; got {short(value)}")
        vgg.receptive_field(value)
    return tuple(values)

"""The settings of a training run: types, ranges, and the networks that they describe.

Fields are called exactly as the keys of the config files and of a run's `config.json`.
A `Settings` is made once, where a command starts or a run's folder is opened; it checks
itself, and nothing changes it afterwards.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Literal, cast, get_args, get_type_hints

import jax
import optax
from flax import nnx
from jaxtyping import Array, Integer
from ml_collections import ConfigDict

from jaxart.drawing import levels
from jaxart.drawing.brushes import BRUSHES
from jaxart.gan import feature_metrics
from jaxart.gan.augment import Transformation
from jaxart.gan.conditions import KINDS, Conditions
from jaxart.gan.losses import Loss
from jaxart.gan.networks import (
    SIZES,
    Discriminator,
    Generator,
    Normalisation,
    Resampling,
)
from jaxart.gan.parallel import Parallel
from jaxart.gan.strokes import AnyGenerator, Palette, StrokeGenerator
from jaxart.gan.update import Recipe
from jaxart.validation import (
    MAX_COUNT,
    MAX_INT,
    FilePath,
    OneOf,
    Positive,
    Range,
    Seed,
    Validated,
    build,
)


Dtype = Literal["float32", "bfloat16"]

# What may change when a run is resumed; any other change would make it another run.
CHANGEABLE_ON_RESUME = (
    "checkpoints.",
    "data.data_dir",
    "data.on_device",
    "data.source",
    "data.workers",
    "evaluate.every_steps",
    "log.",
    "parallel",
    "samples.",
    "steps",  # and steps_per_call
)


# What the arrays of the networks depend on.
NETWORK_KEYS = (
    "size",
    "generator.width",
    "generator.latent",
    "generator.normalisation",
    "generator.resampling",
    "generator.excitation",
    "generator.strokes",
    "generator.brush",
    "generator.palette",
    "condition.labels",
    "condition.titles",
    "condition.classes",
    "discriminator.width",
    "discriminator.normalisation",
    "discriminator.resampling",
)

# Values of settings that runs of version 0.2 do not have: the paper's recipe.
SINCE_0_3 = {
    "data.mirrored": False,
    "generator.normalisation": "batch",
    "generator.resampling": "strided",
    "generator.excitation": False,
    "generator.strokes": "",
    "generator.brush": "soft",
    "generator.palette": "colours",
    "generator.average": 0.0,
    "discriminator.normalisation": "batch",
    "discriminator.resampling": "strided",
    "discriminator.learning_rate_ratio": 1.0,
    "penalty.r1": 0.0,
    "penalty.r2": 0.0,
    "penalty.every_steps": 1,
    "condition.labels": "",
    "condition.titles": False,
    "condition.min_pictures": 20,
    "condition.mismatch": 0.0,
    "condition.classes": (),
    "augment.transformations": "",
    "augment.probability": 0.0,
    "augment.adaptive_target": 0.0,
}

# Wider networks, or those of more latent numbers, are larger than any device's memory.
Width = Annotated[int, Range(1, 8_192)]
MAX_LATENT = 65_536

NotNegative = Annotated[float, Range(0)]


def _on_device(name: str, value: object) -> bool | Literal["auto"]:
    """Return `data.on_device`, which a command line has as text."""
    known: dict[str, bool | Literal["auto"]] = {
        "auto": "auto",
        "true": True,
        "false": False,
    }
    if str(value).lower() not in known:
        raise ValueError(f"{name} must be auto, true or false; got {value!r}")
    return known[str(value).lower()]


@dataclass(frozen=True)
class _SomeOf:
    """Names, each once, with commas between them; or none."""

    known: tuple[str, ...]

    def __call__(self, name: str, text: str) -> str:
        """Return the text.

        Raises:
            ValueError: a name is not known, or is there twice.
        """
        names = text.split(",") if text else []
        if len(set(names) & set(self.known)) != len(names):
            raise ValueError(
                f"{name} must be empty or of {', '.join(self.known)}, each once; "
                f"got {text!r}"
            )
        return text


@dataclass(frozen=True, kw_only=True)
class ConditionSettings(Validated):
    """What a picture can be asked to be."""

    labels: Annotated[str, _SomeOf(KINDS)]
    titles: bool
    min_pictures: Positive
    mismatch: NotNegative
    classes: tuple[str, ...]  # found when a run begins; see `conditions.Classes`

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return the kinds of labels."""
        return tuple(self.labels.split(",")) if self.labels else ()

    @property
    def known(self) -> Conditions:
        """Return the conditions that the run knows."""
        return Conditions(self.classes, self.titles)


@dataclass(frozen=True, kw_only=True)
class DataSettings(Validated):
    """Where the training pictures come from."""

    name: str
    data_dir: FilePath
    source: FilePath
    workers: Annotated[int, Range(0, 1024)]
    on_device: Annotated[bool | Literal["auto"], _on_device]
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class GeneratorSettings(Validated):
    """Settings of the generator."""

    width: Width
    latent: Annotated[int, Range(1, MAX_LATENT)]
    normalisation: Annotated[Normalisation, OneOf(("batch", "none"))]
    resampling: Resampling
    excitation: bool
    strokes: str
    brush: Annotated[str, OneOf(tuple(BRUSHES))]
    palette: Annotated[Palette, OneOf(get_args(Palette))]
    average: Annotated[float, Range(0, below=1)]


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings(Validated):
    """Settings of the discriminator."""

    width: Width
    normalisation: Normalisation
    resampling: Resampling
    learning_rate_ratio: NotNegative


@dataclass(frozen=True, kw_only=True)
class PenaltySettings(Validated):
    """Weights of D's gradient penalties, and how often they are paid."""

    r1: NotNegative
    r2: NotNegative
    every_steps: Annotated[int, Range(1, 1_000)]


@dataclass(frozen=True, kw_only=True)
class AugmentSettings(Validated):
    """Augmentation of what D sees."""

    transformations: Annotated[str, _SomeOf(get_args(Transformation))]
    probability: Annotated[float, Range(0, 1)]
    adaptive_target: Annotated[float, Range(0, below=1)]

    def __post_init__(self) -> None:
        """Check that there is something to augment with, and a chance of it."""
        super().__post_init__()
        if bool(self.transformations) != (self.probability + self.adaptive_target > 0):
            raise ValueError(
                "transformations must go with a probability or an adaptive_target "
                f"above 0; got {self.transformations!r} with {self.probability} and "
                f"{self.adaptive_target}"
            )


@dataclass(frozen=True, kw_only=True)
class AdamSettings(Validated):
    """Settings of the optimizer of either network."""

    learning_rate: NotNegative
    b1: Annotated[float, Range(0, below=1)]
    b2: Annotated[float, Range(0, below=1)]
    eps: NotNegative


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings(Validated):
    """How often checkpoints are saved, and which of them are kept."""

    every_steps: Positive
    keep: Positive
    keep_every_steps: Positive


@dataclass(frozen=True, kw_only=True)
class SampleSettings(Validated):
    """How often samples are drawn, and how many."""

    every_steps: Positive
    count: Annotated[int, Range(1, 10_000)]


@dataclass(frozen=True, kw_only=True)
class EvaluationSettings(Validated):
    """How often the samples' distance is measured (0: never), and of how many."""

    every_steps: Annotated[int, Range(0, MAX_INT)]
    count: Annotated[int, Range(feature_metrics.MIN_COUNT, MAX_COUNT)]


@dataclass(frozen=True, kw_only=True)
class LogSettings(Validated):
    """How often metrics are written."""

    every_steps: Positive


@dataclass(frozen=True, kw_only=True)
class Settings(Validated):
    """All settings of a run; `configs/art.py` says what each is.

    Raises:
        ValueError: one of them is out of its range.
    """

    seed: Seed
    size: Annotated[int, OneOf(SIZES)]
    batch_size: Annotated[int, Range(1, 65_536)]
    steps: Positive
    loss: Loss
    parallel: Parallel
    steps_per_call: Annotated[int, Range(1, 1_000)]
    dtype: Dtype
    data: DataSettings
    condition: ConditionSettings
    generator: GeneratorSettings
    discriminator: DiscriminatorSettings
    penalty: PenaltySettings
    augment: AugmentSettings
    optimizer: AdamSettings
    checkpoints: CheckpointSettings
    samples: SampleSettings
    evaluate: EvaluationSettings
    log: LogSettings

    def __post_init__(self) -> None:
        """Check that strokes fit the picture, and D's norm its conditions."""
        super().__post_init__()
        conditioned = self.condition.labels or self.condition.titles
        if conditioned and self.discriminator.normalisation == "spectral":
            # The scores of conditions would not be normalised.
            raise ValueError(
                "discriminator.normalisation must be batch or none where there are "
                "labels or titles; got spectral"
            )
        if not self.generator.strokes:
            if self.generator.palette != "colours":
                raise ValueError(
                    "generator.palette must be colours where there are no strokes; "
                    f"got {self.generator.palette}"
                )
            return
        try:
            levels.parse(self.generator.strokes, self.size)
        except ValueError as error:
            raise ValueError(f"generator.strokes {error}") from None
        if self.generator.excitation:
            raise ValueError(
                "generator.excitation must be false where there are strokes; got true"
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | ConfigDict) -> "Settings":
        """Return the settings of a config file, or of what `to_dict` returned.

        Args:
            config: with all keys, and no others.

        Raises:
            ValueError: a key is missing or unknown, or a value has another type or is
                out of its range.
        """
        if "seeds" in config:
            raise ValueError(
                "seeds is gone, as is training several seeds in one call: run the "
                "command once per seed, each with its own seed and workdir"
            )
        config = _with_classes(config)
        keys, given = set(_keys(cls)), flatten(config).keys()
        missing = sorted(keys - given)
        if missing:
            raise ValueError(
                f"config must have {' and '.join(missing)}, as those in configs/ do"
            )
        unknown = sorted(given - keys)
        if unknown:
            raise ValueError(f"unknown setting: {' and '.join(unknown)}")
        return build(cls, config)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as nested dictionaries, for JSON and `from_config`."""
        return dataclasses.asdict(self)

    def with_data(self, **values: Any) -> "Settings":
        """Return the settings with other values of `data`."""
        data = dataclasses.replace(self.data, **values)
        return dataclasses.replace(self, data=data)

    def with_classes(self, classes: tuple[str, ...]) -> "Settings":
        """Return the settings with the classes of a dataset."""
        condition = dataclasses.replace(self.condition, classes=classes)
        return dataclasses.replace(self, condition=condition)

    def make_generator(self, rngs: nnx.Rngs) -> AnyGenerator:
        """Return a new generator."""
        settings = self.generator
        if settings.strokes:
            return StrokeGenerator(
                self.size,
                settings.width,
                settings.latent,
                condition_size=self.condition.known.size,
                grids=levels.parse(settings.strokes, self.size),
                brush=settings.brush,
                palette=settings.palette,
                normalisation=settings.normalisation,
                resampling=settings.resampling,
                dtype=self.dtype,
                rngs=rngs,
            )
        return Generator(
            self.size,
            settings.width,
            settings.latent,
            condition_size=self.condition.known.size,
            normalisation=settings.normalisation,
            resampling=settings.resampling,
            excitation=settings.excitation,
            dtype=self.dtype,
            rngs=rngs,
        )

    def make_discriminator(self, rngs: nnx.Rngs) -> Discriminator:
        """Return a new discriminator."""
        settings = self.discriminator
        return Discriminator(
            self.size,
            settings.width,
            condition_size=self.condition.known.size,
            normalisation=settings.normalisation,
            resampling=settings.resampling,
            dtype=self.dtype,
            rngs=rngs,
        )

    def make_networks(
        self, seed: int | Integer[Array, ""]
    ) -> tuple[AnyGenerator, Discriminator]:
        """Return both networks as a run of that seed starts with them."""
        rngs = nnx.Rngs(jax.random.key(seed))
        return self.make_generator(rngs), self.make_discriminator(rngs)

    def make_recipe(self) -> Recipe:
        """Return how the networks are trained."""
        adam = partial(
            optax.adam,
            b1=self.optimizer.b1,
            b2=self.optimizer.b2,
            eps=self.optimizer.eps,
        )
        rate = self.optimizer.learning_rate
        transformations = self.augment.transformations.split(",")
        return Recipe(
            generator_optimizer=adam(rate),
            discriminator_optimizer=adam(rate * self.discriminator.learning_rate_ratio),
            loss=self.loss,
            r1=self.penalty.r1,
            r2=self.penalty.r2,
            penalty_every=self.penalty.every_steps,
            mirrored=self.data.mirrored,
            transformations=tuple(
                name for name in get_args(Transformation) if name in transformations
            ),
            augment_probability=self.augment.probability,
            adaptive_target=self.augment.adaptive_target,
            average=self.generator.average,
            mismatch=self.condition.mismatch,
        )


def _with_classes(config: Mapping[str, Any] | ConfigDict) -> dict[str, Any]:
    """Return a config with the key that config files lack: a run finds its classes."""
    plain = config.to_dict() if isinstance(config, ConfigDict) else dict(config)
    if isinstance(plain.get("condition"), dict):
        plain["condition"] = {"classes": (), **plain["condition"]}
    return plain


def flatten(nested: Mapping[str, Any] | ConfigDict, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted keys.

    >>> flatten({"size": 64, "generator": {"width": 8}})
    {'size': 64, 'generator.width': 8}
    """
    leaves: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, (Mapping, ConfigDict)):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves


def _keys(cls: type, prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of each setting."""
    for name, kind in get_type_hints(cls).items():
        if dataclasses.is_dataclass(kind):
            yield from _keys(cast(type, kind), f"{prefix}{name}.")
        else:
            yield prefix + name

"""The settings of a training run: types, ranges, and the networks that they describe.

Fields are called exactly as the keys of the config files and of a run's `config.json`.
A `Settings` is made once, where a command starts or a run's folder is opened; it checks
itself, and nothing changes it afterwards.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

import jax
import optax
from flax import nnx
from jaxtyping import Array, Integer
from ml_collections import ConfigDict

from jaxart.gan import quality
from jaxart.gan.devices import Parallel
from jaxart.gan.networks import SIZES, Discriminator, Generator
from jaxart.gan.update import Loss


Dtype = Literal["float32", "bfloat16"]
LARGEST_SEED = 2**32 - 1

# What may change when a run is resumed; any other change would make it another run.
MAY_CHANGE = (
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


@dataclass(frozen=True, kw_only=True)
class Data:
    """Where the training pictures come from."""

    name: str
    data_dir: str
    source: str
    workers: int
    on_device: bool | Literal["auto"]


@dataclass(frozen=True, kw_only=True)
class GeneratorSettings:
    """Of the generator."""

    width: int
    latent: int


@dataclass(frozen=True, kw_only=True)
class DiscriminatorSettings:
    """Of the discriminator."""

    width: int


@dataclass(frozen=True, kw_only=True)
class Adam:
    """Of the optimizer of either network."""

    learning_rate: float
    b1: float
    b2: float
    eps: float


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """How often checkpoints are saved, and which of them are kept."""

    every_steps: int
    keep: int
    keep_every_steps: int


@dataclass(frozen=True, kw_only=True)
class Samples:
    """How often samples are drawn, and how many."""

    every_steps: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How often the samples' distance is measured (0: never), and of how many."""

    every_steps: int
    count: int


@dataclass(frozen=True, kw_only=True)
class Log:
    """How often metrics are written."""

    every_steps: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run; `configs/art.py` says what each is.

    Raises:
        ValueError: one of them is out of its range.
    """

    seed: int
    size: int
    batch_size: int
    steps: int
    loss: Loss
    parallel: Parallel
    steps_per_call: int
    dtype: Dtype
    data: Data
    generator: GeneratorSettings
    discriminator: DiscriminatorSettings
    optimizer: Adam
    checkpoints: CheckpointSettings
    samples: Samples
    evaluate: Evaluation
    log: Log

    def __post_init__(self) -> None:
        """See that each value is in its range."""
        for key, value in flatten(self.to_dict()).items():
            _check_range(key, value)

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
        keys = dict(_leaf_types(cls))
        given = flatten(config)
        missing = sorted(keys.keys() - given.keys())
        if missing:
            raise ValueError(
                f"config must have {' and '.join(missing)}, as those in configs/ do"
            )
        unknown = sorted(given.keys() - keys.keys())
        if unknown:
            raise ValueError(f"unknown setting: {' and '.join(unknown)}")
        values = {key: _typed(key, given[key], kind) for key, kind in keys.items()}
        return cast(Settings, _built(cls, values))

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as nested dictionaries, for JSON and `from_config`."""
        return dataclasses.asdict(self)

    def with_data(self, **values: Any) -> "Settings":
        """Return the settings with other values of `data`."""
        data = dataclasses.replace(self.data, **values)
        return dataclasses.replace(self, data=data)

    def make_generator(self, rngs: nnx.Rngs) -> Generator:
        """Return a new generator."""
        width, latent = self.generator.width, self.generator.latent
        return Generator(self.size, width, latent, dtype=self.dtype, rngs=rngs)

    def make_discriminator(self, rngs: nnx.Rngs) -> Discriminator:
        """Return a new discriminator."""
        width = self.discriminator.width
        return Discriminator(self.size, width, dtype=self.dtype, rngs=rngs)

    def make_networks(
        self, seed: int | Integer[Array, ""]
    ) -> tuple[Generator, Discriminator]:
        """Return both networks as a run of that seed starts with them."""
        rngs = nnx.Rngs(jax.random.key(seed))
        return self.make_generator(rngs), self.make_discriminator(rngs)

    def make_optimizer(self) -> optax.GradientTransformation:
        """Return the optimizer of either network."""
        return optax.adam(**dataclasses.asdict(self.optimizer))


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


def _leaf_types(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the type of each setting."""
    for name, kind in get_type_hints(cls).items():
        if dataclasses.is_dataclass(kind):
            yield from _leaf_types(cast(type, kind), f"{prefix}{name}.")
        else:
            yield prefix + name, kind


def _built(cls: type, values: Mapping[str, Any], prefix: str = "") -> Any:
    """Return a dataclass, and those within, of values by their dotted keys."""
    return cls(
        **{
            name: _built(cast(type, kind), values, f"{prefix}{name}.")
            if dataclasses.is_dataclass(kind)
            else values[prefix + name]
            for name, kind in get_type_hints(cls).items()
        }
    )


def _typed(key: str, value: Any, kind: Any) -> Any:
    """Return a value as the type of its setting.

    Raises:
        ValueError: it is of another type.
    """
    if key == "data.on_device":
        known = {"auto": "auto", "true": True, "false": False}
        if str(value).lower() not in known:
            raise ValueError(f"{key} must be auto, true or false; got {value!r}")
        return known[str(value).lower()]
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise ValueError(f"{key} must be one of {get_args(kind)}; got {value!r}")
        return value
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is float and is_number:
        return float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{key} must be of type {kind.__name__}; got {value!r}")
    return value


def _check_range(key: str, value: Any) -> None:
    if key == "size":
        if value not in SIZES:
            raise ValueError(f"size must be one of {SIZES}; got {value}")
    elif key == "seed":
        if not 0 <= value <= LARGEST_SEED:
            raise ValueError(f"seed must be from 0 to {LARGEST_SEED}; got {value}")
    elif key in ("data.workers", "evaluate.every_steps"):
        if value < 0:
            raise ValueError(f"{key} must not be negative; got {value}")
    elif key == "evaluate.count":
        if value < quality.MIN_COUNT:
            raise ValueError(f"{key} must be at least {quality.MIN_COUNT}; got {value}")
    elif isinstance(value, int) and not isinstance(value, bool) and value < 1:
        raise ValueError(f"{key} must be at least 1; got {value}")

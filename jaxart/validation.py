"""Settings and flags: values of the right type, in their range, or one clear line.

A settings class is a frozen dataclass that inherits from `Validated`. The annotation
of a field is its type, and in `Annotated` what else must hold; whatever comes from a
config file, a command line or JSON is converted where that loses nothing, and refused
otherwise:

    >>> @dataclass(frozen=True, kw_only=True)
    ... class Square(Validated):
    ...     side: Annotated[int, Range(1, 100)]
    ...     colour: tuple[float, float, float]
    >>> build(Square, {"side": 3, "colour": [0, 1, 0]})
    Square(side=3, colour=(0.0, 1.0, 0.0))
    >>> build(Square, {"side": 0, "colour": [0, 1, 0]})
    Traceback (most recent call last):
    ValueError: side must be at least 1; got 0
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from numbers import Integral, Real
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)


MAX_SEED = 2**32 - 1  # JAX would take a larger one for a smaller one
MAX_INT = 2**31 - 1  # the largest that an array of indices holds
MAX_COUNT = 1_000_000  # pictures, strokes, samples: more than any machine draws

SHOWN = 80  # characters of a value in a message


T = TypeVar("T", bound="Validated")


class Validated:
    """Base of frozen dataclasses whose values are validated when they are made.

    Raises:
        ValueError: a value has another type than its field, or is out of its range.
    """

    def __post_init__(self) -> None:
        """Convert each value to the type of its field."""
        for name, kind in get_type_hints(type(self), include_extras=True).items():
            value = validate(name, getattr(self, name), kind)
            object.__setattr__(self, name, value)


def build(cls: type[T], values: Any) -> T:
    """Return settings with some values.

    Args:
        cls: a frozen dataclass that inherits from `Validated`.
        values: a mapping or a `ConfigDict`, with a value of any type for each field.

    Raises:
        ValueError: as the class itself.
    """
    hints = get_type_hints(cls, include_extras=True).items()
    return cls(**{name: validate(name, values[name], kind) for name, kind in hints})


@dataclass(frozen=True)
class Range:
    """The numbers from `least` to `most`, and below `below`."""

    least: int | float = -math.inf
    most: int | float = math.inf
    below: int | float | None = None

    def __call__(self, name: str, value: Any) -> Any:
        """Return the value.

        Raises:
            ValueError: it is out of the range.
        """
        wrong = None
        if value < self.least:
            wrong = f"at least {self.least:,}"
        elif value > self.most:
            wrong = f"at most {self.most:,}"
        elif self.below is not None and value >= self.below:
            wrong = f"below {self.below:,}"
        if wrong:
            raise ValueError(f"{name} must be {wrong}; got {short(value)}")
        return value


@dataclass(frozen=True)
class OneOf:
    """Some values."""

    choices: tuple[Any, ...]

    def __call__(self, name: str, value: Any) -> Any:
        """Return the value.

        Raises:
            ValueError: it is none of the choices.
        """
        if value not in self.choices:
            raise ValueError(
                f"{name} must be one of {', '.join(map(str, self.choices))}; "
                f"got {short(value)}"
            )
        return value


def expand_home(name: str, path: str) -> str:
    """Return a path with the home folder for a ~ at its beginning.

    Raises:
        ValueError: there is no home folder.
    """
    if path != "~" and not path.startswith("~/"):
        return os.path.expanduser(path)
    expanded = os.path.expanduser(path)
    if not (os.environ.get("HOME", "/") and os.path.isabs(expanded)):
        raise ValueError(f"{name} must not begin with ~ without a home; got {path!r}")
    return expanded


FilePath = Annotated[str, expand_home]
Seed = Annotated[int, Range(0, MAX_SEED)]
Count = Annotated[int, Range(1, MAX_COUNT)]
Positive = Annotated[int, Range(1, MAX_INT)]


def validate(name: str, value: Any, kind: Any) -> Any:
    """Return a value as a type.

    Args:
        name: for the message.
        value: of any type.
        kind: `int`, `float`, `bool`, `str`, a tuple or `Literal` of them, a `Validated`
            dataclass, or one of these in `Annotated` with functions of name and value
            that check or convert it further. A union is left to such functions.

    Raises:
        ValueError: the value has another type, is not finite, or an annotation refuses
            it.
    """
    if get_origin(kind) is Annotated:
        kind, *checks = get_args(kind)
        value = validate(name, value, kind)
        for check in filter(callable, checks):
            value = check(name, value)
        return value
    if get_origin(kind) is Literal:
        return OneOf(get_args(kind))(name, value)
    if get_origin(kind) in (Union, UnionType):
        return value  # its annotation says what it may be
    if get_origin(kind) is tuple:
        return _tuple(name, value, get_args(kind))
    if is_dataclass(kind):
        return _dataclass(name, value, cast(type[Validated], kind))
    return _SCALARS[kind](name, value)


def _tuple(name: str, value: Any, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _type_error(name, "a tuple", value)
    if kinds[1:] == (...,):
        kinds = kinds[:1] * len(value)
    if len(value) != len(kinds):
        raise ValueError(f"{name} must be {len(kinds)} values; got {short(value)}")
    return tuple(validate(name, v, kind) for v, kind in zip(value, kinds, strict=True))


def _dataclass(name: str, value: Any, kind: type[Validated]) -> Any:
    if isinstance(value, kind):
        return value
    try:
        return build(kind, value)
    except ValueError as error:
        raise ValueError(f"{name}.{error}") from None


def _float(name: str, value: Any) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise _type_error(name, "a number", value)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number; got {short(value)}")
    return number


def _int(name: str, value: Any) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise _type_error(name, "a whole number", value)
    return int(value)


def _bool(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _type_error(name, "true or false", value)
    return value


def _str(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _type_error(name, "text", value)
    return value


_SCALARS: dict[Any, Callable[[str, Any], Any]] = {
    float: _float,
    int: _int,
    bool: _bool,
    str: _str,
}


def _type_error(name: str, expected: str, value: Any) -> ValueError:
    return ValueError(f"{name} must be {expected}; got {short(value)}")


def short(value: Any) -> str:
    """Return a value in a form that fits into a line."""
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits
        text = f"one of type {type(value).__name__}"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."

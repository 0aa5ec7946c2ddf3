"""What a picture is asked to be, as numbers that both networks take.

A condition has a number for each class of each kind of label, one of which is 1, and
one more for "unknown", which is 1 for a picture without the label. So classes can be
mixed and interpolated like points of the generator's input space, of which a condition
is the second half. With titles come the numbers of the title's text
(`jaxart.titles`), all 0 without one.

Source: Mirza and Osindero, "Conditional Generative Adversarial Nets", 2014, for a
condition beside the latents.
"""

import collections
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxart import titles


# Kinds of labels.
KINDS = ("style", "genre", "artist", "digit")

UNKNOWN = "unknown"
TITLE = "title"

Vectors = Float[np.ndarray, "n c"]
Asked = Mapping[str, str]  # names of classes by kind, and perhaps a title


class Classes(NamedTuple):
    """The classes of a dataset.

    Args:
        names: each as "kind=name", sorted.
        folded: how many pictures each class has that is too small, likewise.
    """

    names: tuple[str, ...]
    folded: dict[str, int]

    def __str__(self) -> str:
        """Say in a line which classes there are."""
        text = f"classes: {len(self.names)}"
        if self.folded:
            small = (f"{name} ({count})" for name, count in self.folded.items())
            text += f"; unknown, for too few pictures: {', '.join(small)}"
        return text


def find_classes(
    labels: Sequence[Mapping[str, str]], kinds: Sequence[str], min_pictures: int
) -> Classes:
    """Return the classes of a dataset that have enough pictures.

    Raises:
        ValueError: a kind of label has none.
    """
    names: list[str] = []
    folded: dict[str, int] = {}
    for kind in kinds:
        counts = collections.Counter(each[kind] for each in labels if each[kind])
        large = [f"{kind}={name}" for name in counts if counts[name] >= min_pictures]
        if not large:
            raise ValueError(
                f"condition.labels must be those of pictures: none has a {kind} that "
                f"at least {min_pictures} have (condition.min_pictures)"
            )
        names += sorted(large)
        folded |= {
            f"{kind}={name}": count
            for name, count in sorted(counts.items())
            if count < min_pictures
        }
    return Classes(tuple(names), folded)


@dataclass(frozen=True)
class Conditions:
    """The conditions that a run knows.

    Args:
        names: see `Classes`.
        with_titles: whether it knows titles as well.
    """

    names: tuple[str, ...]
    with_titles: bool

    @property
    def by_kind(self) -> dict[str, list[str]]:
        """Return the names of each kind's classes."""
        classes: dict[str, list[str]] = {}
        for text in self.names:
            kind, name = text.split("=", 1)
            classes.setdefault(kind, []).append(name)
        return classes

    @property
    def kinds(self) -> list[str]:
        """Return what may be asked for: kinds of labels, and perhaps a title."""
        return [*self.by_kind, *[TITLE] * self.with_titles]

    @property
    def size(self) -> int:
        """Return how many numbers a condition has."""
        numbers = len(self.names) + len(self.by_kind)
        return numbers + titles.SIZE * self.with_titles

    def check(self, asked: Asked) -> None:
        """Check that a run knows what is asked of it.

        Raises:
            ValueError: it knows no such kind of label, or no such class.
        """
        classes = self.by_kind
        for kind, name in asked.items():
            if kind == TITLE and self.with_titles:
                continue
            if kind not in classes:
                raise ValueError(
                    f"{kind} must be what the run was trained with; it knows "
                    f"{' and '.join(self.kinds) or 'no labels'}"
                )
            if name not in (*classes[kind], UNKNOWN):
                near = difflib.get_close_matches(name, classes[kind], 5, 0.4)
                some = " or ".join(near or classes[kind][:5])
                raise ValueError(
                    f"{kind} must be a class of the run, such as {some}; "
                    f"got {name[:80]!r}"
                )

    def include(self, asked: Asked, labels: Mapping[str, str]) -> bool:
        """Return whether a picture with these labels is of the classes asked for.

        One of a class that is not known is unknown; where none is known, only one
        without a label is.
        """
        classes = self.by_kind
        for kind, name in asked.items():
            label = labels[kind]
            if kind in classes and label not in classes[kind]:
                label = ""
            if (label or UNKNOWN) != name:
                return False
        return True

    def vectors(self, labels: Sequence[Mapping[str, str]]) -> Vectors:
        """Return the conditions of pictures; a class that is not known is unknown."""
        rows = np.zeros((len(labels), self.size), np.float32)
        start = 0
        for kind, names in self.by_kind.items():
            places = {name: place for place, name in enumerate(names, start=1)}
            for row, each in zip(rows, labels, strict=True):
                row[start + places.get(each.get(kind, ""), 0)] = 1
            start += 1 + len(names)
        if self.with_titles:
            rows[:, start:] = titles.embed([each.get(TITLE, "") for each in labels])
        return rows

    def draw(self, seed: int, indices: Sequence[int], asked: Asked) -> Vectors:
        """Return a condition for each index: what is asked for, else any class.

        Each class of a kind that is not asked for is as likely as any other; it depends
        on the seed and the index alone.

        Raises:
            ValueError: as `check`.
        """
        self.check(asked)
        labels = [dict(asked) for _ in indices]
        for number, (kind, names) in enumerate(self.by_kind.items()):
            if kind not in asked:
                places = _draw(seed, indices, number, len(names))
                for each, place in zip(labels, places, strict=True):
                    each[kind] = names[place]
        return self.vectors(labels)


def _draw(
    seed: int, indices: Sequence[int], stream: int, count: int
) -> Int[np.ndarray, " n"]:
    """Return a number below `count` for each index."""

    def one(index: Array) -> Array:
        key = jax.random.fold_in(jax.random.key(seed), index)
        return jax.random.randint(jax.random.fold_in(key, stream), (), 0, count)

    return np.asarray(jax.vmap(one)(jnp.asarray(indices)))

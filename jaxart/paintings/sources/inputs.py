"""What a user names as inputs: which layout each has, and their union.

A collection is recognised by what lies in it, and is a small picklable value: it can be
gone through as often as needed, in any process, always in the same order.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxart.paintings.sources import (
    best_artworks,
    files,
    folder,
    huggingface,
    kaggle,
    wikiart,
)
from jaxart.paintings.sources.painting import Painting


READERS = {
    "huggingface": huggingface.read,
    "kaggle": kaggle.read,
    "wikiart": wikiart.read,
    "best_artworks": best_artworks.read,
    "folder": folder.read,
}

# Who knows its own, asked in this order; a folder is what nobody knows.
SIGNS = {
    "huggingface": huggingface.is_one,
    "kaggle": kaggle.is_one,
    "wikiart": wikiart.is_one,
    "best_artworks": best_artworks.is_one,
}


@dataclass(frozen=True)
class Collection:
    """One input.

    Args:
        root: its folder or zip.
        layout: one of `READERS`.
        name: what its paintings have as their `source`.
        prefix: stands before the names of its files, so that no two inputs share one.
    """

    root: Path
    layout: str
    name: str
    prefix: str = ""

    def __iter__(self) -> Iterator[Painting]:
        """Yield the paintings, always in the same order; opens none of them.

        Raises:
            ValueError: the collection cannot be understood.
        """
        try:
            for painting in READERS[self.layout](files.tree(self.root)):
                filename = self.prefix + painting.filename
                yield painting._replace(filename=filename, source=self.name)
        except ValueError as error:
            raise ValueError(f"{self.root}: {error}") from None


@dataclass(frozen=True)
class Union:
    """Several collections, one after the other; gone through like one."""

    collections: tuple[Collection, ...]

    def __iter__(self) -> Iterator[Painting]:
        """Yield the paintings of all of them."""
        for collection in self.collections:
            yield from collection


def open_inputs(inputs: Sequence[str | os.PathLike[str]], layout: str = "") -> Union:
    """Return what was named as inputs, recognised.

    Args:
        inputs: folders, zips, and "hf:NAME" for data sets of the Hugging Face hub,
            which are downloaded first.
        layout: one of `READERS` for all of them; empty to recognise each.

    Raises:
        ValueError: there is none, one is named twice, or one cannot be had.
        OSError: the hub cannot be reached.
    """
    if not inputs:
        raise ValueError("input must name at least one collection; got none")
    roots = [_root(os.fspath(given)) for given in inputs]
    resolved = [root.resolve() for root in roots]
    for place, root in enumerate(resolved):
        for other in resolved[:place]:
            if root.is_relative_to(other) or other.is_relative_to(root):
                raise ValueError(f"inputs must not contain each other; got {root}")
    collections: list[Collection] = []
    for root in roots:
        tree = files.tree(root)
        found = layout or recognised(tree)
        taken = sum(collection.layout == found for collection in collections)
        name = f"{found}_{taken + 1}" if taken else found
        prefix = f"{name}/" if len(roots) > 1 else ""
        collections.append(Collection(root, found, name, prefix))
    return Union(tuple(collections))


# Where a picture can lie, by the name that stands for it in JSON.
PLACES = {
    place.__name__: place
    for place in (files.OnDisk, files.InZip, files.Unusable, huggingface.InParquet)
}


def to_json(painting: Painting) -> list[Any]:
    """Return a painting as what JSON knows; `from_json` takes it back."""
    place: Any = painting.file  # one of `PLACES`: a tuple
    return [painting.filename, [type(place).__name__, *place], *painting[2:]]


def from_json(described: list[Any]) -> Painting:
    """Return the painting that `to_json` described."""
    filename, (place, *fields), labels, source = described
    return Painting(filename, PLACES[place](*fields), labels, source)


def recognised(tree: dict[str, files.File]) -> str:
    """Return which layout files have: one of `READERS`."""
    return next((name for name, is_one in SIGNS.items() if is_one(tree)), "folder")


def _root(given: str) -> Path:
    if given.startswith(huggingface.HUB):
        return huggingface.download(given.removeprefix(huggingface.HUB))
    return Path(given).expanduser().absolute()  # as other machines see it

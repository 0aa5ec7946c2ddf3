"""A user's inputs: the layout of each, and all of them in turn.

The layout of a collection is detected from its files. A collection is a small picklable
value that can be iterated repeatedly, in any process, always in the same order.
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
from jaxart.paintings.sources.picture import SourcePicture


READERS = {
    "huggingface": huggingface.read,
    "kaggle": kaggle.read,
    "wikiart": wikiart.read,
    "best_artworks": best_artworks.read,
    "folder": folder.read,
}

# Tested in this order; files that match none are a folder.
MATCHERS = {
    "huggingface": huggingface.matches,
    "kaggle": kaggle.matches,
    "wikiart": wikiart.matches,
    "best_artworks": best_artworks.matches,
}


@dataclass(frozen=True)
class Collection:
    """One input."""

    root: Path  # its folder or zip
    layout: str  # one of `READERS`
    name: str  # the `source` of its paintings
    prefix: str = ""  # of its filenames, so that no two inputs share one

    def __iter__(self) -> Iterator[SourcePicture]:
        """Yield the paintings, always in the same order, without opening them.

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
class Collections:
    """Several collections, concatenated."""

    collections: tuple[Collection, ...]

    def __iter__(self) -> Iterator[SourcePicture]:
        """Yield the paintings of all of them."""
        for collection in self.collections:
            yield from collection


def open_inputs(
    inputs: Sequence[str | os.PathLike[str]], layout: str = ""
) -> Collections:
    """Return the collections of inputs, with their layouts detected.

    Args:
        inputs: folders, zips, and "hf:NAME" for data sets of the Hugging Face hub,
            which are downloaded first.
        layout: one of `READERS` for all of them; empty to detect each.

    Raises:
        ValueError: there is none, one is named twice, or one cannot be opened.
        OSError: the hub cannot be reached.
    """
    if not inputs:
        raise ValueError("input must name at least one collection; got none")
    roots = [_root(os.fspath(name)) for name in inputs]
    resolved = [root.resolve() for root in roots]
    for number, root in enumerate(resolved):
        for other in resolved[:number]:
            if root.is_relative_to(other) or other.is_relative_to(root):
                raise ValueError(f"inputs must not contain each other; got {root}")
    collections: list[Collection] = []
    for root in roots:
        tree = files.tree(root)
        detected = layout or detect_layout(tree)
        earlier = sum(collection.layout == detected for collection in collections)
        name = f"{detected}_{earlier + 1}" if earlier else detected
        prefix = f"{name}/" if len(roots) > 1 else ""
        collections.append(Collection(root, detected, name, prefix))
    return Collections(tuple(collections))


# Types of files by their names in JSON.
FILE_TYPES = {
    kind.__name__: kind
    for kind in (files.OnDisk, files.InZip, files.Unusable, huggingface.InParquet)
}


def to_json(painting: SourcePicture) -> list[Any]:
    """Return a painting as JSON; the inverse of `from_json`."""
    file: Any = painting.file  # one of `FILE_TYPES`: a tuple
    return [painting.filename, [type(file).__name__, *file], *painting[2:]]


def from_json(described: list[Any]) -> SourcePicture:
    """Return the painting that `to_json` described."""
    filename, (kind, *fields), labels, source = described
    return SourcePicture(filename, FILE_TYPES[kind](*fields), labels, source)


def detect_layout(tree: dict[str, files.File]) -> str:
    """Return the layout of files: one of `READERS`."""
    return next((name for name, matches in MATCHERS.items() if matches(tree)), "folder")


def _root(name: str) -> Path:
    if name.startswith(huggingface.HUB):
        return huggingface.download(name.removeprefix(huggingface.HUB))
    return Path(name).absolute()  # as other machines see it

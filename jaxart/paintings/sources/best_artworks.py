"""Kaggle's "Best Artworks of All Time": a folder for each of fifty artists.

A picture is `Artist_Name/Artist_Name_n.jpg`; the collection repeats all of them,
smaller and in one folder. `artists.csv` spells the names, which some folders have as
mojibake, and says which styles an artist painted in: where it is one only, it is the
picture's.

Source: https://www.kaggle.com/datasets/ikarus777/best-artworks-of-all-time.
"""

import re
from collections.abc import Iterator

from jaxart.paintings.sources import tables
from jaxart.paintings.sources.files import File
from jaxart.paintings.sources.folder import is_csv
from jaxart.paintings.sources.picture import SourcePicture, make_labels


NUMBERED = re.compile(r"(?P<artist>.+)_\d+\.\w+")


def matches(tree: dict[str, File]) -> bool:
    """Return whether files have this layout."""
    if any(name.rsplit("/", 1)[-1] == "artists.csv" for name in tree):
        return True
    pictures = [name for name in tree if not is_csv(name)]
    named = [name for name in pictures if _artist(name) == _folder(name) != ""]
    return 2 * len(named) > len(pictures)


def read(tree: dict[str, File]) -> Iterator[SourcePicture]:
    """Yield the pictures.

    Raises:
        ValueError: `artists.csv` cannot be understood.
    """
    artists = tables.Lookup(_artists(tree))
    for name, file in tree.items():
        if not is_csv(name):
            artist = _artist(name)
            labels = artists.find(artist) or {"artist": artist.replace("_", " ")}
            yield SourcePicture(name, file, make_labels(**labels))


def _artists(tree: dict[str, File]) -> dict[str, dict[str, str]]:
    """Return the labels in `artists.csv` by the name of the artist's folder."""
    artists = {}
    for name, file in tree.items():
        if name.rsplit("/", 1)[-1] == "artists.csv":
            for _, row in tables.rows(name, file, needs="name"):
                styles = row.get("genre", "").split(",")
                style = styles[0].strip() if len(styles) == 1 else ""
                labels = {"artist": row["name"], "style": style}
                artists[row["name"].replace(" ", "_")] = labels
    return artists


def _artist(name: str) -> str:
    numbered = NUMBERED.fullmatch(name.rsplit("/", 1)[-1])
    return numbered["artist"] if numbered else ""


def _folder(name: str) -> str:
    return name.split("/")[-2] if "/" in name else ""

"""Kaggle's "Painter by Numbers": numbered pictures, and a catalogue of all of them.

`all_data_info.csv` describes every picture; without it `train_info.csv` describes those
of `train/`, with the artists' names replaced by hashes, which are no label.

Source: the competition's own files, https://www.kaggle.com/c/painter-by-numbers; the
paper's first collection.
"""

from collections.abc import Iterator

from jaxart.paintings.sources import tables
from jaxart.paintings.sources.files import MISSING, File
from jaxart.paintings.sources.folder import is_csv
from jaxart.paintings.sources.picture import SourcePicture, labels_from_row, make_labels


# Catalogues, the better one first: the column of the filename, and of each label.
CATALOGUES = {
    "all_data_info.csv": (
        "new_filename",
        {
            "title": "title",
            "artist": "artist",
            "style": "style",
            "genre": "genre",
            "year": "date",
        },
    ),
    "train_info.csv": (
        "filename",
        {"title": "title", "style": "style", "genre": "genre", "year": "date"},
    ),
}


def matches(tree: dict[str, File]) -> bool:
    """Return whether files have this layout."""
    return _catalogue_in(tree) is not None


def read(tree: dict[str, File]) -> Iterator[SourcePicture]:
    """Yield the pictures, in folders or zips, then the catalogue's lines without one.

    A picture is matched by its number, in any folder: Kaggle's zip of replacements for
    damaged pictures may be beside the damaged ones.

    Raises:
        ValueError: there is no catalogue, or it cannot be understood.
    """
    name = _catalogue_in(tree)
    if name is None:
        raise ValueError(
            f"a kaggle collection must hold {' or '.join(CATALOGUES)}; there is none"
        )
    column, columns = CATALOGUES[name.rsplit("/", 1)[-1]]
    catalogue = {}
    for line, row in tables.rows(name, tree[name], needs=column):
        number = row[column].replace("\\", "/").rsplit("/", 1)[-1]
        number = number or f"{name}, line {line}"
        if number in catalogue:
            raise ValueError(f"{name}, line {line}: {row[column]} comes twice")
        catalogue[number] = number, labels_from_row(row, **columns)
    lookup, without = tables.Lookup(catalogue, tables.spellings), set(catalogue)
    for filename, file in tree.items():
        if not is_csv(filename):
            last = filename.replace("\\", "/").rsplit("/", 1)[-1]
            number, labels = lookup.find(last) or ("", make_labels())
            without.discard(number)
            yield SourcePicture(filename, file, labels)
    for number, labels in catalogue.values():
        if number in without:
            yield SourcePicture(number, MISSING, labels)


def _catalogue_in(tree: dict[str, File]) -> str | None:
    """Return the name of the best catalogue, nearest to the root."""
    by_basename = tables.by_basename(name for name in tree if is_csv(name))
    for catalogue in CATALOGUES:
        if catalogue in by_basename:
            return min(by_basename[catalogue], key=lambda name: name.count("/"))
    return None

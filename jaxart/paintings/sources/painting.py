"""What a reader yields: a painting, by where it lies and what is said of it."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxart.paintings.sources.files import File


LABELS: tuple[str, ...] = ("title", "artist", "style", "genre", "year")
TEXTS = ("filename", "source", *LABELS)  # of a record: all that is said of a picture


class Painting(NamedTuple):
    """A file that may hold a picture.

    Args:
        filename: its name in the collection, with "/" between folders; no two are the
            same.
        file: where its bytes lie, or why there are none.
        labels: a text for each of `LABELS`, empty where unknown.
        source: the name of the collection that it comes from.
    """

    filename: str
    file: File
    labels: dict[str, str]
    source: str = ""

    def texts(self) -> dict[str, str]:
        """Return the texts of its record, by `TEXTS`."""
        return {"filename": self.filename, "source": self.source, **self.labels}


def labelled(**known: str) -> dict[str, str]:
    """Return labels of which some are known.

    >>> labelled(artist="Klee")["artist"], labelled(artist="Klee")["title"]
    ('Klee', '')
    """
    return dict.fromkeys(LABELS, "") | known


def chosen(row: Mapping[str, str], **columns: str) -> dict[str, str]:
    """Return labels as some columns of a row have them.

    Args:
        row: cells by the names of their columns.
        **columns: by label, the name of its column; one that is not there is unknown.
    """
    return labelled(**{label: row.get(name, "") for label, name in columns.items()})

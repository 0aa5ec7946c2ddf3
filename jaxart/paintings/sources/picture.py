"""What a reader yields: a picture's file and its labels."""

from collections.abc import Mapping
from typing import NamedTuple

from jaxart.paintings.sources.files import File


LABELS: tuple[str, ...] = ("title", "artist", "style", "genre", "year")
TEXTS = ("filename", "source", *LABELS)  # of a record


class SourcePicture(NamedTuple):
    """A file that may hold a picture."""

    # Its name in the collection, with "/" between folders; no two are the same.
    filename: str
    file: File  # to read it from, or the reason why there is none
    labels: dict[str, str]  # a text for each of `LABELS`, empty where unknown
    source: str = ""  # the name of the collection that it comes from

    def texts(self) -> dict[str, str]:
        """Return the texts of its record, by `TEXTS`."""
        return {"filename": self.filename, "source": self.source, **self.labels}


def make_labels(**labels: str) -> dict[str, str]:
    """Return labels with the unknown ones empty.

    >>> make_labels(artist="Klee")["artist"], make_labels(artist="Klee")["title"]
    ('Klee', '')
    """
    return dict.fromkeys(LABELS, "") | labels


def labels_from_row(row: Mapping[str, str], **columns: str) -> dict[str, str]:
    """Return labels from a row, given the name of each one's column.

    One that is not there is unknown.
    """
    return make_labels(**{label: row.get(name, "") for label, name in columns.items()})

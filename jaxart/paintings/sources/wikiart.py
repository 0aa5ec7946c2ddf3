"""WikiArt as the ArtGAN project has it: a folder for each style, and lists of classes.

A picture is `Style_Name/artist-slug_title-slug[-year][(n)].jpg`, which has all labels
but the genre. Lists, if there are any, add labels: `genre_train.csv` and
`genre_val.csv` have lines of path and class number, and `genre_class.txt` has the
classes' names; the same for artist and style. Some of their paths are mojibake.

Source: https://github.com/cs-chan/ArtGAN, "WikiArt Dataset"; the paper's second
collection is from the same site.
"""

import csv
import re
from collections.abc import Iterator

from jaxart.paintings import vocabulary
from jaxart.paintings.sources import tables
from jaxart.paintings.sources.files import MISSING, File
from jaxart.paintings.sources.folder import is_csv
from jaxart.paintings.sources.picture import SourcePicture, make_labels


CLASS_LIST = re.compile(r"(artist|genre|style)_class(es)?\.txt", re.IGNORECASE)
CLASSES_OF = re.compile(r"(artist|genre|style)_(train|val)(\.csv)?", re.IGNORECASE)

# One of its copies calls the Modern "Art_Nouveau".
STYLES = frozenset(map(vocabulary.key, (*vocabulary.STYLES, "Art Nouveau")))

SLUG = re.compile(r"(?P<title>.*?)(-(?P<year>1\d{3}|20\d{2}))?\s*(\(\d+\))?")


def matches(tree: dict[str, File]) -> bool:
    """Return whether files have this layout."""
    last = [name.rsplit("/", 1)[-1] for name in tree]
    if any(CLASS_LIST.fullmatch(name) or CLASSES_OF.fullmatch(name) for name in last):
        return True
    styled = [
        name for name in tree if vocabulary.key(_style(name)) in STYLES and "_" in name
    ]
    return 2 * len(styled) > len(tree)


def read(tree: dict[str, File]) -> Iterator[SourcePicture]:
    """Yield the pictures, then the paths of the lists that have none.

    Labels from a list take precedence over those from a filename.

    Raises:
        ValueError: a list cannot be understood.
    """
    listed = _listed(tree)
    # One for each kind: the lists were mangled in different ways.
    lookups = {
        kind: tables.Lookup({path: (path, label) for path, label in labels.items()})
        for kind, labels in listed.items()
    }
    matched = set()
    for name, file in tree.items():
        if not _is_list(name):
            labels = _from_name(name)
            for kind, lookup in lookups.items():
                path, label = lookup.find("/".join(name.split("/")[-2:])) or ("", "")
                matched.add(path)
                labels[kind] = label or labels[kind]
            yield SourcePicture(name, file, labels)
    paths = dict.fromkeys(path for by_path in listed.values() for path in by_path)
    for path in paths:
        if path not in matched:
            labels = {kind: by_path.get(path, "") for kind, by_path in listed.items()}
            labels = {kind: label for kind, label in labels.items() if label}
            yield SourcePicture(path, MISSING, _from_name(path) | labels)


def _is_list(name: str) -> bool:
    last = name.rsplit("/", 1)[-1]
    return is_csv(name) or any(p.fullmatch(last) for p in (CLASS_LIST, CLASSES_OF))


def _style(name: str) -> str:
    return name.split("/")[-2] if "/" in name else ""


def _from_name(name: str) -> dict[str, str]:
    """Return the labels in a path.

    >>> _from_name("Pop_Art/andy-warhol_soup-can-1962(1).jpg")["title"]
    'soup can'
    """
    stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    artist, divided, rest = stem.partition("_")
    slug = SLUG.fullmatch(rest)
    if not divided or slug is None:
        return make_labels(style=_style(name).replace("_", " "))
    return make_labels(
        title=slug["title"].replace("-", " ").strip(),
        artist=artist.replace("-", " "),
        style=_style(name).replace("_", " "),
        year=slug["year"] or "",
    )


def _listed(tree: dict[str, File]) -> dict[str, dict[str, str]]:
    """Return the labels in the lists by kind and path."""
    listed: dict[str, dict[str, str]] = {}
    names: dict[str, dict[str, str]] = {}
    for name, file in tree.items():
        if match := CLASS_LIST.fullmatch(name.rsplit("/", 1)[-1]):
            names[match[1].lower()] = _class_names(name, file)
    for name, file in tree.items():
        match = CLASSES_OF.fullmatch(name.rsplit("/", 1)[-1])
        if match is None:
            continue
        kind = match[1].lower()
        for line, path, number in _classes_of(name, file):
            class_names = names.get(kind)
            if class_names is not None and number not in class_names:
                raise ValueError(
                    f"{name}, line {line}: {kind}_class.txt has no class {number}"
                )
            listed.setdefault(kind, {})[path] = (
                class_names[number] if class_names else ""
            )
    return listed


def _class_names(name: str, file: File) -> dict[str, str]:
    """Read lines such as "3 Art_Nouveau"."""
    names = {}
    for line, words in enumerate(tables.text(name, file).splitlines(), start=1):
        number, _, label = words.strip().partition(" ")
        if not number:
            continue
        if not number.isdecimal() or not label:
            raise ValueError(
                f"{name}, line {line} must be a number and a name; got {words!r}"
            )
        names[number] = label.strip().replace("_", " ")
    return names


def _classes_of(name: str, file: File) -> Iterator[tuple[int, str, str]]:
    """Yield line, path and class number; a line of headings may come first."""
    lines = tables.text(name, file).splitlines()
    try:
        full = (line for line in reversed(lines) if line.strip(tables.DELIMITERS + " "))
        separator = tables.delimiter(next(full, ""), _has_class)
        reader = csv.reader(lines, delimiter=separator)
        for cells in reader:
            first = reader.line_num == 1
            if not any(map(str.strip, cells)) or (
                first and not cells[-1].strip().isdecimal()
            ):
                continue
            if not _has_class(cells):
                raise ValueError(
                    f"{name}, line {reader.line_num} must be a path and a class "
                    f"number; got {','.join(cells)!r}"
                )
            path = cells[0].strip().replace("\\", "/")
            yield reader.line_num, "/".join(path.split("/")[-2:]), cells[1].strip()
    except csv.Error as error:
        raise ValueError(f"{name} must be a csv: {error}") from None


def _has_class(cells: list[str]) -> bool:
    return len(cells) == 2 and cells[1].strip().isdecimal()

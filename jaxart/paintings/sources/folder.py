"""Any folder of pictures, with an optional csv of labels."""

from collections.abc import Iterator

from jaxart.paintings.sources import tables
from jaxart.paintings.sources.files import MISSING, File
from jaxart.paintings.sources.picture import LABELS, SourcePicture, make_labels


def read(tree: dict[str, File]) -> Iterator[SourcePicture]:
    """Yield the files of a folder and of its subfolders.

    One csv in the folder itself may hold labels: a column `filename`, with a path below
    the folder or just a name that occurs once, as `tables.match` compares them, and any
    of title, artist, style, genre and year; other columns are ignored. Its lines
    without a file come last. Other csv files are passed over.

    Raises:
        ValueError: the csv cannot be understood, or there are several.
    """
    files = {name: file for name, file in tree.items() if not is_csv(name)}
    catalogue = _catalogue(tree, files)
    for name, file in files.items():
        yield SourcePicture(name, file, catalogue.pop(name, None) or make_labels())
    for name, labels in catalogue.items():
        yield SourcePicture(name, MISSING, labels)


def is_csv(name: str) -> bool:
    """Return whether a name is that of a csv."""
    return name.lower().endswith(".csv")


def _catalogue(
    tree: dict[str, File], files: dict[str, File]
) -> dict[str, dict[str, str]]:
    """Read the labels by filename from the csv on top, if there is one."""
    csvs = [name for name in tree if is_csv(name) and "/" not in name]
    if not csvs:
        return {}
    if len(csvs) > 1:
        raise ValueError(
            f"a folder must hold one csv of labels at most; got {', '.join(csvs)}"
        )
    [table] = csvs
    catalogue: dict[str, dict[str, str]] = {}
    for line, row in tables.rows(table, tree[table], needs="filename"):
        name = row["filename"].removeprefix("./") or f"{table}, line {line}"
        if name in catalogue:
            raise ValueError(f"{table}, line {line}: {name} comes twice")
        catalogue[name] = {label: row.get(label, "") for label in LABELS}
    matched = tables.match(catalogue, files)
    return {matched.get(name, name): labels for name, labels in catalogue.items()}

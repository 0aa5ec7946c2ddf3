"""Command: a collection of paintings -> the dataset that training reads.

    python -m jaxart.prepare --input=PICTURES --data_dir=DIR

Several inputs make one dataset, as the paper joined its two. The layout of an input is
detected from its files:

    folder         pictures in folders or zips, and a csv of labels on top
    kaggle         "Painter by Numbers": all_data_info.csv or train_info.csv
    wikiart        ArtGAN's folders of styles, and its lists of classes
    best_artworks  "Best Artworks of All Time": folders of artists
    huggingface    parquet files like huggan/wikiart's; hf:NAME downloads them

Pictures are shrunk to about `--pixels`, but no side below that of a crop. The paper has
16,384, as four crops of 64 have, so that a crop is a quarter of a painting; with 4,096
it is the middle, either end, or all of it.

Every file of the collection ends either in the dataset or, with the reason, in
`DIR/skipped.csv`. One in fifty is held out from training, to evaluate with. Nothing
that exists is overwritten. A run that was interrupted goes on where it stopped when the
same command is given again.
"""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from jaxart import command, images, machine
from jaxart.paintings import dataset, preparation, vocabulary
from jaxart.paintings.sources import inputs
from jaxart.paintings.sources.files import MISSING
from jaxart.paintings.sources.picture import SourcePicture
from jaxart.validation import FilePath, Range, validate


MAX_PIXELS = 4_194_304  # four of the largest crops


def main(
    input: Annotated[  # noqa: A002
        list[FilePath],
        "collection of pictures: a folder, a zip, or hf:NAME for a data set of the "
        "Hugging Face hub; may be given several times",
    ],
    data_dir: Annotated[
        FilePath, "folder that receives the dataset and skipped.csv"
    ] = dataset.DEFAULT_DATA_DIR,
    source: Annotated[
        Literal["auto", *inputs.READERS],  # pyright: ignore[reportInvalidTypeForm]
        "layout of the collection; auto: detected from its files",
    ] = "auto",
    processes: Annotated[
        int, "worker processes; 0: one for each core that it may use"
    ] = 0,
    size: Annotated[int, "side of the training crops, in pixels"] = images.CROP,
    pixels: Annotated[
        int | None,
        "least area of a picture once it is shrunk, in pixels: the smaller, the more "
        "of a painting is in a crop; that of four crops, if not given",
    ] = None,
    keep_duplicates: Annotated[
        bool, "keep pictures that look the same as an earlier one"
    ] = False,
    report: Annotated[
        FilePath,
        "HTML file that receives a page about the collection, such as report.html",
    ] = "",
    beam_options: Annotated[
        str, 'work on a cluster, by Apache Beam: its options, as "--runner=..."'
    ] = "",
) -> None:
    """Make a dataset of a collection of paintings."""
    validate("processes", processes, Annotated[int, Range(0, 1024)])
    if not 8 <= size <= 1024:
        raise ValueError(f"size must be from 8 to 1024; got {size}")
    if pixels is not None and not size**2 <= pixels <= MAX_PIXELS:
        raise ValueError(
            f"pixels must be from the {size**2:,} of one crop to {MAX_PIXELS:,}; "
            f"got {pixels}"
        )
    out = Path(data_dir).absolute()  # as other machines see it
    union = inputs.open_inputs(input, "" if source == "auto" else source)
    for collection in union.collections:
        if out.resolve().is_relative_to(collection.root.resolve()):
            raise ValueError(f"data_dir must lie outside of input; got {out}")
    unmatched: list[str] = []
    labels = vocabulary.build(_labels(union, unmatched))
    if unmatched:
        logging.warning(
            "%d rows of labels match no file, %s among them: look into skipped.csv",
            len(unmatched),
            unmatched[0],
        )
    for line in vocabulary.summary(labels):
        print(line)
    paintings = (
        painting._replace(labels=labels.normalise(painting.labels))
        for painting in union
    )
    prepared = preparation.prepare(
        paintings,
        out,
        size=size,
        pixels=pixels,
        processes=processes or machine.cpus(),
        beam_options=beam_options,
        vocabulary=labels.names(),
        keep_duplicates=keep_duplicates,
        report_to=Path(report) if report else None,
    )
    print(_summary(prepared))


def _labels(
    paintings: Iterable[SourcePicture], unmatched: list[str]
) -> Iterator[dict[str, str]]:
    """Yield the labels of paintings, and list the names of those without a file."""
    for painting in paintings:
        if painting.file is MISSING:
            unmatched.append(painting.filename)
        yield painting.labels


def _summary(prepared: preparation.Prepared) -> str:
    line = f"{prepared.kept} paintings kept"
    if prepared.held_out:
        line += f" ({prepared.held_out} of them held out)"
    line += f", {sum(prepared.skipped.values())} skipped"
    if prepared.skipped:
        line += (
            f" ({preparation.summarize(prepared.skipped)}): see {prepared.skipped_csv}"
        )
    return f"{line}; dataset in {prepared.folder} ({prepared.bytes / 1e6:.1f} MB)"


if __name__ == "__main__":
    command.run(main)

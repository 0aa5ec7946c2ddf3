"""Command: a collection of paintings -> the dataset that training reads.

    python -m jaxart.prepare --input=PICTURES --data_dir=DIR

Every file of the collection ends either in the dataset or, with the reason, in
`DIR/skipped.csv`. One in fifty is held out from training, to evaluate with. Nothing
that exists is overwritten. A run that was interrupted goes on where it stopped when the
same command is given again.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from jaxart import command, images
from jaxart.paintings import dataset, preparation, sources


def main(
    input: Annotated[str, "folder of pictures, with an optional csv of labels"],  # noqa: A002
    data_dir: Annotated[
        str, "folder that receives the dataset and skipped.csv"
    ] = dataset.DEFAULT_DATA_DIR,
    source: Annotated[Literal["folder"], "kind of collection"] = "folder",
    processes: Annotated[int, "worker processes; 0: one for each core"] = 0,
    size: Annotated[int, "side of the training crops, in pixels"] = images.CROP,
    beam_options: Annotated[
        str, 'work on a cluster, by Apache Beam: its options, as "--runner=..."'
    ] = "",
) -> None:
    """Make a dataset of a collection of paintings."""
    if processes < 0:
        raise ValueError(f"processes must not be negative; got {processes}")
    if not 8 <= size <= 1024:
        raise ValueError(f"size must be from 8 to 1024; got {size}")
    root, out = Path(input).expanduser(), Path(data_dir).expanduser()
    if out.resolve().is_relative_to(root.resolve()):
        raise ValueError(f"data_dir must lie outside of input; got {out}")
    readers = {"folder": sources.folder}
    done = preparation.prepare(
        readers[source](root),
        out,
        size=size,
        processes=processes or os.cpu_count() or 1,
        beam_options=beam_options,
    )
    print(_closing_line(done))


def _closing_line(done: preparation.Prepared) -> str:
    line = f"{done.kept} paintings kept"
    if done.held_out:
        line += f" ({done.held_out} of them held out)"
    line += f", {sum(done.skipped.values())} skipped"
    if done.skipped:
        line += f" ({preparation.in_words(done.skipped)}): see {done.skipped_csv}"
    return f"{line}; dataset in {done.folder} ({done.bytes / 1e6:.1f} MB)"


if __name__ == "__main__":
    command.run(main)

"""Train an artist: `python -m jaxart.train_artist --out=FILE --workdir=DIR`.

An artist is a small network that knows where the next stroke of a painting goes:
`python -m jaxart.paint PICTURE --config.slope=artist --config.artist=FILE.safetensors`
paints with it. The same command on the same folder resumes where it stopped, as if it
never had.

Source: ctmakro, "Training of Artists".
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from jaxart import command, images, malloc
from jaxart.command import Config
from jaxart.painter import artist_run
from jaxart.painter.artist_settings import ArtistSettings
from jaxart.paintings import training_data
from jaxart.validation import FilePath, build


FOLDER = "folder"
LONGEST = 512  # longer side of a folder's pictures as they are kept, in pixels


def main(
    config: Annotated[Config, "file that describes the run"] = "artist",
    *,
    out: Annotated[FilePath, "FILE.safetensors that receives the artist"],
    workdir: Annotated[FilePath, "folder of the run; if it holds one, it goes on"],
) -> None:
    """Train an artist, or go on with a run that stopped."""
    if Path(out).suffix != ".safetensors":
        raise ValueError(f"out must be FILE.safetensors; got {out}")
    settings = build(ArtistSettings, config)
    artist_run.train(settings, read_pictures(settings), Path(workdir), Path(out))


def read_pictures(settings: ArtistSettings) -> Sequence[UInt8[np.ndarray, "h w 3"]]:
    """Return the pictures that an artist learns from.

    Raises:
        ValueError: there is no such folder or dataset.
    """
    if settings.data != FOLDER:
        name = training_data.resolve(settings.data, settings.data_dir)
        records = training_data.open_records_by_name(
            name, settings.data_dir, source="", size=artist_run.WINDOW
        )
        return [record["pixels"] for record in records]
    folder = Path(settings.folder)
    if not settings.folder or not folder.is_dir():
        raise ValueError(f"folder must be one of pictures; got {settings.folder!r}")
    pictures = []
    for path in sorted(folder.iterdir()):
        try:
            picture = Image.fromarray(images.read_pixels(path))
        except images.PictureError:
            continue
        picture.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        pictures.append(np.asarray(picture))
    return pictures


if __name__ == "__main__":
    malloc.retain_freed_memory()
    command.run(main)

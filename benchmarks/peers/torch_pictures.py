"""Random crops through PyTorch's DataLoader: our input pipeline is measured against it.

As it is written where torchvision is not: a dataset over picture files that opens each
with Pillow, cuts a square out of it and hands it over as bytes. `DataLoader` shuffles,
batches and collates.

Source: the PyTorch documentation, "Datasets & DataLoaders".
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset


class Crops(Dataset):
    """A random crop of each of some pictures.

    Args:
        paths: files of pictures with room for a crop.
        size: side of the crops, in pixels.
        enough: pixels that a picture is shrunk to before it is cropped, or None if the
            files have the right size. A JPEG is then decoded at a fraction of its size.
    """

    def __init__(self, paths: Sequence[Path], size: int, enough: int | None = None):
        self._paths = paths
        self._size = size
        self._enough = enough

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self._paths[index]) as picture:
            if self._enough is not None:
                picture = self._shrunk(picture)
            left = random.randrange(picture.width - self._size + 1)
            top = random.randrange(picture.height - self._size + 1)
            box = left, top, left + self._size, top + self._size
            crop = picture.crop(box)
            if crop.mode != "RGB":
                crop = crop.convert("RGB")
            return torch.from_numpy(np.array(crop))

    def _shrunk(self, picture: Image.Image) -> Image.Image:
        shrink = (self._enough / (picture.width * picture.height)) ** 0.5
        sides = [
            max(self._size, round(side * shrink))
            for side in (picture.width, picture.height)
        ]
        picture.draft("RGB", (2 * sides[0], 2 * sides[1]))
        return picture.resize(sides, Image.Resampling.LANCZOS)


def batches(
    dataset: Crops, batch_size: int, workers: int = 0
) -> Iterator[torch.Tensor]:
    """Yield batches without end, each epoch in a new order.

    Args:
        dataset: of the crops.
        batch_size: pictures of a batch.
        workers: processes that read ahead; with 0, this one reads.
    """
    loader = DataLoader(
        dataset,
        batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        yield from loader

"""Crops of a dataset that a trained GAN is evaluated on."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from jaxart.paintings import labels, pipeline, training_data
from jaxart.paintings.labels import Labels
from jaxart.paintings.pixel_records import Subset


Pixels = UInt8[np.ndarray, "n h w 3"]
Records = Sequence[dict[str, Any]]


class Splits(NamedTuple):
    """The pictures of training, and those held out; none if none were."""

    train: Records
    held_out: Records


class Crops(NamedTuple):
    """As many crops of each kind."""

    real: Pixels  # of training pictures; samples are compared with them
    floor: Pixels  # other real crops, which are compared with them too
    # What the discriminator classifies; of as many training pictures, chosen at random,
    # as were held out. It uses the statistics of its batch, which depend on how many
    # pictures the crops are of.
    train: Pixels
    held_out: Pixels | None  # of pictures that were held out; None if none were


def open_splits(
    name: str, data_dir: str, *, source: str, size: int, floor: str
) -> Splits:
    """Open a dataset; if it has no held-out pictures, a line on stderr says so.

    Arguments and errors are those of `training_data.open_records_by_name`; `floor`,
    "train" or "held_out", is the split that must not be empty.
    """
    open_split = partial(
        training_data.open_records_by_name, name, data_dir, source=source, size=size
    )
    train = open_split()
    try:
        return Splits(train, open_split(held_out=True))
    except training_data.NoHeldOutError as error:
        if floor == "held_out":
            raise
        print(f"no accuracy on held-out pictures: {error}", file=sys.stderr)
        return Splits(train, [])


def of_classes(
    splits: Splits,
    name: str,
    data_dir: str,
    kinds: Sequence[str],
    is_asked: Callable[[Labels], bool],
    *,
    floor: str,
) -> tuple[Splits, list[Labels]]:
    """Return the pictures of both splits that are of the classes that are asked for.

    Args:
        splits: of a dataset.
        name: of the dataset.
        data_dir: folder of datasets.
        kinds: of labels; see `labels.read`.
        is_asked: whether a picture with these labels is.
        floor: "train" or "held_out": the split that must not be empty.

    Returns:
        The splits, and the labels of each training picture.

    Raises:
        ValueError: there is no such picture of training, or of the floor.
    """
    found = labels.read(name, data_dir, kinds)
    train = _indices(found, is_asked)
    if not train:
        raise ValueError("there must be pictures of what is asked for; got none")
    held_out: Records = splits.held_out
    if len(held_out):
        all_held_out = labels.read(name, data_dir, kinds, held_out=True)
        held_out = Subset(held_out, _indices(all_held_out, is_asked))
        if not len(held_out):
            text = "none of the held-out pictures is of what is asked for"
            if floor == "held_out":
                raise training_data.NoHeldOutError(text)
            print(f"no accuracy on held-out pictures: {text}", file=sys.stderr)
    return Splits(Subset(splits.train, train), held_out), [found[i] for i in train]


def _indices(found: list[Labels], is_asked: Callable[[Labels], bool]) -> list[int]:
    return [index for index, each in enumerate(found) if is_asked(each)]


def cut(splits: Splits, *, size: int, count: int, seed: int, floor: str) -> Crops:
    """Cut `count` crops of each kind, with the floor from its split.

    The seed decides their order and positions.
    """
    crops = partial(pipeline.crops, size=size, seed=seed)
    train, held_out = splits
    # Crops that follow are different ones, and of different pictures if there are more.
    real = crops(train, count=2 * count if floor == "train" else count)
    real, floor_candidates = real[:count], real[count:]
    if not len(held_out):
        return Crops(real, floor_candidates, real, None)
    order = np.random.default_rng(seed).permutation(len(train))
    subset = order[: min(len(held_out), count)]
    train_subset = [{"pixels": train[int(index)]["pixels"]} for index in subset]
    held_out_crops = crops(held_out, count=count)
    floor_crops = floor_candidates if floor == "train" else held_out_crops
    return Crops(real, floor_crops, crops(train_subset, count=count), held_out_crops)

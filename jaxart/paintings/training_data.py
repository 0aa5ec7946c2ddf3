"""Which dataset a run learns from, by name, and whether the device holds it."""

import sys
from collections.abc import Sequence
from typing import Any, Literal

from jaxart import machine
from jaxart.paintings import atlas, dataset, digits, synthetic
from jaxart.paintings.pixel_records import pixel_records


# Pictures of a small collection, about 50 kB each, are kept in memory: parsing records
# again in each epoch takes cores from the training.
MAX_CACHED_PICTURES = 4096

# Each dataset's name, and what its split is called that training never sees.
HELD_OUT = {
    "paintings": dataset.HELD_OUT,
    "mnist": "test",
    "synthetic": dataset.HELD_OUT,
}
NAMES = tuple(HELD_OUT)

# Of a device's memory what a dataset may take: the training needs the rest.
MAX_MEMORY_SHARE = 0.5

GREY = ("mnist",)  # all three channels are the same


Records = Sequence[dict[str, Any]]


class NoHeldOutError(ValueError):
    """A dataset has no pictures that training never saw."""


def resolve(name: str, data_dir: str) -> str:
    """Return the dataset that a run will read.

    That is `name`, but where no paintings were prepared and no folder was named that
    should hold them, it is `synthetic`, and a line on standard error says so.

    Raises:
        ValueError: `name` is not one of `NAMES`.
    """
    _check_name(name)
    if (
        name != "paintings"
        or data_dir
        or dataset.exists(dataset.DEFAULT_DATA_DIR, name)
    ):
        return name
    print(
        "no paintings were prepared: training on synthetic ones. For your own: "
        "python -m jaxart.prepare --source=folder --input=FOLDER",
        file=sys.stderr,
    )
    return "synthetic"


def fits_on_device(setting: bool | Literal["auto"], records: Records) -> bool:
    """Return whether a dataset will be kept in device memory; a line says so.

    The setting "auto" keeps it there if there is memory.

    Raises:
        ValueError: it was asked for, and the device has not enough memory.
    """
    if setting is False:
        return False
    needed, available = atlas.estimate_bytes(records), machine.memory_limit()
    needed_text = f"{needed / 1e9:.2f} GB"
    has = "an unknown number of" if available is None else f"{available / 1e9:.2f}"
    fits = available is not None and needed <= MAX_MEMORY_SHARE * available
    asked = setting is True
    if asked and not fits and available is not None:
        raise ValueError(
            f"data.on_device needs {MAX_MEMORY_SHARE:.0%} of a device's memory to be "
            f"at least the {needed_text} of the pictures; it has {has} GB"
        )
    where = "on the device" if asked or fits else "on the host"
    print(
        f"pictures: {needed_text}, kept {where}; a device has {has} GB", file=sys.stderr
    )
    return asked or fits


def data_dir_or_default(data_dir: str) -> str:
    """Return the folder of datasets: the one that is named, or TFDS's own."""
    return data_dir or dataset.DEFAULT_DATA_DIR


def open_records(config: Any, *, held_out: bool = False) -> Records:
    """Return the records that a run learns from, or those held out."""
    return open_records_by_name(
        config.data.name,
        config.data.data_dir,
        source=config.data.source,
        size=config.size,
        held_out=held_out,
    )


def open_records_by_name(
    name: str, data_dir: str, *, source: str, size: int, held_out: bool = False
) -> Records:
    """Return records with `pixels`, uint8, both sides at least `size`.

    Args:
        name: one of `NAMES`, as `resolve` returned it.
        data_dir: folder of datasets; empty for TFDS's own.
        source: folder with the files that a dataset is made from, where it has any.
        size: side of the crops to be cut, in pixels.
        held_out: the pictures that training never sees, instead of those it does.

    Raises:
        NoHeldOutError: it has no pictures that are held out.
        ValueError: there is no such dataset, or it cannot be made, or its pictures are
            too small.
    """
    _check_name(name)
    where = data_dir_or_default(data_dir)
    split = HELD_OUT[name] if held_out else dataset.TRAIN
    if name == "mnist":
        return digits.open_digits(where, source or None, size=size, split=split)
    if name == "synthetic":
        synthetic.prepare(where)
    info = dataset.open_builder(where, name).info
    if split not in info.splits:
        raise NoHeldOutError(
            f"{name} in {where} has no held-out split: it was prepared by an earlier "
            "version, so that training saw every picture; prepare it anew elsewhere"
        )
    if not info.splits[split].num_examples:
        share = f"{dataset.HELD_OUT_SHARE:.0%} on average are held out"
        if held_out:
            raise NoHeldOutError(
                f"{name} in {where} has no picture in its held-out split: {share}, "
                "and the collection is too small"
            )
        raise ValueError(
            f"{name} in {where} has no picture to learn from: {share}, and here all are"
        )
    metadata: Any = info.metadata
    room = metadata["size"]
    if size > room:
        raise ValueError(
            f"size must be at most the {room} pixels that {name} in {where} has room "
            f"for; got {size}"
        )
    records = pixel_records(dataset.open_source(where, name, split))
    return records if len(records) > MAX_CACHED_PICTURES else list(records)


def _check_name(name: str) -> None:
    if name == "invented":
        raise ValueError("data.name is now 'synthetic'; got 'invented'")
    if name not in NAMES:
        raise ValueError(f"data.name must be one of {NAMES}; got {name!r}")

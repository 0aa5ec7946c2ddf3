"""What is known of a dataset's pictures: style, genre, artist, title, or which digit.

Records hold labels beside their pixels, and training reads them once, before it begins:
a pass over the files of the dataset.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from tqdm import tqdm

from jaxart.paintings import dataset, training_data
from jaxart.paintings.pixel_records import EXAMPLE


# Labels that a GAN may be asked for, and the field of a record that holds each.
FIELDS = {"style": "style", "genre": "genre", "artist": "artist", "digit": "label"}
TITLE = "title"

Labels = dict[str, str]  # of a picture, by kind; empty where unknown


def read(
    name: str, data_dir: str, kinds: Sequence[str], *, held_out: bool = False
) -> list[Labels]:
    """Return labels of each picture, in the order of the records.

    Args:
        name: of a dataset that exists; see `training_data.open_records_by_name`.
        data_dir: folder of datasets; empty for TFDS's own.
        kinds: of `FIELDS`, or `TITLE`.
        held_out: of the pictures that training never sees, instead of those it does.

    Raises:
        ValueError: the dataset has no such labels, or is damaged.
    """
    where = training_data.data_dir_or_default(data_dir)
    known: Any = dataset.open_builder(where, name).info.features
    fields = {kind: FIELDS.get(kind, kind) for kind in kinds}
    missing = [kind for kind, field in fields.items() if field not in known]
    if missing:
        raise ValueError(
            f"labels that are asked for must be in the dataset; {name} in {where} has "
            f"no {' and no '.join(missing)}"
        )
    split = training_data.HELD_OUT[name] if held_out else dataset.TRAIN
    source: Any = dataset.open_source(where, name, split)
    messages = source.data_source if source else []
    return [*_parse(messages, fields)]


def _parse(messages: Any, fields: dict[str, str]) -> Iterator[Labels]:
    for index in tqdm(range(len(messages)), "labels", unit="picture", leave=False):
        features = EXAMPLE.FromString(messages[index]).features.feature
        yield {kind: _text(features[field]) for kind, field in fields.items()}


def _text(feature: Any) -> str:
    if feature.int64_list.value:
        return str(feature.int64_list.value[0])
    texts = feature.bytes_list.value
    return texts[0].decode() if texts else ""

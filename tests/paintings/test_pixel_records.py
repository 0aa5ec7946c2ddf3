"""Records read for their pixels alone hold the pixels that TFDS reads."""

import pickle

import numpy as np

from jaxart.paintings import dataset
from jaxart.paintings.pixel_records import pixel_records


def test_the_pixels_are_those_that_tfds_reads(data_dir: str):
    for split in ("train", "held_out"):
        source = dataset.open_source(data_dir, "paintings", split)
        read = pixel_records(source)
        assert len(read) == len(source)
        for ours, theirs in zip(read, source, strict=True):
            assert ours.keys() == {"pixels"}
            assert ours["pixels"].dtype == np.uint8
            np.testing.assert_array_equal(ours["pixels"], theirs["pixels"])


def test_they_travel_to_other_processes(data_dir: str):
    read = pixel_records(dataset.open_source(data_dir, "paintings"))
    there = pickle.loads(pickle.dumps(read))
    np.testing.assert_array_equal(there[3]["pixels"], read[3]["pixels"])


def test_a_split_without_records_is_empty():
    assert list(pixel_records([])) == []

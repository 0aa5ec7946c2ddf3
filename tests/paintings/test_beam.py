"""The same dataset, made by Apache Beam; skipped where it is not installed."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from jaxart.paintings import preparation, shards
from jaxart.paintings.sources import inputs


HAS_BEAM = importlib.util.find_spec("apache_beam") is not None


def content(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.skipif(not HAS_BEAM, reason="Apache Beam is not installed: jaxart[beam]")
@pytest.mark.parametrize(
    "options",
    [
        "--runner=DirectRunner",
        pytest.param(
            "--runner=DirectRunner --direct_running_mode=multi_processing "
            "--direct_num_workers=2",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_beam_makes_the_same_dataset_byte_for_byte(tmp_path, monkeypatch, options):
    collection = tmp_path / "pictures"
    collection.mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        pixels = rng.integers(0, 256, (150, 140, 3), np.uint8)
        Image.fromarray(pixels).save(collection / f"{number}.jpg")
    (collection / "page.jpg").write_text("<html>404</html>")
    monkeypatch.setattr(shards, "SHARD_SIZE", 3)
    monkeypatch.setattr(preparation, "FILE_SIZE", 4)
    paintings = inputs.open_inputs([collection])
    local = preparation.prepare(paintings, tmp_path / "here")
    on_beam = preparation.prepare(paintings, tmp_path / "there", beam_options=options)
    assert local[1:3] == on_beam[1:3]
    assert content(tmp_path / "here") == content(tmp_path / "there")


def test_options_that_are_none_of_beams_change_nothing(tmp_path):
    expected = "must be those of Apache Beam" if HAS_BEAM else "pip install 'jaxart"
    with pytest.raises(ValueError, match=expected):
        preparation.prepare([], tmp_path / "new", beam_options="--runner='Direct")
    assert list(tmp_path.iterdir()) == []

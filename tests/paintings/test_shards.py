"""Shards of a collection: planned, decoded once, and made again if they are damaged."""

import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from jaxart.paintings import shards
from jaxart.paintings.sources.files import MISSING, OnDisk
from jaxart.paintings.sources.picture import SourcePicture, make_labels


@pytest.fixture
def paintings(tmp_path):
    """Three pictures, one under a name that is no text, and one that is not there."""
    collection = tmp_path / "pictures"
    collection.mkdir()
    rng = np.random.default_rng(0)
    paintings = []
    for number in range(3):
        name = os.fsdecode(b"\xff\xfe.jpg") if number == 1 else f"{number}.jpg"
        pixels = rng.integers(0, 256, (200, 300, 3), np.uint8)
        exif = Image.Exif()
        exif[0x0112] = 6 if number == 2 else 1  # lies on its side
        Image.fromarray(pixels).save(collection / name, exif=exif)
        file = OnDisk(str(collection / name))
        paintings.append(
            SourcePicture(f"{number}.jpg", file, make_labels(artist="Zoë \n"), "a")
        )
    return [*paintings, SourcePicture("gone.jpg", MISSING, make_labels(), "a")]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shards").mkdir()
    return tmp_path / "shards"


def test_each_picture_has_a_row(paintings, folder):
    plan = shards.plan(iter(paintings), folder, size=64)
    assert plan[:3] == (4, 1, 0)
    assert shards.decode(0, folder=folder) == 4
    rows = shards.manifest_rows(folder, 0)
    assert [row["filename"] for row in rows] == [p.filename for p in paintings]
    assert [row.get("reason") for row in rows] == [None, None, None, "missing"]
    assert rows[0]["artist"] == "Zoë \n"
    assert [(r["width"], r["height"]) for r in rows[1:3]] == [(300, 200), (200, 300)]
    for row, painting in zip(rows[:3], paintings, strict=False):
        with painting.file.open() as file:
            assert row["sha256"] == hashlib.sha256(file.read()).hexdigest()


def test_the_collection_is_divided_in_its_order(paintings, folder, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_SIZE", 2)
    assert shards.plan(paintings[:3], folder, size=64)[:3] == (3, 2, 0)
    assert [shards.decode(number, folder=folder) for number in (1, 0)] == [1, 2]
    names = [row["filename"] for n in (0, 1) for row in shards.manifest_rows(folder, n)]
    assert names == ["0.jpg", "1.jpg", "2.jpg"]


@pytest.mark.parametrize("damage", ["cut", "changed", "removed", "no json"])
def test_a_damaged_shard_is_made_again_and_a_whole_one_is_not(
    paintings, folder, damage
):
    shards.plan(paintings, folder, size=64)
    shards.decode(0, folder=folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    state = {path.name: path.stat().st_ino for path in folder.iterdir()}
    shards.decode(0, folder=folder)
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == state
    records, manifest = folder / "00000.records", folder / "00000.json"
    content = records.read_bytes()
    if damage == "cut":
        records.write_bytes(content[:-1000])
    elif damage == "changed":
        records.write_bytes(content[:5000] + b"x" + content[5001:])
    elif damage == "removed":
        records.unlink()
    else:
        manifest.write_text("{")
    shards.decode(0, folder=folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_changed_picture_label_setting_or_length_is_noticed(
    paintings, folder, monkeypatch
):
    monkeypatch.setattr(shards, "SHARD_SIZE", 2)
    settings = {"size": 64}
    assert shards.plan(paintings, folder, **settings).changed == 0
    assert shards.plan(paintings, folder, **settings).changed == 0
    relabelled = paintings[0]._replace(labels=make_labels(artist="Zoe"))
    assert shards.plan([relabelled, *paintings[1:]], folder, **settings).changed == 1
    assert shards.plan(paintings, folder, **settings).changed == 1
    Image.new("RGB", (128, 128)).save(paintings[2].file.path)
    assert shards.plan(paintings, folder, **settings).changed == 1
    assert shards.plan(paintings, folder, size=32).changed == 2
    assert shards.plan(paintings[:1], folder, size=32).changed == 2
    assert sorted(path.name for path in folder.iterdir()) == ["00000.inputs"]

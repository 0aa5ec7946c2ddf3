"""Collections with one of everything that breaks programs, in every layout."""

import csv
import io
import os
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jaxart.paintings import dataset, preparation
from jaxart.paintings.sources import inputs


SIZE = 32  # of the crops
DANGLING = "7/missing/link.jpg"


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def contents(synthetic_pictures, bomb):
    """Files by name, sorted; the folder says what is to become of them."""
    pictures = [Image.fromarray(np.asarray(p.pixels)) for p in synthetic_pictures[:7]]
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.uint16(np.asarray(pictures[1].convert("L"))) * 257
    whole = encoded(pictures[6], "JPEG")
    files = {
        "1/kept/cmyk.jpg": encoded(pictures[0].convert("CMYK"), "JPEG"),
        "1/kept/deep.png": encoded(Image.fromarray(deep)),
        "1/kept/palette.gif": encoded(pictures[2].convert("P"), "GIF"),
        "1/kept/transparent.png": encoded(pictures[3].convert("RGBA")),
        "1/kept/turned.jpg": encoded(pictures[4], "JPEG", exif=exif),
        "1/kept/画家 «Дюрер» é.png": encoded(pictures[5]),
        "2/duplicate/again.gif": encoded(pictures[2].convert("P"), "GIF"),
        "2/duplicate/other.png": encoded(pictures[0]),
        "3/not a picture/empty.jpg": b"",
        "3/not a picture/page.jpg": b"<html>404</html>",
        "4/too large/bomb.png": bomb,
        "5/too small/strip.png": encoded(Image.new("RGB", (40_000, 20))),
    }
    for tenth in range(1, 10):
        name = f"6/unreadable/{tenth}.jpg"
        files[name] = whole[: len(whole) * tenth // 10]
    return files


def in_folder(root, contents):
    for name, content in contents.items():
        path = root / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / "folder" / "1" / "loop").symlink_to(root / "folder")
    (root / "folder" / DANGLING).parent.mkdir(parents=True)
    (root / "folder" / DANGLING).symlink_to(root / "nothing")
    return root / "folder"


def in_zip(root, contents):
    with zipfile.ZipFile(root / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return root / "all.zip"


def in_parquet(root, contents):
    (root / "rows").mkdir()
    rows = [{"bytes": content, "path": name} for name, content in contents.items()]
    pq.write_table(pa.table({"image": rows}), root / "rows/a.parquet", row_group_size=5)
    return root / "rows"


@pytest.mark.parametrize(
    ("layout", "processes"), [(in_folder, 1), (in_zip, 2), (in_parquet, 3)]
)
def test_nothing_crashes_and_nothing_is_lost(contents, tmp_path, layout, processes):
    paintings = list(inputs.open_inputs([layout(tmp_path, contents)]))
    files = [*contents, DANGLING] if layout is in_folder else [*contents]
    named = dict(zip((p.filename for p in paintings), files, strict=True))
    data_dir = tmp_path / "data"
    preparation.prepare(paintings, data_dir, size=SIZE, processes=processes)
    kept = {
        named[record["filename"].decode()]: record["pixels"]
        for split in ("train", "held_out")
        for record in dataset.open_source(data_dir, "paintings", split)
    }
    with (data_dir / "skipped.csv").open(encoding="utf-8") as lines:
        skipped = dict(list(csv.reader(lines))[1:])
    became = dict.fromkeys(kept, "kept")
    became |= {named[name]: reason.split(":")[0] for name, reason in skipped.items()}
    assert became == {name: name.split("/")[1] for name in files}
    assert len(kept) + len(skipped) == len(files)

    turned, grey = kept["1/kept/turned.jpg"], kept["1/kept/deep.png"]
    width, height = Image.open(io.BytesIO(contents["1/kept/turned.jpg"])).size
    assert (turned.shape[0] > turned.shape[1]) == (width > height)
    assert (grey[..., 0] == grey[..., 1]).all()
    assert grey.std() > 10


def test_names_that_are_no_utf8_are_told_apart(tmp_path):
    names = {b"caf\xe9.jpg", b"caf\xe8.jpg", b"caf\\xe9.jpg"}
    for name in names:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as file:
            file.write(name)
    paintings = list(inputs.open_inputs([tmp_path]))
    assert len({painting.filename for painting in paintings}) == 3
    assert {painting.file.open().read() for painting in paintings} == names

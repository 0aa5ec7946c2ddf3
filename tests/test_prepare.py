"""The command that makes a dataset, on collections as they are found."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxart import prepare
from jaxart.paintings import dataset


ROOT = Path(prepare.__file__).parents[1]
PAINTINGS = ROOT.parent / "shared" / "paintings"


@pytest.fixture(scope="module")
def nasty(tmp_path_factory, bomb):
    """A collection with one of everything; the folders say what is to become of it."""
    root = tmp_path_factory.mktemp("nasty")
    good, bad = root / "good", root / "bad"
    good.mkdir()
    bad.mkdir()
    picture = Image.effect_mandelbrot((200, 150), (-2, -1.5, 1, 1.5), 50)
    modes = ["1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "F"]
    for number, mode in enumerate(modes):
        converted = picture.convert("RGB").convert("L" if mode in "I;16 F" else mode)
        if mode == "I;16":
            converted = Image.fromarray(np.uint16(np.asarray(converted)) * 257)
        elif mode == "F":
            converted = converted.convert("F")
        converted.save(good / f"{number}.tif")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(good / "turned.jpg", exif=exif)
    picture.save(good / "wrong_suffix.png", "JPEG")
    picture.save(good / "UPPER.GIF")
    picture.resize((2000, 100)).save(good / "panorama.png")
    picture.save(good / "café «nuit».webp")

    picture.resize((60, 60)).save(bad / "small.png")
    picture.resize((5000, 20)).save(bad / "ribbon.png")
    whole = (good / "wrong_suffix.png").read_bytes()
    (bad / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (bad / "page.jpg").write_text("<html><body>404 Not Found</body></html>")
    (bad / "notes.txt").write_text("buy frames")
    (bad / "empty.png").touch()
    (bad / "bomb.png").write_bytes(bomb)
    (root / "labels.csv").write_text(
        "filename,title,year\ngood/panorama.png,Long,1889\ngood/gone.jpg,Gone,\n"
    )
    return root


@pytest.mark.usefixtures("in_process")
def test_a_nasty_collection_is_kept_or_skipped_file_by_file(nasty, tmp_path, capsys):
    # Many of them show the same picture.
    prepare.main(input=[str(nasty)], data_dir=str(tmp_path), keep_duplicates=True)
    out, err = capsys.readouterr()
    names = {str(path.relative_to(nasty)) for path in nasty.glob("*/*")}
    records = [
        record
        for split in ("train", "held_out")
        for record in dataset.open_source(tmp_path, "paintings", split)
    ]
    kept = {record["filename"].decode() for record in records}
    assert kept == {name for name in names if name.startswith("good")}
    with (tmp_path / "skipped.csv").open() as lines:
        skipped = dict(list(csv.reader(lines))[1:])
    reasons = {name: reason.split(":")[0] for name, reason in skipped.items()}
    assert reasons == {
        "bad/small.png": "too small",
        "bad/ribbon.png": "too small",
        "bad/truncated.jpg": "unreadable",
        "bad/page.jpg": "not a picture",
        "bad/notes.txt": "not a picture",
        "bad/empty.png": "not a picture",
        "bad/bomb.png": "too large",
        "good/gone.jpg": "missing",
    }
    shapes = {r["filename"].decode(): r["pixels"].shape for r in records}
    assert shapes["good/panorama.png"] == (64, 1280, 3)
    assert shapes["good/turned.jpg"] == (148, 111, 3)
    titles = {r["title"].decode(): r["year"].decode() for r in records}
    assert titles == {"": "", "Long": "1889"}
    closing = out.strip()
    assert closing.startswith("15 paintings kept")
    assert ", 8 skipped (3 not a picture, 2 too small, " in closing
    assert f"see {tmp_path}/skipped.csv; dataset in {tmp_path}/paintings/1.0" in closing
    assert closing.endswith(" MB)")
    assert "\n" not in closing
    assert "23/23" in err  # the progress bar


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"input": ["file"]}, "must be a folder or a zip"),
        ({"input": []}, "must name at least one"),
        ({"input": ["csv"], "source": "kaggle"}, "must hold all_data_info.csv"),
        ({"input": ["csv"], "source": "huggingface"}, "must hold parquet"),
        ({"input": ["csv", "csv"]}, "must not contain each other"),
        ({"input": ["empty"]}, "there is none"),
        ({"input": ["csv"]}, "must be a csv in UTF-8"),
        ({"input": ["empty"], "processes": -1}, "must be at least 0"),
        ({"input": ["empty"], "size": 4}, "size must be from 8 to 1024"),
        ({"input": ["empty"], "pixels": 4095}, "pixels must be from the 4,096 of one"),
        ({"input": ["empty"], "pixels": 4_194_305}, "to 4,194,304; got 4194305"),
        ({"input": ["empty"], "data_dir": "empty/data"}, "must lie outside of input"),
        ({"input": ["empty"], "data_dir": "file"}, "file"),
    ],
)
def test_bad_input_changes_nothing(tmp_path, monkeypatch, flags, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "a.csv").touch()
    (tmp_path / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises((ValueError, OSError), match=reason):
        prepare.main(**{"data_dir": "out", **flags})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("in_process")
def test_another_size_of_crops_can_be_prepared_for(nasty, tmp_path, capsys):
    settings = {"size": 32, "keep_duplicates": True}
    prepare.main(input=[str(nasty)], data_dir=str(tmp_path), **settings)
    assert "16 paintings kept" not in capsys.readouterr().out  # the ribbon stays out
    source = dataset.open_source(tmp_path, "paintings")
    assert {min(record["pixels"].shape[:2]) for record in source} == {32, 56}


@pytest.mark.usefixtures("in_process")
def test_the_area_of_the_pictures_can_be_chosen(nasty, tmp_path):
    settings = {"pixels": 5000, "keep_duplicates": True}
    prepare.main(input=[str(nasty)], data_dir=str(tmp_path), **settings)
    sides = [r["pixels"].shape[:2] for r in dataset.open_source(tmp_path, "paintings")]
    assert all(min(s) >= 64 and s[0] * s[1] >= 5000 for s in sides)
    assert min(s[0] * s[1] for s in sides) < 1.1 * 5000


@pytest.mark.slow
@pytest.mark.skipif(not PAINTINGS.is_dir(), reason="no paintings beside the repository")
def test_real_paintings_are_kept_or_named(tmp_path, capsys):
    prepare.main(input=[str(PAINTINGS)], data_dir=str(tmp_path))
    source = dataset.open_source(tmp_path, "paintings")
    held_out = dataset.open_source(tmp_path, "paintings", "held_out")
    with (tmp_path / "skipped.csv").open() as lines:
        skipped = list(csv.reader(lines))[1:]
    count = len(source) + len(held_out) + len(skipped)
    assert count == len(list(PAINTINGS.glob("*.jpg"))) == 400
    for name, reason in skipped:
        if reason.startswith("duplicate: of "):
            continue
        width, height = Image.open(PAINTINGS / name).size
        assert reason.startswith(f"too small: {width} x {height}")
        assert width * height < 16_384
    reasons = [reason.split(":")[0] for _, reason in skipped]
    assert sorted(reasons) == ["duplicate", "too small", "too small", "too small"]
    assert source[1]["title"] == b"The Starry Night"
    kept = f"{len(source) + len(held_out)} paintings kept"
    assert f"{kept} ({len(held_out)} of them held out)" in capsys.readouterr().out


@pytest.fixture(scope="module")
def two_collections(tmp_path_factory, synthetic_pictures):
    """A few synthetic paintings as WikiArt has them, and poorer copies elsewhere."""
    root = tmp_path_factory.mktemp("two")
    (root / "wikiart" / "Post_Impressionism").mkdir(parents=True)
    (root / "mine").mkdir()
    lines = ["filename,artist,style,genre,year"]
    for number, picture in enumerate(synthetic_pictures[:6]):
        name = f"claude-monet_work-{number}-1889.png"
        image = Image.fromarray(np.asarray(picture.pixels))
        if number < 4:
            image.save(root / "wikiart" / "Post_Impressionism" / name)
        if number > 1:
            image.resize((300, 300)).save(root / "mine" / f"{number}.jpg", quality=70)
            lines.append(f"{number}.jpg,Claude Monet,post-impressionism,,c. 1890")
    (root / "mine" / "labels.csv").write_text("\n".join(lines))
    (root / "mine" / "broken.jpg").write_text("<script>alert(1)</script>")
    return [str(root / "wikiart"), str(root / "mine")]


def everything(data_dir):
    """Return all records by filename."""
    return {
        record["filename"].decode(): {**record, "split": split}
        for split in ("train", "held_out")
        for record in dataset.open_source(data_dir, "paintings", split)
    }


@pytest.mark.usefixtures("in_process")
def test_two_collections_become_one_without_copies(two_collections, tmp_path, capsys):
    page = tmp_path / "pages" / "report.html"
    prepare.main(two_collections, str(tmp_path / "data"), report=str(page))
    records = everything(tmp_path / "data")
    wikiart = [
        f"wikiart/Post_Impressionism/claude-monet_work-{n}-1889.png" for n in range(4)
    ]
    assert set(records) == {*wikiart, "folder/4.jpg", "folder/5.jpg"}
    for label, value in (
        ("artist", b"Claude Monet"),
        ("style", b"Post-Impressionism"),
    ):
        assert {record[label] for record in records.values()} == {value}
    assert records["folder/4.jpg"]["source"] == b"folder"
    assert records["folder/4.jpg"]["year"] == b"1890"
    with (tmp_path / "data" / "skipped.csv").open() as lines:
        skipped = dict(list(csv.reader(lines))[1:])
    assert skipped == {
        "folder/2.jpg": f"duplicate: of {wikiart[2]}",
        "folder/3.jpg": f"duplicate: of {wikiart[3]}",
        "folder/broken.jpg": "not a picture",
    }
    printed = capsys.readouterr().out
    assert "style: 1 name in 2 spellings (Post Impressionism = post-imp" in printed
    assert "3 skipped (2 duplicate, 1 not a picture)" in printed
    metadata = dataset.open_builder(tmp_path / "data", "paintings").info.metadata
    assert isinstance(metadata, dict)
    assert metadata["vocabulary"]["artist"] == {
        "Claude Monet": ["Claude Monet", "claude monet"]
    }
    text = page.read_text()
    assert "<h1>6 paintings</h1>" in text
    assert "<h3>duplicate: 2</h3>" in text
    assert "&lt;script&gt;" not in text  # a broken file's content is nowhere


def test_copies_are_kept_on_demand(two_collections, tmp_path):
    prepare.main(two_collections, str(tmp_path), processes=2, keep_duplicates=True)
    assert len(everything(tmp_path)) == 8


def test_somebody_elses_report_stops_the_work_before_it_begins(
    two_collections, tmp_path
):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(FileExistsError, match="was not written by jaxart"):
        prepare.main(
            two_collections,
            str(tmp_path / "data"),
            report=str(tmp_path / "report.html"),
        )
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


@pytest.mark.usefixtures("in_process")
def test_rows_without_a_picture_are_counted(tmp_path, caplog):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.effect_noise((150, 140), 90).convert("RGB").save(folder / "a.png")
    rows = "filename;title\nA.PNG;Found\nb.png;Lost\nc.png;Lost, too\n;\n"
    (folder / "labels.csv").write_text(rows)
    prepare.main([str(folder)], str(tmp_path / "data"))
    [message] = [record.getMessage() for record in caplog.records]
    assert message.startswith("2 rows of labels match no file, b.png among them")
    [record] = everything(tmp_path / "data").values()
    assert record["title"] == b"Found"

"""Kaggle, WikiArt, Best Artworks and Hugging Face, as their files are."""

import pickle

import numpy as np
import pyarrow as pa
import pytest

from jaxart.images import PictureError
from jaxart.paintings.sources import (
    best_artworks,
    files,
    huggingface,
    inputs,
    kaggle,
    wikiart,
)
from jaxart.paintings.sources.files import OnDisk
from jaxart.paintings.sources.picture import make_labels


KAGGLE = (
    "artist,date,genre,pixelsx,pixelsy,size_bytes,source,style,title,artist_group,"
    "in_train,new_filename\n"
)
TRAIN_INFO = "filename,artist,title,style,genre,date\n"


def read(reader, root):
    return {p.filename: p.labels for p in reader.read(files.tree(root))}


def test_kaggles_catalogue_describes_pictures_wherever_they_are(write, write_zip):
    root = write({
        "all_data_info.csv": KAGGLE
        + 'Claude Monet,c.1889,landscape,1,1,9.0,wikiart,Impressionism,"Haystacks,\n'
        + 'late summer",test_only,False,12.jpg\n'
        + "Paul Klee,1922.0,,1,1,9.0,wikiart,Cubism,Senecio,train_only,True,3.jpg\n"
        + "Nobody,,,1,1,9.0,wikiart,,,train_only,True,7.jpg\n",
        "train/3.jpg": "three",
        "train/99.jpg": "?",
    })  # fmt: skip
    write_zip({"test/12.jpg": "twelve"}, "collection/test.zip")
    monet = make_labels(
        title="Haystacks,\nlate summer",
        artist="Claude Monet",
        style="Impressionism",
        genre="landscape",
        year="c.1889",
    )
    klee = make_labels(
        title="Senecio", artist="Paul Klee", style="Cubism", year="1922.0"
    )
    assert kaggle.matches(files.tree(root))
    assert read(kaggle, root) == {
        "test.zip/test/12.jpg": monet,
        "train/3.jpg": klee,
        "train/99.jpg": make_labels(),
        "7.jpg": make_labels(artist="Nobody"),
    }
    *_, last = kaggle.read(files.tree(root))
    assert last.file == files.MISSING


def test_a_hash_is_no_artist(write):
    root = write({
        "train_info.csv": TRAIN_INFO + "1.jpg,0123abcd,Title,Rococo,portrait,1750\n",
        "train/1.jpg": "",
    })  # fmt: skip
    [labels] = read(kaggle, root).values()
    assert labels == make_labels(
        title="Title", style="Rococo", genre="portrait", year="1750"
    )


def test_kaggles_better_catalogue_wins_even_from_its_zip(write, write_zip):
    root = write({"train_info.csv": TRAIN_INFO, "train/1.jpg": ""})
    row = "Artist,,,1,1,1,,,Better,,True,1.jpg\n"
    write_zip({"all_data_info.csv": KAGGLE + row}, "collection/all_data_info.csv.zip")
    assert read(kaggle, root) == {
        "train/1.jpg": make_labels(title="Better", artist="Artist")
    }


def test_replacements_of_damaged_pictures_have_their_labels(write):
    root = write({
        "train_info.csv": TRAIN_INFO + "1.jpg,x,Title,,,\n",
        "train/1.jpg": "damaged",
        "replacements/train/1.jpg": "whole",
    })  # fmt: skip
    assert set(read(kaggle, root)) == {"train/1.jpg", "replacements/train/1.jpg"}
    assert all(labels["title"] == "Title" for labels in read(kaggle, root).values())


WIKIART = {
    "Art_Nouveau_Modern/alphonse-mucha_job-1896.jpg": "",
    "Pop_Art/andy-warhol_soup-can-1962(1).jpg": "",
    "Pop_Art/peter-phillips_untitled.jpg": "",
    "Impressionism/armand-guillaumin_vall%C3%A9e.jpg": "",
    "Impressionism/camille-pissarro_l-ã®le-lacroix-1888.jpg": "",
}


def test_wikiarts_names_tell_artist_title_style_and_year(write):
    root = write(WIKIART)
    assert wikiart.matches(files.tree(root))
    labels = read(wikiart, root)
    assert labels["Art_Nouveau_Modern/alphonse-mucha_job-1896.jpg"] == make_labels(
        title="job", artist="alphonse mucha", style="Art Nouveau Modern", year="1896"
    )
    assert labels["Pop_Art/andy-warhol_soup-can-1962(1).jpg"] == make_labels(
        title="soup can", artist="andy warhol", style="Pop Art", year="1962"
    )
    assert labels["Pop_Art/peter-phillips_untitled.jpg"]["year"] == ""


def test_wikiarts_lists_are_matched_exactly_first_and_through_mojibake(write):
    root = write(
        WIKIART
        | {
            "Rococo/a_b.jpg": "",
            "Rococo/ä_b.jpg": "",
            "lists/genre_class.txt": "0 abstract_painting\n1 landscape\n\n",
            "lists/genre_train.csv": "path,class\n"
            "Impressionism/camille-pissarro_l-Ã®le-lacroix-1888.jpg,1\n"
            "Rococo/a_b.jpg,0\n",
            "lists/genre_val.csv": "Rococo/gone_away-1750.jpg,1\nRococo/ä_b.jpg,1\n",
            "lists/artist_class.txt": "4 Camille_Pissarro\n",
            "lists/artist_train.csv": (
                "Impressionism/camille-pissarro_l-île-lacroix-1888.jpg,4\n"
            ),
        }
    )
    labels = read(wikiart, root)
    island = labels["Impressionism/camille-pissarro_l-ã®le-lacroix-1888.jpg"]
    assert island["genre"] == "landscape"
    assert labels["Rococo/a_b.jpg"]["genre"] == "abstract painting"
    assert labels["Rococo/ä_b.jpg"]["genre"] == "landscape"
    *_, gone = wikiart.read(files.tree(root))
    assert (gone.file, gone.labels["title"]) == (files.MISSING, "away")


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("genre_class.txt", "zero landscape\n", "line 1 must be a number and a name"),
        ("genre_class.txt", b"0 caf\xe9\n", "must be a text in UTF-8"),
        (
            "genre_train.csv",
            "a/b.jpg,0\na/c.jpg\n",
            "line 2 must be a path and a class",
        ),
        ("genre_train.csv", "a/b.jpg,0\na/c.jpg,x\n", "got 'a/c.jpg,x'"),
        ("genre_train.csv", '"' + 140_000 * "x", "must be a csv: field larger"),
        ("genre_val.csv", "a/b.jpg,7\n", "line 1: genre_class.txt has no class 7"),
    ],
)
def test_a_broken_list_is_refused_in_one_line(write, name, content, reason):
    root = write({"genre_class.txt": "0 landscape\n", "a/b.jpg": "", name: content})
    with pytest.raises(ValueError, match=reason) as refusal:
        list(inputs.open_inputs([root]))
    assert name in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_best_artworks_spell_their_artists_as_the_list_does(write):
    root = write({
        "artists.csv": "id,name,years,genre\n"
        '0,Albrecht Dürer,1471 - 1528,Northern Renaissance\n'
        '1,Paul Klee,1879 - 1940,"Expressionism,Abstractionism"\n',
        "images/images/Albrecht_DuΓòá├¬rer/Albrecht_DuΓòá├¬rer_1.jpg": "",
        "images/images/Paul_Klee/Paul_Klee_12.jpg": "",
        "resized/resized/Paul_Klee_12.jpg": "",
        "resized/resized/Piet_Mondrian_3.jpg": "",
    })  # fmt: skip
    assert best_artworks.matches(files.tree(root))
    assert list(read(best_artworks, root).values()) == [
        make_labels(artist="Albrecht Dürer", style="Northern Renaissance"),
        make_labels(artist="Paul Klee"),
        make_labels(artist="Paul Klee"),
        make_labels(artist="Piet Mondrian"),
    ]


CLASSES = {
    "artist": ["claude-monet", "Unknown Artist"],
    "genre": ["landscape", "Unknown Genre"],
    "style": ["Impressionism", "Pop_Art"],
}


def test_parquet_rows_have_pictures_and_names_of_classes(write_parquet):
    contents = [bytes([number]) * 9 for number in range(8)]
    root = write_parquet(
        {
            "image": [{"bytes": content, "path": None} for content in contents],
            "artist": [0, 1] * 4,
            "genre": [0, None, 7, -1] * 2,
            "style": [1] * 8,
        },
        CLASSES,
    )
    paintings = list(huggingface.read(files.tree(root)))
    assert [p.filename.rsplit("/")[-1] for p in paintings[:2]] == ["000000", "000001"]
    assert [p.labels["genre"] for p in paintings] == ["landscape", "", "", ""] * 2
    assert paintings[0].labels == make_labels(
        artist="claude-monet", genre="landscape", style="Pop_Art"
    )
    paintings = pickle.loads(pickle.dumps(paintings))
    assert [p.file.open().read() for p in paintings] == contents
    assert [p.file.open().read() for p in paintings[::-1]] == contents[::-1]
    assert paintings[4].file.open().read() == contents[4]


def test_a_row_without_a_picture_is_missing(write_parquet):
    root = write_parquet(
        {
            "image": [{"bytes": None, "path": "/etc/passwd"}, None],
            "title": ["A", None],
            "year": [1889, None],
        },
        {},
    )
    first, second = huggingface.read(files.tree(root))
    assert first.labels == make_labels(title="A", year="1889")
    assert second.labels == make_labels()
    for painting in (first, second):
        with pytest.raises(PictureError, match=r"^missing$"):
            painting.file.open()


def test_a_parquet_file_that_is_none_is_refused_in_one_line(write, write_parquet):
    with pytest.raises(ValueError, match=r"a\.parquet must be a parquet file of pict"):
        list(inputs.open_inputs([write({"a.parquet": "hello"})]))
    root = write_parquet({"text": ["hello"]}, {})
    with pytest.raises(ValueError, match="has no column image; got"):
        list(inputs.open_inputs([root]))


def test_a_parquet_file_that_is_cut_off_later_is_unreadable(write_parquet):
    root = write_parquet({"image": [b"picture" * 99]}, {})
    [painting] = huggingface.read(files.tree(root))
    path = next(root.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(PictureError, match=r"^unreadable: "):
        painting.file.open()


def test_a_row_whose_path_is_no_text_is_unreadable(write_parquet):
    starts, text = pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")
    paths = pa.StringArray.from_buffers(1, starts, text)
    images = pa.StructArray.from_arrays([pa.array([b"x"]), paths], ["bytes", "path"])
    [painting] = inputs.open_inputs([write_parquet({"image": images}, {})])
    with pytest.raises(PictureError, match="unreadable: 'utf-8' codec"):
        painting.file.open()


def test_a_relative_input_is_found_from_everywhere(write, monkeypatch, tmp_path):
    write({"a.jpg": "a"})
    monkeypatch.chdir(tmp_path)
    [painting] = inputs.open_inputs(["collection"])
    assert painting.file == OnDisk(str(tmp_path / "collection" / "a.jpg"))


def test_kaggles_catalogue_may_come_from_another_system(tmp_path):
    for name in ("train/1.JPG", "train/11.jpg", "train/1 (1).jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    table = "filename;title\r\ntrain\\1.jpg;One\r\n11.JPG;Eleven\r\n;\r\n"
    (tmp_path / "train_info.csv").write_text(table)
    found = {p.filename: p.labels["title"] for p in kaggle.read(files.tree(tmp_path))}
    assert found == {
        "train/1.JPG": "One",
        "train/11.jpg": "Eleven",
        "train/1 (1).jpg": "",
    }


def test_wikiarts_lists_may_come_from_another_system(tmp_path):
    (tmp_path / "Cubism").mkdir()
    (tmp_path / "Cubism" / "pablo-picasso_guernica.jpg").touch()
    (tmp_path / "genre_class.txt").write_text("3 portrait\n")
    line = "C:\\wikiart\\Cubism\\Pablo-Picasso_guernica.JPG;3\n\n"
    (tmp_path / "genre_train.csv").write_text(line)
    [painting] = wikiart.read(files.tree(tmp_path))
    assert painting.labels["genre"] == "portrait"

"""A folder of pictures, and the csv that may lie in it."""

import os

import pytest

from jaxart.paintings.sources import files, folder
from jaxart.paintings.sources.picture import LABELS


def fill(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def read(root):
    return list(folder.read(files.tree(root)))


def names(root):
    return [painting.filename for painting in read(root)]


def test_files_of_all_folders_come_sorted_and_with_any_suffix(tmp_path):
    fill(tmp_path, "b.jpg", "a/z.png", "a/b/c.tif", "notes.txt", "A.JPG", "c")
    expected = ["A.JPG", "b.jpg", "c", "notes.txt", "a/z.png", "a/b/c.tif"]
    assert names(tmp_path) == expected
    for painting in read(tmp_path):
        with painting.file.open() as content:
            assert content.read() == b""


def test_hidden_files_and_csvs_are_passed_over(tmp_path):
    fill(tmp_path, "a.jpg", ".DS_Store", ".git/b.jpg", "below/labels.CSV", "._a.jpg")
    assert names(tmp_path) == ["a.jpg"]


def test_links_are_followed_once_and_never_in_circles(tmp_path):
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    fill(root, "a.jpg")
    fill(elsewhere, "b.jpg")
    for name in ("first", "second"):
        (root / name).symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    (root / "dangling.jpg").symlink_to(tmp_path / "nothing")
    assert names(root) == ["a.jpg", "dangling.jpg", "first/b.jpg"]


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    assert names(tmp_path) == []


def test_names_that_are_no_utf8_can_be_stored(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.jpg", "wb"):
        pass
    [painting] = read(tmp_path)
    assert painting.filename.encode() == b"caf\\xe9.jpg"
    painting.file.open().close()


def test_labels_come_from_the_csv(tmp_path):
    fill(tmp_path, "a.jpg", "below/b.jpg", "below/c.jpg", "d.jpg")
    (tmp_path / "any.csv").write_bytes(
        "Title, filename ,price,artist\n"
        '"Nuit, étoilée",./a.jpg,7,Van Gogh\n'
        "\n"
        "By path,below/b.jpg,7,\n"
        "By name,c.jpg,7, Klee \n".encode("utf-8-sig")
    )
    labels = {p.filename: p.labels for p in read(tmp_path)}
    nothing = dict.fromkeys(LABELS, "")
    assert labels == {
        "a.jpg": nothing | {"title": "Nuit, étoilée", "artist": "Van Gogh"},
        "d.jpg": nothing,
        "below/b.jpg": nothing | {"title": "By path"},
        "below/c.jpg": nothing | {"title": "By name", "artist": "Klee"},
    }


def test_a_name_that_occurs_twice_is_not_guessed(tmp_path):
    fill(tmp_path, "one/a.jpg", "two/a.jpg")
    (tmp_path / "any.csv").write_text("filename,title\na.jpg,Which?\n")
    assert [p.labels["title"] for p in read(tmp_path)] == ["", "", "Which?"]


@pytest.mark.parametrize("name", ["gone.jpg", "../secret.jpg", "/etc/passwd"])
def test_a_line_without_a_file_in_the_folder_is_missing(tmp_path, name):
    root = tmp_path / "root"
    fill(root, "a.jpg")
    fill(tmp_path, "secret.jpg")
    (root / "any.csv").write_text(f"filename,title\n{name},Gone\n")
    *_, last = read(root)
    assert (last.filename, last.labels["title"]) == (name, "Gone")
    assert last.file == files.MISSING


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no column named filename"),
        (b"name,title\na.jpg,A\n", "no column named filename"),
        (b"filename,title\na.jpg\n", "line 2 has 1 cells, not 2"),
        (b"filename,title\na.jpg,A,B\n", "line 2 has 3 cells, not 2"),
        (b'filename,title\na.jpg,"A\n', "unexpected end of data"),
        (b"filename,title\na.jpg,caf\xe9\n", "can't decode"),
        (b"filename,title\na.jpg," + b"x" * 200_000, "field larger than"),
        (b"filename,title\na.jpg,A\na.jpg,B\n", "line 3: a.jpg comes twice"),
        (b"filename,title\na.jpg,A\n./a.jpg,B\n", "line 3: a.jpg comes twice"),
    ],
)
def test_a_broken_csv_is_refused_in_one_line(tmp_path, content, reason):
    fill(tmp_path, "a.jpg")
    (tmp_path / "any.csv").write_bytes(content)
    with pytest.raises(ValueError, match=reason) as refusal:
        read(tmp_path)
    assert "any.csv" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_two_csvs_are_refused(tmp_path):
    fill(tmp_path, "a.csv", "b.csv")
    with pytest.raises(ValueError, match=r"csv of labels at most; got a\.csv, b\.csv"):
        read(tmp_path)


def test_a_folder_that_is_none_is_refused(tmp_path):
    fill(tmp_path, "a.jpg")
    with pytest.raises(ValueError, match="must be a folder or a zip; got"):
        files.tree(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match="does not exist"):
        files.tree(tmp_path / "b")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_any_delimiter_is_recognised_and_empty_rows_are_none(tmp_path, delimiter):
    fill(tmp_path, "a.jpg", "Below/b.jpg")
    lines = [
        "filename,title",
        r"A.JPG,Night",
        ",",
        " , ",
        ",,,",
        r"below\b.jpg,Day",
    ]
    table = "\r\n".join(lines).replace(",", delimiter)
    (tmp_path / "any.csv").write_text(table)
    found = {painting.filename: painting.labels["title"] for painting in read(tmp_path)}
    assert found == {"a.jpg": "Night", "Below/b.jpg": "Day"}


def test_a_row_without_a_name_is_missing_by_its_line(tmp_path):
    fill(tmp_path, "a.jpg")
    (tmp_path / "any.csv").write_text("filename,title\n,A\n,B\n")
    assert names(tmp_path) == ["a.jpg", "any.csv, line 2", "any.csv, line 3"]

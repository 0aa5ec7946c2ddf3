"""Files on disk and in zips, broken ones included."""

import os
import pickle
import struct
import tracemalloc
import zipfile

import pytest

from jaxart.images import PictureError
from jaxart.paintings.sources import files


def content(file):
    with file.open() as opened:
        return opened.read()


def reason(file):
    with pytest.raises(PictureError) as refusal:
        file.open()
    return str(refusal.value)


def test_members_of_a_zip_come_in_its_place_and_can_be_read_again(write, write_zip):
    root = write({"a.jpg": "a", "z.jpg": "z"})
    write_zip({"in/2.jpg": "two", "in/1.jpg": "one" * 999}, "collection/pack.zip")
    tree = files.tree(root)
    assert list(tree) == ["a.jpg", "pack.zip/in/1.jpg", "pack.zip/in/2.jpg", "z.jpg"]
    assert [content(file) for file in tree.values()] == [
        b"a",
        b"one" * 999,
        b"two",
        b"z",
    ]
    travelled = pickle.loads(pickle.dumps(tree))
    assert travelled == tree
    opened = travelled["pack.zip/in/1.jpg"].open()
    assert opened.read() == opened.seek(0) * b"" + b"one" * 999


def test_a_zip_is_a_collection_of_its_own(write_zip):
    tree = files.tree(write_zip({"b/1.jpg": "1", "a.jpg": "a"}))
    assert list(tree) == ["a.jpg", "b/1.jpg"]
    assert content(tree["b/1.jpg"]) == b"1"


def test_what_systems_add_to_zips_is_passed_over(write_zip):
    names = ["a.jpg", "__MACOSX/._a.jpg", ".DS_Store", "b/.hidden/c.jpg", "empty/"]
    assert list(files.tree(write_zip(dict.fromkeys(names, "")))) == ["a.jpg"]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../a.jpg", "b/../../c", "C:/a.jpg"]
)
def test_a_name_that_leads_out_of_its_zip_is_refused(write_zip, name):
    [file] = files.tree(write_zip({name: "x"})).values()
    assert reason(file) == "unreadable: its name leads out of its zip"


def test_an_encrypted_member_is_refused(write_zip):
    path = write_zip({"a.jpg": "secret", "b.jpg": "open"})
    packed = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(signature) + offset] |= 1
    path.write_bytes(packed)
    encrypted, plain = files.tree(path).values()
    assert reason(encrypted) == "unreadable: encrypted in its zip"
    assert content(plain) == b"open"


def test_a_bomb_is_refused_before_it_is_unpacked(write_zip, monkeypatch):
    path = write_zip({"bomb.jpg": bytes(3_000_000)})
    assert path.stat().st_size < 5_000
    [bomb] = files.tree(path).values()
    monkeypatch.setattr(files, "MAX_MEMBER_BYTES", 2_999_999)
    assert reason(bomb) == (
        "too large: 3,000,000 bytes in its zip; at most 2,999,999 are unpacked"
    )


def test_a_bomb_that_lies_about_its_size_is_not_unpacked_beyond_it(write_zip):
    path = write_zip({"bomb.jpg": bytes(3_000_000)})
    packed = bytearray(path.read_bytes())
    at = packed.index(b"PK\x01\x02")
    struct.pack_into("<I", packed, at + 24, 1000)  # the size that it claims
    path.write_bytes(packed)
    [bomb] = files.tree(path).values()
    tracemalloc.start()
    assert reason(bomb).startswith("unreadable: Bad CRC-32")
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_what_might_unpack_without_end_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.jpg", "x")
    [file] = files.tree(tmp_path / "a.zip").values()
    assert reason(file) == "unreadable: neither stored nor deflated in its zip"


@pytest.mark.parametrize("name", [".", "\0a.jpg"])
def test_a_member_without_a_name_is_refused(write_zip, name):
    path = write_zip({"?" * len(name): "x"})
    path.write_bytes(path.read_bytes().replace(b"?" * len(name), name.encode()))
    [file] = files.tree(path).values()
    assert reason(file) == "unreadable: it has no name in its zip"


def test_a_zip_of_a_later_kind_is_unreadable(write, write_zip):
    packed = bytearray(write_zip({"a.jpg": "a"}).read_bytes())
    packed[packed.index(b"PK\x01\x02") + 6] = 99
    [file] = files.tree(write({"later.zip": bytes(packed)})).values()
    assert reason(file) == "unreadable: zip file version 9.9"


def test_what_cannot_be_listed_or_leads_nowhere_is_named(write, monkeypatch):
    root = write({"a.jpg": "a", "closed/b.jpg": "b"})
    (root / "gone.jpg").symlink_to(root / "nowhere.jpg")
    listed = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scandir)
    tree = files.tree(root)
    assert content(tree.pop("a.jpg")) == b"a"
    assert {name: reason(file) for name, file in tree.items()} == {
        "closed": "unreadable: Permission denied",
        "gone.jpg": "missing",
    }


def test_a_zip_in_a_zip_is_named_as_such(write_zip):
    inner = write_zip({"a.jpg": "a"}, "inner.zip").read_bytes()
    [file] = files.tree(write_zip({"inner.zip": inner})).values()
    assert reason(file) == "not a picture: a zip in a zip; unpack the outer one"


def test_a_damaged_zip_is_one_unreadable_file(write, write_zip):
    whole = write_zip({"a.jpg": "a" * 999}, "collection/cut.zip").read_bytes()
    root = write({"cut.zip": whole[: len(whole) // 2], "not.zip": "hello"})
    tree = files.tree(root)
    assert list(tree) == ["cut.zip", "not.zip"]
    assert {reason(file) for file in tree.values()} == {
        "unreadable: File is not a zip file"
    }


def test_a_damaged_member_is_unreadable(write_zip):
    path = write_zip({"a.jpg": bytes(range(256)) * 9, "b.jpg": "fine"})
    packed = bytearray(path.read_bytes())
    packed[60:80] = bytes(20)
    path.write_bytes(packed)
    damaged, fine = files.tree(path).values()
    assert reason(damaged).startswith("unreadable: ")
    assert content(fine) == b"fine"


def test_a_link_in_a_zip_is_refused(tmp_path):
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    [file] = files.tree(tmp_path / "a.zip").values()
    assert reason(file) == "unreadable: a link in a zip"


def test_what_cannot_be_opened_says_why(tmp_path):
    assert reason(files.OnDisk(str(tmp_path / "gone.jpg"))) == "missing"
    assert reason(files.OnDisk(str(tmp_path))) == "unreadable: Is a directory"
    assert reason(files.InZip(str(tmp_path / "gone.zip"), "a")) == "missing"
    assert reason(files.MISSING) == "missing"


def test_names_in_other_encodings_can_be_stored_and_opened(write_zip):
    path = write_zip({"café.jpg": "x"})
    packed = path.read_bytes().replace("é".encode(), b"\xe9\xe9")
    for flagged in (b"\x00\x08\x08\x00", b"\x00\x08\x00\x00"):
        packed = packed.replace(flagged, b"\x00\x00" + flagged[2:])
    path.write_bytes(packed)
    [(name, file)] = files.tree(path).items()
    assert name.encode("utf-8").startswith(b"caf")
    assert content(file) == b"x"

"""Lookup of mangled filenames."""

import pytest

from jaxart.paintings.sources.tables import Lookup, match


@pytest.mark.parametrize(
    "mangled",
    [
        "Dürer",
        "Du\N{COMBINING DIAERESIS}rer",
        "Durer",
        "DÃ¼rer",
        "D_rer",
        "D?rer",
        "DuΓòá├¬rer",
        "dürer",
    ],
)
def test_a_mangled_name_is_found(mangled):
    assert Lookup({"Dürer": 1, "Holbein": 2}).find(mangled) == 1


def test_an_exact_name_takes_precedence():
    lookup = Lookup({"ä/b": 1, "ö/b": 2, "a/b": 3})
    assert [lookup.find(name) for name in ("ä/b", "ö/b", "a/b")] == [1, 2, 3]


def test_an_ambiguous_name_is_not_guessed():
    lookup = Lookup({"ä/b": 1, "ö/b": 2})
    assert lookup.find("ü/b") is None
    assert lookup.find("c/b") is None


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.jpg", "a.jpg"),
        ("A.JPG", "a.jpg"),
        (r".\A.jpg", "a.jpg"),
        (r"x\b.jpg", "x/b.jpg"),
        ("B.jpg", "x/b.jpg"),
        (r"C:\art\x\b.jpg", "x/b.jpg"),
        ("/home/me/art/x/b.jpg", "x/b.jpg"),
        (
            "caf\N{LATIN SMALL LETTER E WITH ACUTE}.jpg",
            "cafe\N{COMBINING ACUTE ACCENT}.jpg",
        ),
        ("café.jpg", "cafÃ©.jpg"),
        ("café.jpg", "caf├⌐.jpg"),
        ("cafÃ©.jpg", "café.jpg"),
        ("café.jpg", r"caf\xe9.jpg"),
        ("x/b.jpg", r"x\b.jpg"),
    ],
)
def test_a_name_of_another_system_is_matched(name, path):
    assert match([name], [path, "other.jpg", "y/else.jpg"]) == {name: path}


@pytest.mark.parametrize(
    ("names", "paths"),
    [
        (["c.jpg"], ["a.jpg"]),
        (["B.JPG"], ["x/b.jpg", "y/b.jpg"]),
        (["A.JPG"], ["a.jpg", "a.Jpg"]),
        (["train/1.jpg", "test/1.jpg"], ["1.jpg"]),
        (["A.jpg", "a.JPG"], ["a.jpg"]),
        (["b.jpg"], ["ab.jpg"]),
        (["画.jpg"], ["絵.jpg"]),
        (["1 (1).jpg"], ["11.jpg"]),
    ],
)
def test_a_name_that_may_be_another_one_is_not_matched(names, paths):
    assert match(names, paths) == {}


def test_an_exact_match_comes_before_others():
    assert match(["A.jpg", "a.jpg"], ["a.jpg", "b.jpg"]) == {"a.jpg": "a.jpg"}
    names = ["x/1.jpg", "1.jpg"]
    assert match(names, ["x/1.jpg", "1.jpg"]) == {name: name for name in names}

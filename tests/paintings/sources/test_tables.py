"""Lookup of mangled filenames."""

import pytest

from jaxart.paintings.sources.tables import Lookup


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

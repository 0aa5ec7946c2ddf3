"""Spellings that become one name, and dates that become years."""

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxart.paintings import vocabulary
from jaxart.paintings.sources.picture import make_labels


# A machine that is busy elsewhere is not slow code.
patiently = settings(deadline=None, max_examples=60)


def fold(kind, *spellings):
    """Return the names of spellings that stand in one collection."""
    labels = [make_labels(**{kind: spelling}) for spelling in spellings]
    built = vocabulary.build(labels)
    return [built.normalise(spelled)[kind] for spelled in labels]


@pytest.mark.parametrize(
    ("kind", "spellings", "name"),
    [
        ("style", ["Post_Impressionism", "post-impressionism"], "Post-Impressionism"),
        (
            "style",
            ["Naive_Art_Primitivism", "Naïve Art (Primitivism)", "naive art"],
            "Naïve Art (Primitivism)",
        ),
        ("style", ["Art_Nouveau", "Art_Nouveau_Modern"], "Art Nouveau (Modern)"),
        ("style", ["Ukiyo_e", "Ukiyo-e", "ukiyoe"], "Ukiyo-e"),
        ("style", ["Tachisme", "tachisme"], "Tachisme"),
        ("genre", ["abstract", "abstract_painting"], "abstract painting"),
        ("genre", ["nude painting (nu)", "Nude_Painting"], "nude painting"),
        ("genre", ["Marina", "marina"], "marina"),
        (
            "artist",
            ["vincent-van-gogh", "Vincent van Gogh", "Gogh, Vincent van"],
            "Vincent van Gogh",
        ),
        ("artist", ["albrecht-durer", "Albrecht Dürer"], "Albrecht Dürer"),
        ("artist", ["Jan Łukasz Ørsted", "jan-lukasz-orsted"], "Jan Łukasz Ørsted"),
        ("artist", ["claude-monet"], "Claude Monet"),
        ("artist", ["Jean-Auguste-Dominique Ingres"], "Jean-Auguste-Dominique Ingres"),
        ("artist", ["葛飾 北斎"], "葛飾 北斎"),
        ("artist", ["Unknown Artist", "unknown", "N/A", "", "?", "Anonymous"], ""),
        ("genre", ["Unknown Genre", "none"], ""),
    ],
)
def test_spellings_become_one_name(kind, spellings, name):
    assert fold(kind, *spellings) == [name] * len(spellings)


def test_different_names_stay_apart():
    artists = ["Jan van Eyck", "Hubert van Eyck", "Klee, Paul", "Paul Klee, Junior, X"]
    assert len(set(fold("artist", *artists))) == 4
    assert len(set(fold("style", *vocabulary.STYLES))) == 27
    assert len(set(fold("genre", *vocabulary.GENRES))) == 10


@pytest.mark.parametrize(
    ("date", "year"),
    [
        ("1889", "1889"),
        ("c.1889", "1889"),
        ("ca. 1889-90", "1889"),
        ("1503-1506", "1503"),
        ("1503\N{EN DASH}1506", "1503"),
        ("1888 (?)", "1888"),
        ("1912.0", "1912"),
        ("June 12, 1889", "1889"),
        ("12/06/1889", "1889"),
        ("\N{FULLWIDTH DIGIT ONE}889", "1889"),
        ("late 1890s, finished 1901", "1901"),
        ("19th century", ""),
        ("1890s", ""),
        ("the 1890\N{RIGHT SINGLE QUOTATION MARK}s", ""),
        ("1200 BC", ""),
        ("1200 b.c.", ""),
        ("c.450", ""),
        ("18891", ""),
        ("2150", ""),
        ("undated", ""),
        ("", ""),
    ],
)
def test_a_date_names_a_year_or_none(date, year):
    assert vocabulary.year(date) == year


@patiently
@given(st.text(), st.integers(1000, 2099))
def test_a_year_is_four_digits_of_its_date_or_nothing(text, number):
    year = vocabulary.year(text)
    assert year == "" or year in unicodedata.normalize("NFKC", text)
    assert vocabulary.year(f"({number})") == str(number)
    assert vocabulary.year(year) == year


@patiently
@given(st.text())
def test_case_accents_and_punctuation_change_no_key(text):
    key = vocabulary.key(text)
    assert vocabulary.key(key) == key
    assert vocabulary.key(unicodedata.normalize("NFD", text)) == key
    assert vocabulary.key(unicodedata.normalize("NFC", text)) == key
    assert vocabulary.key(f"-{text}_ ") == key
    ascii_upper = "".join(c.upper() if c.isascii() else c for c in text)
    assert vocabulary.key(ascii_upper) == key


NAMES = st.text(st.sampled_from("aAéÉbB -_(,.ß北"), max_size=6)


@patiently
@given(st.lists(NAMES), st.randoms())
def test_the_order_of_the_collection_changes_no_name(spellings, random):
    shuffled = random.sample(spellings, len(spellings))
    for kind in vocabulary.KINDS:
        once = dict(zip(spellings, fold(kind, *spellings), strict=True))
        again = dict(zip(shuffled, fold(kind, *shuffled), strict=True))
        assert once == again


@patiently
@given(st.lists(NAMES))
def test_normalised_names_stay_as_they_are(spellings):
    for kind in vocabulary.KINDS:
        names = fold(kind, *spellings)
        assert fold(kind, *names) == names


def test_titles_keep_their_words_and_nothing_else_is_lost():
    labels = make_labels(title=" Nuit\n étoilée ", artist="X Y", year="c. 1889")
    normalised = vocabulary.build([labels]).normalise(labels)
    assert normalised == make_labels(title="Nuit étoilée", artist="X Y", year="1889")


def test_the_mapping_can_be_kept_and_printed():
    spellings = ["Rococo", "Rococo", "Cubism", "cubism", "Unknown"]
    built = vocabulary.build(make_labels(style=spelling) for spelling in spellings)
    assert built.names() == {
        "style": {"Cubism": ["Cubism", "cubism"], "Rococo": ["Rococo"]},
        "genre": {},
        "artist": {},
    }
    assert json.loads(json.dumps(built.names())) == built.names()
    assert list(vocabulary.summary(built)) == [
        "style: 2 names in 3 spellings (Cubism = cubism -> Cubism)"
    ]

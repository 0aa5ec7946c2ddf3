"""Normalised labels: one spelling for each style, genre and artist; years of dates.

Spellings that differ in accents, case, hyphens, underscores or brackets are one name,
and so are a few that differ in words (`SYNONYMS`). Styles and genres of WikiArt, which
most collections borrow from, are spelled as in `STYLES` and `GENRES`; any other name
by its best spelling. Placeholders such as "unknown" become empty.

Deviation: the paper used no labels.
"""

import collections
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


# Kinds of labels that are normalised.
KINDS = ("style", "genre", "artist")

STYLES = (
    "Abstract Expressionism",
    "Action Painting",
    "Analytical Cubism",
    "Art Nouveau (Modern)",
    "Baroque",
    "Color Field Painting",
    "Contemporary Realism",
    "Cubism",
    "Early Renaissance",
    "Expressionism",
    "Fauvism",
    "High Renaissance",
    "Impressionism",
    "Mannerism (Late Renaissance)",
    "Minimalism",
    "Naïve Art (Primitivism)",
    "New Realism",
    "Northern Renaissance",
    "Pointillism",
    "Pop Art",
    "Post-Impressionism",
    "Realism",
    "Rococo",
    "Romanticism",
    "Symbolism",
    "Synthetic Cubism",
    "Ukiyo-e",
)
GENRES = (
    "abstract painting",
    "cityscape",
    "genre painting",
    "illustration",
    "landscape",
    "nude painting",
    "portrait",
    "religious painting",
    "sketch and study",
    "still life",
)
SYNONYMS = {
    "style": {
        "Art Nouveau": "Art Nouveau (Modern)",
        "Colour Field Painting": "Color Field Painting",
        "Mannerism": "Mannerism (Late Renaissance)",
        "Naïve Art": "Naïve Art (Primitivism)",
    },
    "genre": {
        "abstract": "abstract painting",
        "nude painting (nu)": "nude painting",
    },
    "artist": {},
}

# Placeholders for unknown labels.
UNKNOWN = (
    "unknown",
    "unknown artist",
    "unknown genre",
    "unknown style",
    "anonymous",
    "none",
    "null",
    "nan",
    "n/a",
)

# Letters that Unicode does not decompose into a plain one and an accent.
PLAIN = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ð": "d", "æ": "ae", "œ": "oe"})

YEAR = re.compile(r"(?<![0-9])(1[0-9]{3}|20[0-9]{2})(?![0-9]|'?s\b)")
BEFORE_CHRIST = re.compile(r"\bb\.? ?c\b", re.IGNORECASE)


def key(text: str) -> str:
    """Return the normalised form that all spellings of a name share.

    >>> key("Naïve_Art  (Primitivism)"), key("post-impressionism")
    ('naiveartprimitivism', 'postimpressionism')
    """
    text = unicodedata.normalize("NFKD", text).casefold().translate(PLAIN)
    text = unicodedata.normalize("NFKD", text)
    return "".join(character for character in text if character.isalnum())


def year(date: str) -> str:
    """Return the year in a date of free text, or nothing where it names none.

    It is the first number from 1000 to 2099, so of a range the year when it begins. A
    decade or a century is no year.

    >>> year("c.1889 (?)"), year("1503-1506"), year("1912.0"), year("the 1890s")
    ('1889', '1503', '1912', '')
    """
    date = unicodedata.normalize("NFKC", date).replace(
        "\N{RIGHT SINGLE QUOTATION MARK}", "'"
    )
    if BEFORE_CHRIST.search(date):
        return ""
    match = YEAR.search(date)
    return match[0] if match else ""


class Vocabulary(NamedTuple):
    """The names that the spellings of a collection stand for."""

    # By kind and spelling, the name; empty for placeholders.
    spellings: dict[str, dict[str, str]]

    def normalise(self, labels: Mapping[str, str]) -> dict[str, str]:
        """Return a painting's labels with each spelling replaced by its name."""
        names = {kind: self.spellings[kind][labels[kind]] for kind in KINDS}
        title = " ".join(labels["title"].split())
        return {**labels, **names, "title": title, "year": year(labels["year"])}

    def names(self) -> dict[str, dict[str, list[str]]]:
        """Return by kind and name the spellings that stand for it, all sorted."""
        names: dict[str, dict[str, list[str]]] = {kind: {} for kind in KINDS}
        for kind, spellings in self.spellings.items():
            for spelling, name in sorted(spellings.items()):
                if name:
                    names[kind].setdefault(name, []).append(spelling)
            names[kind] = dict(sorted(names[kind].items()))
        return names


def build(labels: Iterable[Mapping[str, str]]) -> Vocabulary:
    """Return the vocabulary of a collection, given the labels of all its paintings."""
    counts = {kind: collections.Counter[str]() for kind in KINDS}
    for painting_labels in labels:
        for kind, count in counts.items():
            count[painting_labels[kind]] += 1
    return Vocabulary({kind: _names(kind, count) for kind, count in counts.items()})


def summary(vocabulary: Vocabulary, shown: int = 3) -> Iterator[str]:
    """Yield a line for each kind of label: names, spellings and a few examples."""
    for kind, names in vocabulary.names().items():
        if names:
            count = sum(len(spellings) for spellings in names.values())
            renamed = [
                f"{' = '.join(spellings)}" + f" -> {name}"
                for name, spellings in names.items()
                if spellings != [name]
            ]
            examples = "; ".join(renamed[:shown]) + ("; ..." if renamed[shown:] else "")
            noun = "name" if len(names) == 1 else "names"
            text = f"{kind}: {len(names):,} {noun} in {count:,} spellings"
            yield f"{text} ({examples})" if renamed else text


def _names(kind: str, counts: Mapping[str, int]) -> dict[str, str]:
    """Return by spelling the name."""
    nothing = {"", *map(key, UNKNOWN)}
    known = {
        key(name): name for name in {"style": STYLES, "genre": GENRES}.get(kind, ())
    }
    synonyms = {key(other): key(name) for other, name in SYNONYMS[kind].items()}
    groups: dict[str, list[str]] = {}
    for spelling in sorted(counts):
        plain = key(_forename_first(spelling) if kind == "artist" else spelling)
        groups.setdefault(synonyms.get(plain, plain), []).append(spelling)
    names = {}
    for plain, spellings in groups.items():
        best = max(spellings, key=lambda spelling: _rank(spelling, counts[spelling]))
        name = "" if plain in nothing else known.get(plain) or _display_name(kind, best)
        names |= dict.fromkeys(spellings, name)
    return {spelling: names[spelling] for spelling in sorted(names)}


def _forename_first(artist: str) -> str:
    """Return "Vincent van Gogh" for "Gogh, Vincent van"."""
    last, comma, first = artist.partition(",")
    return f"{first} {last}" if comma and "," not in first else artist


def _rank(spelling: str, count: int) -> tuple[bool, bool, int, int, str]:
    """Return a sort key by which the most careful spelling comes last."""
    # Ties go to the last in the alphabet, to be deterministic.
    cased = not spelling.islower() and not spelling.isupper()
    slug = "_" in spelling or ("-" in spelling and " " not in spelling)
    accents = sum(not character.isascii() for character in spelling)
    return cased, not slug, accents, count, spelling


def _display_name(kind: str, spelling: str) -> str:
    text = " ".join(unicodedata.normalize("NFC", spelling).split())
    text = _forename_first(text) if kind == "artist" else text
    text = text.lower() if kind == "genre" else text
    if "_" in text or (text.islower() and " " not in text):
        text = text.replace("_", " ").replace("-", " ")
    text = " ".join(text.split())
    if kind == "genre" or not (text.islower() or text.isupper()):
        return text
    return text.title()

"""The page about a collection: its counts, its pictures, and how a browser shows it."""

import html.parser
import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from jaxart.paintings import report
from jaxart.paintings.report import Outcome
from jaxart.paintings.sources.files import MISSING, OnDisk
from jaxart.paintings.sources.picture import SourcePicture, make_labels


EVIL = "<script>alert(1)</script>\"'&\N{RIGHT-TO-LEFT OVERRIDE}\udcff"
# Elements that have no end.
VOID = {"meta", "br", "img"}


class Strict(html.parser.HTMLParser):
    """Reads a page, and minds that every element ends where it must."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.sources, self.text = [], Counter(), [], ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.sources += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def outcomes(tmp_path):
    """Forty kept pictures, and some that were refused, one of them hostile."""
    rng = np.random.default_rng(0)
    outcomes = []
    for number in range(40):
        path = tmp_path / f"{number:02d}.png"
        colour = rng.integers(0, 256, (1, 1, 3), np.uint8)
        Image.fromarray(colour).resize((30 + number, 40)).save(path)
        labels = make_labels(
            style="Rococo" if number % 4 else "",
            artist=f"Artist {number % 30}",
            year=str(1700 + 5 * number) if number % 2 else "",
        )
        painting = SourcePicture(path.name, OnDisk(str(path)), labels, "folder")
        outcomes.append(Outcome(painting, "", 300 + number, 400))
    page = tmp_path / "page.jpg"
    page.write_text("<html>")
    for name, file, reason in (
        ("gone.jpg", MISSING, "missing"),
        ("page.jpg", OnDisk(str(page)), "not a picture"),
        (EVIL, OnDisk(str(page)), f"unreadable: {EVIL}"),
        ("00.png", OnDisk(str(tmp_path / "00.png")), "too small: 30 x 40 pixels"),
    ):
        outcomes.append(
            Outcome(SourcePicture(name, file, make_labels(title=EVIL), EVIL), reason)
        )
    return outcomes


@pytest.fixture
def page(outcomes, tmp_path):
    path = tmp_path / "out" / "report.html"
    report.write(path, iter(outcomes))
    return path


def rows(page):
    """Return the tables: by caption, the counts by name."""
    return {
        caption: dict(re.findall(r'row">(.*?)</th><td class="count">(.*?)</td>', table))
        for caption, table in re.findall(
            r"<caption>(.*?)</caption>(.*?)</table>", page.read_text(), re.DOTALL
        )
    }


def test_the_page_counts_what_there_is(page):
    tables = rows(page)
    assert tables["Kept"] == {"folder": "40"}
    assert tables["1 style"] == {"Rococo": "30", "unknown": "10"}
    assert len(tables["30 artists"]) == report.NAMES + 1
    assert tables["30 artists"]["5 others"] == "5"
    assert tables["30 artists"]["Artist 9"] == "2"
    years = tables["Years"]
    assert years["unknown"] == "20"
    assert years["1700s"] == years["1890s"] == "1"
    assert sum(map(int, years.values())) == 40
    assert tables["Megapixels"] == {"0.1 to 0.2": "40"}
    assert tables["Width to height"] == {"0.67 to 0.8": "20", "0.8 to 0.95": "20"}
    assert "40 paintings" in page.read_text()
    assert "4 more were refused" in page.read_text()


def test_the_page_is_valid_html_and_self_contained(page):
    strict = Strict(page.read_text())
    assert all(
        source.startswith("data:image/jpeg;base64,") for source in strict.sources
    )
    assert strict.tags["img"] == 41
    assert strict.tags["script"] == 0
    assert "<script>alert(1)" in strict.text  # as text
    for reason in ("missing: 1", "not a picture: 1", "too small: 1", "unreadable: 1"):
        assert reason in strict.text
    assert page.read_text().count('<div class="none">no picture</div>') == 3


def test_the_order_of_the_pictures_changes_nothing(page, outcomes, tmp_path):
    report.write(tmp_path / "again.html", outcomes[::-1])
    assert (tmp_path / "again.html").read_bytes() == page.read_bytes()


def test_only_a_few_of_many_are_shown(monkeypatch, outcomes, tmp_path):
    monkeypatch.setattr(report, "SHOWN", 7)
    monkeypatch.setattr(report, "EXAMPLES", 2)
    refused = [outcome._replace(reason="too small: x") for outcome in outcomes[:9]]
    report.write(tmp_path / "a.html", [*outcomes[9:40], *refused])
    text = (tmp_path / "a.html").read_text()
    assert text.count("<img") == 9
    assert "<h3>too small: 9</h3>" in text


def test_the_widest_and_the_tallest_picture_fit(tmp_path):
    for name, size in (("wide", (4000, 10)), ("tall", (2, 3000))):
        Image.new("RGB", size, "red").save(tmp_path / f"{name}.png")
        file = OnDisk(str(tmp_path / f"{name}.png"))
        report.write(
            tmp_path / f"{name}.html",
            [Outcome(SourcePicture(name, file, make_labels()), "")],
        )
    assert 'width="360" height="120"' in (tmp_path / "wide.html").read_text()
    assert 'width="1" height="120"' in (tmp_path / "tall.html").read_text()


def test_an_empty_collection_has_a_page_too(tmp_path):
    report.write(tmp_path / "a.html", [])
    Strict((tmp_path / "a.html").read_text())
    assert "0 paintings" in (tmp_path / "a.html").read_text()


def test_somebody_elses_page_is_left_alone(page, outcomes):
    report.write(page, outcomes)  # our own is replaced
    page.write_text("<!doctype html>\nmine")
    with pytest.raises(FileExistsError, match="was not written by jaxart"):
        report.write(page, outcomes)
    assert page.read_text() == "<!doctype html>\nmine"

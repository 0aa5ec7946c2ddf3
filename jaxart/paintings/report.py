"""An HTML report on a collection: labels, sizes, refusals with reasons, examples.

One self-contained file: pictures are inlined, there are no scripts, and nothing is
loaded. It is made in one pass over the outcomes, in memory for the counts and the few
pictures that are shown; these are sampled by their names, and opened at the end.
"""

import base64
import collections
import hashlib
import heapq
import html
import io
import itertools
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from jaxart import atomic, images
from jaxart.paintings.sources.picture import SourcePicture


SHOWN = 60  # pictures of the contact sheet
EXAMPLES = 12  # pictures of each reason
NAMES = 25  # lines of a table of names
HEIGHT = 120  # of a shown picture, in pixels
WIDEST = 360  # pixels; of a picture that is wider still the middle is shown
DECADE = 10

# The first lines of a report, by which ours are recognised.
MARK = '<!doctype html>\n<html lang="en">\n<!-- written by jaxart -->\n'

MEGAPIXELS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
ASPECTS = (0.25, 0.5, 0.67, 0.8, 0.95, 1.05, 1.25, 1.5, 2.0, 4.0)

STYLE = """
:root { color-scheme: light dark; --ink: #2b2723; --paper: #faf8f4; --soft: #8a8178;
  --line: #e4ded5; --bar: #c2703d; --bare: #ece6dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e4dc; --paper: #1d1b19;
  --soft: #9c948a; --line: #37332f; --bar: #d0814f; --bare: #2a2724; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 72rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { font: 2.2rem/1.2 Georgia, "Times New Roman", serif; margin: 0 0 .25rem; }
h2 { font: 1.4rem/1.3 Georgia, "Times New Roman", serif; margin: 3rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .25rem 0; } .soft { color: var(--soft); }
.columns { display: grid; gap: 0 3rem; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .75rem 0 .35rem; }
th { font-weight: 400; text-align: left; padding: .1rem .75rem .1rem 0;
  width: 45%; overflow-wrap: anywhere; }
td { padding: .1rem 0; } td.count { text-align: right; width: 5rem; }
td.bar { width: 40%; padding-left: .75rem; }
td.bar div { height: .7rem; min-width: 1px; background: var(--bar); }
.sheet { display: flex; flex-wrap: wrap; gap: .6rem; margin: .5rem 0; }
figure { margin: 0; max-width: 100%; }
figure img, figure .none { height: 120px; max-width: 100%; display: block;
  background: var(--bare); object-fit: cover; }
figure .none { width: 120px; display: grid; place-items: center; color: var(--soft); }
.named { width: 15rem; } figcaption { font-size: .8rem; color: var(--soft);
  overflow-wrap: anywhere; padding-top: .2rem; }
"""


class Outcome(NamedTuple):
    """Whether a painting was kept."""

    painting: SourcePicture  # with its labels normalised
    reason: str  # why it is not in the dataset; empty if it is
    width: int = 0  # of the picture itself, in pixels; 0 where it was never opened
    height: int = 0  # likewise


class Counts:
    """Counts and samples of a collection, taken in one pass."""

    def __init__(self, outcomes: Iterable[Outcome]):
        self.kept = collections.Counter[str]()
        self.refused = collections.Counter[str]()
        self.labels = {
            label: collections.Counter[str]() for label in ("style", "genre", "artist")
        }
        self.decades = collections.Counter[int]()
        self.megapixels = collections.Counter[int]()
        self.aspects = collections.Counter[int]()
        self.reasons: dict[str, Sample] = {}
        self.sheet = Sample(SHOWN)
        for outcome in outcomes:
            (self._refuse if outcome.reason else self._keep)(outcome)

    def _keep(self, outcome: Outcome) -> None:
        painting, _, width, height = outcome
        self.kept[painting.source] += 1
        for label, count in self.labels.items():
            count[painting.labels[label]] += 1
        if painting.labels["year"].isdecimal():
            self.decades[int(painting.labels["year"]) // DECADE * DECADE] += 1
        if width and height:
            self.megapixels[_bin(width * height / 1e6, MEGAPIXELS)] += 1
            self.aspects[_bin(width / height, ASPECTS)] += 1
        self.sheet.add(outcome)

    def _refuse(self, outcome: Outcome) -> None:
        self.refused[outcome.painting.source] += 1
        kind = outcome.reason.split(":")[0]
        self.reasons.setdefault(kind, Sample(EXAMPLES)).add(outcome)


class Sample:
    """A fixed-size sample, chosen by the hashes of names."""

    def __init__(self, size: int):
        self.count = 0
        self._size = size
        self._heap: list[tuple[int, str, Outcome]] = []

    def add(self, outcome: Outcome) -> None:
        """Add a candidate."""
        self.count += 1
        name = outcome.painting.filename
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        item = (-int.from_bytes(digest[:8]), name, outcome)
        if len(self._heap) < self._size:
            heapq.heappush(self._heap, item)
        elif item[0] > self._heap[0][0]:
            heapq.heapreplace(self._heap, item)

    def __iter__(self) -> Iterator[Outcome]:
        """Yield the sample, by name."""
        by_name = sorted(self._heap, key=lambda item: item[1])
        return (outcome for _, _, outcome in by_name)


def write(path: str | os.PathLike[str], outcomes: Iterable[Outcome]) -> None:
    """Write the report, all of it or nothing; an earlier one is replaced.

    Raises:
        FileExistsError: something else is in its place.
    """
    with atomic.replacing(path, is_ours) as temporary:
        page = "".join(_page(Counts(outcomes)))
        temporary.write_bytes(page.encode("utf-8", "replace"))


def is_ours(path: Path) -> bool:
    """Return whether a file is a page that `write` wrote."""
    mark = MARK.encode()
    try:
        with path.open("rb") as file:
            return file.read(len(mark)) == mark
    except OSError:
        return False


def _page(counts: Counts) -> Iterator[str]:
    kept, refused = counts.kept.total(), counts.refused.total()
    sources = len(counts.kept | counts.refused)
    yield MARK
    yield '<head><meta charset="utf-8">'
    yield '<meta http-equiv="Content-Security-Policy" content="default-src '
    yield "'none'; img-src data:; style-src 'unsafe-inline'\">"
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{kept:,} paintings</title><style>{STYLE}</style></head>\n<body>"
    yield f"<h1>{kept:,} paintings</h1>"
    yield f'<p class="soft">from {_plural(sources, "source")}; '
    yield f"{refused:,} more were refused, for the reasons below.</p>\n"
    yield '<h2>Where they are from</h2><div class="columns">'
    yield _table("Kept", _ranked(counts.kept, "unnamed"))
    yield _table("Refused", _ranked(counts.refused, "unnamed"))
    yield '</div>\n<h2>What they are</h2><div class="columns">'
    for label, count in counts.labels.items():
        named = len([name for name in count if name])
        caption = _plural(named, label)
        yield _table(caption, _ranked(count, "unknown"))
    years = [(f"{decade}s", n) for decade, n in sorted(counts.decades.items())]
    unknown = kept - counts.decades.total()
    yield _table("Years", [*years, ("unknown", unknown)] if unknown else years)
    yield '</div>\n<h2>How large they are</h2><div class="columns">'
    yield _table("Megapixels", _binned(counts.megapixels, MEGAPIXELS))
    yield _table("Width to height", _binned(counts.aspects, ASPECTS))
    yield "</div>\n<h2>Why some were refused</h2>"
    yield from _reasons(counts.reasons) if counts.reasons else "<p>None was.</p>"
    shown = (f"<figure>{_picture(o.painting)}</figure>" for o in counts.sheet)
    yield f'\n<h2>How they look</h2><div class="sheet">{"".join(shown)}</div>'
    yield "</body></html>\n"


def _reasons(reasons: Mapping[str, Sample]) -> Iterator[str]:
    by_name = sorted(reasons.items())
    for kind, sample in sorted(by_name, key=lambda item: item[1].count, reverse=True):
        yield f"<h3>{_text(kind)}: {sample.count:,}</h3><div class='sheet'>"
        for outcome in sample:
            name = _text(outcome.painting.filename)
            yield f'<figure class="named">{_picture(outcome.painting)}'
            yield f"<figcaption>{name}<br>{_text(outcome.reason)}</figcaption></figure>"
        yield "</div>"


def _picture(painting: SourcePicture) -> str:
    """Return a thumbnail, or an empty box where there is no picture."""
    labels = (painting.labels[label] for label in ("title", "artist", "year"))
    description = ", ".join(filter(None, labels)) or painting.filename
    try:
        with painting.file.open() as file:
            pixels = images.read_pixels(file)
    except images.PictureError:
        return '<div class="none">no picture</div>'
    picture = Image.fromarray(pixels)
    width = max(1, round(picture.width * HEIGHT / picture.height))
    if width > WIDEST:
        visible = math.ceil(WIDEST * picture.height / HEIGHT)
        left = (picture.width - visible) // 2
        box = (left, 0, left + visible, picture.height)
        picture, width = picture.crop(box), WIDEST
    content = io.BytesIO()
    small = picture.resize((width, HEIGHT), Image.Resampling.LANCZOS, reducing_gap=3)
    small.save(content, "JPEG", quality=80)
    data = base64.b64encode(content.getvalue()).decode()
    description = _text(description)
    return (
        f'<img src="data:image/jpeg;base64,{data}" width="{width}" height="{HEIGHT}" '
        f'alt="{description}" title="{description}">'
    )


def _table(caption: str, rows: list[tuple[str, int]]) -> str:
    """Return a table of names and counts, with a bar for each."""
    if not rows:
        return ""
    most = max(count for _, count in rows)
    lines = (
        f'<tr><th scope="row">{_text(name)}</th><td class="count">{count:,}</td>'
        f'<td class="bar"><div style="width:{100 * count / most:.1f}%"></div></td></tr>'
        for name, count in rows
    )
    return f"<table><caption>{_text(caption)}</caption>{''.join(lines)}</table>\n"


def _ranked(counts: Mapping[str, int], empty: str) -> list[tuple[str, int]]:
    """Return the most frequent names; the rest, and what has no name, come last."""
    known = {name: count for name, count in counts.items() if name}
    ranked = sorted(known.items(), key=lambda item: (-item[1], item[0]))
    rows, rest = ranked[:NAMES], ranked[NAMES:]
    if rest:
        rows.append((f"{len(rest):,} others", sum(count for _, count in rest)))
    return [*rows, (empty, counts[""])] if counts.get("") else rows


def _bin(value: float, edges: tuple[float, ...]) -> int:
    return sum(value >= edge for edge in edges)


def _binned(
    counts: Mapping[int, int], edges: tuple[float, ...]
) -> list[tuple[str, int]]:
    """Return the counts between edges, from the first bin that has any to the last."""
    if not counts:
        return []
    between = (f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges))
    names = [f"below {edges[0]:g}", *between, f"{edges[-1]:g} and more"]
    return [
        (names[place], counts.get(place, 0))
        for place in range(min(counts), max(counts) + 1)
    ]


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _text(text: str) -> str:
    return html.escape(text)

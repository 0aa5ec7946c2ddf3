"""Each picture in several numbers of strokes, and by another painter.

"greedy" is the painting before all strokes are refined together, and strokes/s are
those of that part.

`primitive` (https://github.com/fogleman/primitive) paints the pictures as well, in
rotated ellipses, where it is installed; its seconds include its start, and it prepares
its picture and draws it once in them.
"""

import shutil
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import jax
from painter.clock import time_painting
from painter.options import Options
from painter.pictures import Pixels, lpips, psnr, render, resized, save
from painter.tables import (
    COMPILING,
    LPIPS,
    PICTURE,
    STROKES,
    Column,
    Row,
    print_head,
    print_row,
)

from jaxart import images
from jaxart.painter.settings import Settings


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


def quality(
    chosen: dict[str, Pixels], settings: Settings, options: Options
) -> list[Row]:
    """Paint all pictures with several numbers of strokes."""
    usual = [(settings.brush, count) for count in options.strokes]
    bristle = ("bristle", options.count)
    columns = (*QUALITY, *LPIPS) if options.lpips else QUALITY
    with_peer = _is_primitive_installed(options.peer)
    print_head(columns)
    rows = []
    for number, (name, picture) in enumerate(chosen.items()):
        for brush, count in usual if number else [*usual, bristle]:
            chosen_settings = replace(settings, brush=brush, strokes=count)
            rows.append(quality_row(name, picture, chosen_settings, options))
            print_row(rows[-1], columns)
        for count in sorted({count for _, count in usual}) if with_peer else []:
            rows.append(primitive_row(name, picture, count, options))
            print_row(rows[-1], columns)
        # What was compiled for one shape of picture is of no use to the next.
        jax.clear_caches()
    print_summary(rows)
    return rows


def quality_row(
    name: str, picture: Pixels, settings: Settings, options: Options
) -> Row:
    """Paint a picture once."""
    record = time_painting(picture, settings)
    greedy_seconds, first = record.greedy
    painted = render(record.last, settings, picture)
    save(options.out, f"{name}-{settings.brush}-{settings.strokes}", painted)
    return {
        "what": "quality",
        "picture": name,
        "painter": settings.brush,
        "strokes": record.last.seeds.size,
        "greedy_psnr": psnr(render(first, settings, picture), picture),
        "psnr": psnr(painted, picture),
        "seconds": record.seconds,
        "greedy_seconds": greedy_seconds,
        "refine_seconds": record.seconds - greedy_seconds,
        "strokes_per_second": first.seeds.size / greedy_seconds,
        "compile_seconds": record.compiling,
        **(lpips(painted, picture) if options.lpips else {}),
    }


def _is_primitive_installed(wanted: bool) -> bool:
    if not wanted:
        return False
    if shutil.which("primitive"):
        return True
    print("primitive is not on PATH: no peer (--peer=none asks for none)")
    return False


def primitive_row(name: str, picture: Pixels, count: int, options: Options) -> Row:
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
    save(options.out, f"{name}-primitive-{count}", painted)
    return {
        "what": "quality",
        "picture": name,
        "painter": "primitive",
        "strokes": count,
        "psnr": psnr(painted, picture),
        "seconds": seconds,
        "greedy_seconds": seconds,
        "strokes_per_second": count / seconds,
        **(lpips(painted, picture) if options.lpips else {}),
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

"""A run of training an artist: its folder, resumed exactly, and the artist it makes.

A period paints with the artist as it was when the period began, and ends with a
checkpoint, so that a run that was killed and resumed gives the same bytes.
"""

import json
import os
import platform
import resource
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from PIL import Image
from tqdm import tqdm

from jaxart import atomic, command
from jaxart.checkpoints import FOLDER, Checkpoints
from jaxart.painter import artist as artists
from jaxart.painter import artist_training as training
from jaxart.painter.artist import Predictor
from jaxart.painter.artist_settings import ArtistSettings
from jaxart.painter.artist_training import Judge, Picture, Pool, Trainee
from jaxart.painter.placement import WINDOW


CONFIG = "config.json"
METRICS = "metrics.jsonl"
HELD_OUT = 20  # one picture in so many measures the artist
KEEP = 3  # checkpoints
STATE = "artist"  # the part of a checkpoint

Pictures = Sequence[UInt8[np.ndarray, "h w 3"]]


def train(
    settings: ArtistSettings, pictures: Pictures, workdir: Path, out: Path
) -> None:
    """Train an artist, or go on with a run that stopped, and write its file.

    Args:
        settings: of the run.
        pictures: that it learns from; one in `HELD_OUT` measures it instead.
        workdir: folder of the run.
        out: file of the artist; beside it, one with `.json` says how it was made.

    Raises:
        ValueError: the folder holds other things, or too few pictures are large enough.
        FileExistsError: a file that is no artist's is in the place of `out`.
        Stopped: a signal asked for it; the end of the last period is saved.
    """
    usable = [picture for picture in pictures if min(picture.shape[:2]) >= WINDOW]
    if len(usable) < 2:
        raise ValueError(
            f"dataset must have two pictures of at least {WINDOW} x {WINDOW} pixels; "
            f"it has {len(usable)}"
        )
    atomic.check_replaceable(out, artists.is_artist)
    atomic.check_replaceable(out.with_suffix(".json"), _is_record)
    _open_folder(settings, workdir)
    learned = [picture for at, picture in enumerate(usable) if at % HELD_OUT]
    test = paint(usable[::HELD_OUT], settings, None, 0)
    judge = training.make_judge(settings)
    with closing(Checkpoints(str(workdir), keep=KEEP)) as checkpoints:
        done = checkpoints.latest() or 0
        if done:
            trainee = training.blank(settings)
            parts = {STATE: jax.tree.leaves(trainee.state)}
            leaves = map(jnp.asarray, checkpoints.restore(done, parts)[STATE])
            state = jax.tree.unflatten(jax.tree.structure(trainee.state), list(leaves))
            trainee = trainee._replace(state=state)
        else:
            first = paint(learned, settings, None, 0)
            trainee = training.begin(settings, first, judge)
        _keep_lines(workdir / METRICS, done)
        with command.stop_signals() as signals:
            for period in tqdm(
                range(done, settings.periods),
                initial=done,
                total=settings.periods,
                unit="period",
                dynamic_ncols=True,
            ):
                begin = _cpu_seconds()
                trainee, metrics = _train_period(
                    trainee, learned, settings, judge, period
                )
                metrics |= _floats(training.evaluate(trainee, test, judge))
                metrics["cpu_seconds"] = _cpu_seconds() - begin
                with (workdir / METRICS).open("a") as file:
                    file.write(json.dumps({"period": period + 1, **metrics}) + "\n")
                checkpoints.save(period + 1, {STATE: jax.tree.leaves(trainee.state)})
                if signals and period + 1 < settings.periods:
                    checkpoints.wait()
                    raise command.Stopped(
                        signals[0], f"{workdir} is saved; the same command goes on"
                    )
    sha256 = artists.save(out, trainee.artist, settings.brush)
    _write_record(out, settings, sha256, workdir)
    print(f"done: paint with --config.slope=artist --config.artist={out}")


def _train_period(
    trainee: Trainee,
    pictures: Pictures,
    settings: ArtistSettings,
    judge: Judge,
    period: int,
) -> tuple[Trainee, dict[str, float]]:
    """Paint with the artist, and update it on windows of these canvases."""
    predictor = artists.make_predictor(trainee.artist, judge.medium.brush)
    pool = paint(pictures, settings, predictor, period + 1)
    rng = np.random.default_rng([settings.seed, period, 1])
    sums: dict[str, float] = {}
    for _ in range(settings.updates):
        rows = rng.integers(len(pool.canvas), size=settings.batch_size)
        batch = Pool(pool.canvas[rows], pool.picture[rows])
        trainee, metrics = training.update(trainee, batch, judge, settings=settings)
        for name, value in _floats(metrics).items():
            if not np.isfinite(value):
                raise FloatingPointError(f"{name} is {value} in period {period + 1}")
            sums[name] = sums.get(name, 0.0) + value / settings.updates
    return trainee, sums


def paint(
    pictures: Pictures,
    settings: ArtistSettings,
    predictor: Predictor | None,
    period: int,
) -> Pool:
    """Return the windows of some pictures, drawn by the period's number."""
    rng = np.random.default_rng([settings.seed, period, 0])
    count = min(settings.pictures, len(pictures))
    chosen = rng.choice(len(pictures), count, replace=False)
    squares = [cut_square(pictures[index], settings.side, rng) for index in chosen]
    return training.paint_pool(squares, settings, predictor, rng)


def cut_square(
    picture: UInt8[np.ndarray, "h w 3"], side: int, rng: np.random.Generator
) -> Picture:
    """Return a random square of a picture, at least half its shorter side, at a size.

    Args:
        picture: of any size.
        side: of the result, in pixels.
        rng: draws which square.
    """
    height, width, _ = picture.shape
    short = min(height, width)
    cut = int(rng.integers(min(short, max(short // 2, side)), short + 1))
    top, left = (int(rng.integers(room - cut + 1)) for room in (height, width))
    image = Image.fromarray(picture[top : top + cut, left : left + cut])
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def _open_folder(settings: ArtistSettings, workdir: Path) -> None:
    """Make the folder of a run, or check that it holds this one."""
    workdir.mkdir(parents=True, exist_ok=True)
    config = workdir / CONFIG
    if config.exists():
        try:
            old = json.loads(config.read_text())
            different = command.settings_diff(old, asdict(settings), ())
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"{config} is damaged: {error}") from error
        if different:
            raise ValueError(
                f"workdir {workdir} holds a run with other settings: "
                f"{', '.join(different)}"
            )
        return
    if any(path.name != FOLDER for path in workdir.iterdir()):
        raise ValueError(f"workdir must be empty or hold a run; {workdir} does neither")
    with atomic.replacing(config, lambda _: False) as unfinished:
        unfinished.write_text(json.dumps(asdict(settings), indent=2) + "\n")


def _keep_lines(path: Path, count: int) -> None:
    """Keep the first lines of a file, if there is one."""
    if path.exists():
        lines = path.read_text().splitlines(keepends=True)[:count]
        with atomic.replacing(path, lambda _: True) as unfinished:
            unfinished.write_text("".join(lines))


def _write_record(
    out: Path, settings: ArtistSettings, sha256: str, workdir: Path
) -> None:
    """Write how an artist was made beside its file."""
    lines = (workdir / METRICS).read_text().splitlines()
    record = {
        "sha256": sha256,
        "settings": asdict(settings),
        "cpu_seconds": sum(json.loads(line)["cpu_seconds"] for line in lines),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "device": jax.devices()[0].device_kind,
        "date": time.strftime("%Y-%m-%d"),
        "last_period": json.loads(lines[-1]),
        **command.provenance(),
    }
    with atomic.replacing(out.with_suffix(".json"), _is_record) as unfinished:
        unfinished.write_text(json.dumps(record, indent=2) + "\n")


def _is_record(path: Path) -> bool:
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and {"sha256", "last_period"} <= record.keys()


def _floats(metrics: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime

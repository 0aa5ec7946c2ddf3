import json
import math
import runpy
import time
from contextlib import closing
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxart.gan import run_log
from jaxart.gan.run_dir import RunDir
from jaxart.gan.run_log import RunLog
from jaxart.gan.settings import Settings


ROOT = Path(__file__).parents[2]


def new_log(workdir: Path, start_step: int, steps: int, every_steps: int) -> RunLog:
    """Return the log of a run whose updates have eight pictures."""
    config = runpy.run_path(str(ROOT / "configs/art.py"))["get_config"]()
    config.steps, config.batch_size, config.log.every_steps = steps, 8, every_steps
    return RunLog(RunDir(workdir), Settings.from_config(config), start_step)


def metrics(*values: float) -> dict:
    """Return the metrics of the updates of one call."""
    return {
        "discriminator_loss": jnp.asarray([float(value) for value in values]),
        "generator_loss": jnp.ones(len(values)),
    }


def write(workdir: Path, first: int, last: int, losses=lambda step: step) -> None:
    log = new_log(workdir, start_step=first - 1, steps=last, every_steps=3)
    with closing(log):
        for step in range(first, last + 1):
            log.add_metrics(step, metrics(losses(step)))
        log.flush()


def lines(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").open()]


def test_a_line_is_written_every_few_steps(tmp_path: Path):
    write(tmp_path, 1, 7)
    assert [line["step"] for line in lines(tmp_path)] == [3, 6]
    assert [line["discriminator_loss"] for line in lines(tmp_path)] == [3, 6]
    assert all(line["images_per_second"] > 0 for line in lines(tmp_path))
    assert set(lines(tmp_path)[0]) >= {"step", "generator_loss"}


def test_to_flush_is_to_wait_for_all_updates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run_log, "_is_ready", lambda _: False)
    with closing(new_log(tmp_path, start_step=0, steps=9, every_steps=3)) as log:
        log.add_metrics(1, metrics(math.nan))
        with pytest.raises(FloatingPointError, match="at step 1"):
            log.flush()


def test_updates_of_one_call_have_their_own_lines_and_one_speed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with closing(new_log(tmp_path, start_step=0, steps=10, every_steps=2)) as log:
        for last in (5, 10):
            now[0] += 5
            log.add_metrics(last, metrics(*range(last - 4, last + 1)))
            log.flush()
    assert [line["step"] for line in lines(tmp_path)] == [2, 4, 6, 8, 10]
    assert [line["discriminator_loss"] for line in lines(tmp_path)] == [2, 4, 6, 8, 10]
    assert [line["images_per_second"] for line in lines(tmp_path)] == [8] * 5


def test_the_first_loss_of_a_call_that_is_not_finite_is_named(tmp_path: Path):
    log = new_log(tmp_path, start_step=0, steps=9, every_steps=2)
    with closing(log):
        log.add_metrics(8, metrics(1, 1, 1, math.nan, math.nan, 1, 1, 1))
        with pytest.raises(FloatingPointError, match="at step 4"):
            log.flush()


def test_scalars_have_a_line_and_their_time_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with closing(new_log(tmp_path, start_step=0, steps=9, every_steps=3)) as log:
        for step in range(1, 10):
            now[0] += 1
            log.add_metrics(step, metrics(step))
            if step in (4, 6):
                now[0] += 100
                log.add_scalars(step, {"distance": 10.0 * step}, seconds=100.0)
        log.flush()
    written = {line["step"]: line for line in lines(tmp_path)}
    assert list(written) == [3, 4, 6, 9]
    distances = [line.get("distance") for line in written.values()]
    assert distances == [None, 40, 60, None]
    assert written[4]["discriminator_loss"] == 4
    # An update of eight pictures a second; each line was written one update later.
    assert written[4]["images_per_second"] == pytest.approx(8)
    assert written[6]["images_per_second"] == pytest.approx(8)


def test_a_resumed_run_writes_every_line_once(tmp_path: Path):
    write(tmp_path, 1, 9)
    with (tmp_path / "metrics.jsonl").open("ab") as damaged:
        damaged.write(b'{"step": 4, "\xff": 1}\n{"step": 12, "gener')
    write(tmp_path, 6, 12)
    assert [line["step"] for line in lines(tmp_path)] == [3, 6, 9, 12]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_named_with_its_step(tmp_path: Path, bad: float):
    with pytest.raises(FloatingPointError, match="at step 5"):
        write(tmp_path, 1, 9, lambda step: bad if step >= 5 else 0.0)


def test_nothing_is_read_before_the_next_update_is_under_way(tmp_path: Path):
    log = new_log(tmp_path, start_step=0, steps=9, every_steps=1)
    with closing(log):
        log.add_metrics(1, metrics(0.0))
        assert not (tmp_path / "metrics.jsonl").exists()
        log.add_metrics(2, metrics(0.0))
        assert [line["step"] for line in lines(tmp_path)] == [1]


def test_pictures_become_a_grid_under_their_step(tmp_path: Path):
    log = new_log(tmp_path, start_step=0, steps=9, every_steps=1)
    pictures = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    with closing(log):
        log.add_metrics(1, metrics(0.0))
        log.add_samples(1, jnp.asarray(pictures))
        log.flush()
    with Image.open(tmp_path / "samples" / "000001.png") as grid:
        np.testing.assert_array_equal(np.asarray(grid)[:5, :6], pictures[0])
        assert grid.width > 12


def test_tensorboard_gets_scalars_and_pictures(tmp_path: Path):
    write(tmp_path, 1, 3)
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert b"discriminator_loss" in events.read_bytes()


def test_waiting_for_data_counts_only_where_no_update_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with closing(new_log(tmp_path, start_step=100, steps=110, every_steps=50)) as log:
        with log.timing_input():
            now[0] += 1  # nothing was under way yet
        monkeypatch.setattr("jaxart.gan.run_log._is_ready", lambda metrics: False)
        log.add_metrics(101, metrics(1))
        with log.timing_input():
            now[0] += 3
        log.add_scalars(101, {}, seconds=6.0)
        now[0] += 6 + 4
        images_per_second, waiting = log.speed(104)
    assert images_per_second == 4 * 8 / (1 + 3 + 4)
    assert waiting == 1 / (1 + 3 + 4)

"""The training command: what it writes, how it resumes, what it refuses."""

import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from PIL import Image

from jaxart import machine, sample, train, vgg
from jaxart.checkpoints import Checkpoints
from jaxart.gan import devices, latents, loop, quality, run_dir, runs
from jaxart.gan.update import init_state, network_state
from jaxart.paintings import dataset, pipeline


ROOT = Path(__file__).parents[1]


def lines(workdir: Path) -> list[dict]:
    path = workdir / "metrics.jsonl"
    return [json.loads(line) for line in path.open()] if path.exists() else []


def arrays(config: Any, workdir: Path) -> list[np.ndarray]:
    """Return every array of the checkpoint after `config.steps`."""
    state = init_state(
        *train._networks(config, config.seed), optax.adam(1e-4), config.seed
    )
    with closing(Checkpoints(str(workdir))) as checkpoints:
        parts = checkpoints.restore(config.steps, run_dir.to_parts(state))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(parts)]


def test_a_run_leaves_what_the_contract_says(config: Any, tmp_path: Path):
    train.main(config, str(tmp_path / "run"))
    run = tmp_path / "run"
    assert json.loads((run / "config.json").read_text())["generator"]["width"] == 4
    assert [line["step"] for line in lines(run)] == [2, 4, 6, 8, 10, 12]
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"4", "8", "12"}
    assert sorted(path.name for path in (run / "samples").iterdir()) == [
        "000006.png",
        "000012.png",
    ]
    assert list(run.glob("events.out.tfevents.*"))
    with Image.open(run / "samples" / "000012.png") as grid:
        assert grid.size == (32 + 2 + 32, 32 + 2 + 32)


def test_a_run_says_what_it_costs_and_how_fast_it_went(
    config: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    train.main(config, str(tmp_path))
    said = capsys.readouterr().out.splitlines()
    names = [line.split(":")[0] for line in said]
    assert names == ["parameters", "arithmetic", "memory", "speed", "done"]
    state = init_state(
        *train._networks(config, config.seed), optax.adam(1e-4), config.seed
    )
    counts = [
        sum(leaf.size for leaf in jax.tree.leaves(one.params))
        for one in (state.generator, state.discriminator)
    ]
    assert said[0] == f"parameters: {counts[0]:,} of G, {counts[1]:,} of D"
    # Twelve updates of eight images, some time before and after them.
    last = lines(tmp_path)[-1]["images_per_second"]
    found = float(said[3].split()[1].replace(",", ""))
    assert 0 < found < 100 * last
    assert "own matrix products" in said[3]
    train.main(config, str(tmp_path))  # nothing is left to do
    config.steps = 8  # fewer than are done
    train.main(config, str(tmp_path))
    assert "speed" not in capsys.readouterr().out


def test_a_batch_that_cannot_fit_is_refused_and_leaves_the_folder_free(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as patch:
        patch.setattr(machine, "memory", lambda: 1_000_000)
        message = r"batch_size must fit into memory: 8 needs [\d.]+ GB, and 0.001 GB"
        with pytest.raises(ValueError, match=message):
            train.main(config, str(tmp_path))
    assert not (tmp_path / "config.json").exists()
    config.batch_size = 4
    train.main(config, str(tmp_path))
    assert len(lines(tmp_path)) == 6


LAYERS = ("relu1_2",)  # of VGG16, the cheapest ones


@pytest.fixture
def judged_config(config: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Evaluated four times, at steps that are not all recorded or saved."""
    cheap = quality.vgg_extractor(LAYERS)
    monkeypatch.setattr(quality, "vgg_extractor", lambda: cheap)
    config.evaluate.every_steps = 3
    config.evaluate.count = quality.MIN_COUNT
    config.checkpoints.every_steps = 12
    config.checkpoints.keep = 1
    return config


def test_the_loop_compiles_nothing_after_its_first_steps(
    judged_config: Any, tmp_path: Path
):
    compilations: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **_: compilations.append(event)
    )

    def compiled(steps: int) -> int:
        judged_config.steps = steps
        compilations.clear()
        train.main(judged_config, str(tmp_path / str(steps)))
        return sum("backend_compile" in name for name in compilations)

    try:
        compiled(12)  # what is compiled once for the process
        few, many = compiled(6), compiled(24)
    finally:
        jax.monitoring.clear_event_listeners()
    assert few == many > 0


@pytest.mark.parametrize(
    ("calls", "steps_per_call"),
    [([1] * 12, 1), ([4, 1, 1, 1, 1, 4], 4), ([1] * 12, 5)],
)
def test_a_call_ends_where_the_loop_has_something_to_do(
    config: Any, calls: list[int], steps_per_call: int
):
    # Pictures are due at 6 and 12, checkpoints at 4, 8 and 12.
    config.steps_per_call = steps_per_call
    found, step = [], 0
    while step < config.steps:
        found.append(loop.updates_of_next_call(step, config))
        step += found[-1]
    assert found == calls


def test_updates_in_one_call_change_nothing_and_compile_twice(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    train.main(config, str(tmp_path / "one"))
    made: list[devices.Compiled] = []

    def compiled(*networks: Any, **settings: Any) -> devices.Compiled:
        made.append(in_one_call(*networks, **settings))
        return made[-1]

    in_one_call = devices.compiled
    monkeypatch.setattr(devices, "compiled", compiled)
    config.steps_per_call = 4
    train.main(config, str(tmp_path / "four"))
    for one, four in zip(
        arrays(config, tmp_path / "one"), arrays(config, tmp_path / "four"), strict=True
    ):
        np.testing.assert_array_equal(one, four)
    written = [
        [line | {"images_per_second": None} for line in lines(tmp_path / name)]
        for name in ("one", "four")
    ]
    assert written[0] == written[1] != []
    for name in ("samples", "checkpoints"):
        one, four = (tmp_path / run / name for run in ("one", "four"))
        assert {path.name for path in one.iterdir()} == {
            path.name for path in four.iterdir()
        }
    assert [each.steps._cache_size() for each in made] == [2]  # pyright: ignore


def test_evaluation_changes_nothing_but_the_records(judged_config: Any, tmp_path: Path):
    config = copy.deepcopy(judged_config)
    config.evaluate.every_steps = 0
    train.main(judged_config, str(tmp_path / "judged"))
    train.main(config, str(tmp_path / "not"))
    judged, others = (arrays(config, tmp_path / name) for name in ("judged", "not"))
    for one, other in zip(judged, others, strict=True):
        np.testing.assert_array_equal(one, other)

    def losses(name: str) -> dict[int, float]:
        found = lines(tmp_path / name)
        return {line["step"]: line["generator_loss"] for line in found}

    every, some = losses("judged"), losses("not")
    assert list(some) == [2, 4, 6, 8, 10, 12]
    assert every == some | {step: every[step] for step in (3, 9)}


def test_the_best_checkpoint_is_kept_and_can_be_sampled(
    judged_config: Any, tmp_path: Path
):
    run = tmp_path / "run"
    train.main(judged_config, str(run))
    distances = {
        line["step"]: line["vgg_frechet_distance"]
        for line in lines(run)
        if "vgg_frechet_distance" in line
    }
    assert list(distances) == [3, 6, 9, 12]
    best = min(distances, key=distances.__getitem__)
    kept = {int(path.name) for path in (run / "checkpoints").iterdir()}
    assert kept == {best, 12}
    with closing(Checkpoints(str(run))) as checkpoints:
        assert checkpoints.best() == (best, distances[best])
    for step in ("best", str(best)):
        sample.main(str(run), str(tmp_path / f"{step}.png"), count=4, step=step)
    one, other = (tmp_path / f"{step}.png" for step in ("best", best))
    assert one.read_bytes() == other.read_bytes()


def test_a_recorded_distance_is_that_of_the_samples(judged_config: Any, tmp_path: Path):
    train.main(judged_config, str(tmp_path))
    generator, _ = train._networks(judged_config, 0)
    with closing(Checkpoints(str(tmp_path))) as checkpoints:
        part = run_dir.network_to_part(network_state(generator))
        restored = checkpoints.restore(12, {"generator": part})["generator"]
    restored = run_dir.network_from_part(jax.tree.map(jnp.asarray, restored))
    still = nnx.view(generator, use_running_average=True)
    nnx.update(still, restored.params, restored.batch_stats)
    z = latents.draw(0, range(quality.MIN_COUNT), judged_config.generator.latent)
    samples = np.rint(np.clip((np.asarray(still(z)) + 1) * 127.5, 0, 255))
    source = dataset.open_source(judged_config.data.data_dir, "paintings")
    crops = pipeline.crops(source, size=32, count=quality.MIN_COUNT, seed=0)

    def statistics(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaled = jnp.asarray(pixels, jnp.float32) / 255
        maps = vgg.features(vgg.load(), scaled, LAYERS)
        rows = np.concatenate([np.asarray(x, float).mean((1, 2)) for x in maps], 1)
        return rows.mean(0), np.cov(rows, rowvar=False)

    (m, a), (n, b) = statistics(crops), statistics(samples)
    # The definition, with eigenvalues of AB, which are not negative but for rounding.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    distance = (m - n) @ (m - n) + np.trace(a) + np.trace(b) - 2 * roots
    assert lines(tmp_path)[-1]["vgg_frechet_distance"] == pytest.approx(
        distance, rel=1e-3
    )


def test_a_run_from_before_there_was_evaluation_goes_on(
    judged_config: Any, tmp_path: Path
):
    every_steps, judged_config.evaluate.every_steps = 3, 0
    train.main(judged_config, str(tmp_path))
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    del config["evaluate"]
    path.write_text(json.dumps(config))
    judged_config.steps, judged_config.evaluate.every_steps = 15, every_steps
    train.main(judged_config, str(tmp_path))
    assert lines(tmp_path)[-1]["vgg_frechet_distance"] > 0
    judged_config.evaluate.count += 1
    with pytest.raises(ValueError, match=r"evaluate.count \(20 there, 21 here\)"):
        train.main(judged_config, str(tmp_path))


class Started:
    """A training command in a process of its own."""

    def __init__(self, config: Any, workdir: Path):
        settings = [
            f"--config.{key}={value}" for key, value in runs.flat(config).items()
        ]
        self.workdir = workdir
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "jaxart.train"),
                f"--config={ROOT / 'configs/art.py'}",
                f"--workdir={workdir}",
                *settings,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for(self, step: int) -> None:
        """Wait until the run has recorded a step, or has ended."""
        while self.process.poll() is None:
            if any(line["step"] >= step for line in lines_so_far(self.workdir)):
                return
            time.sleep(0.005)

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=300)
        return self.process.returncode, errors


def lines_so_far(workdir: Path) -> list[dict]:
    path = workdir / "metrics.jsonl"
    whole = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in whole if line.endswith("\n")]


@pytest.fixture
def long_config(config: Any) -> Any:
    config.steps = 200
    config.steps_per_call = 4
    config.checkpoints.every_steps = 25
    config.samples.every_steps = 100
    config.log.every_steps = 5
    config.evaluate.every_steps = 100
    config.evaluate.count = quality.MIN_COUNT
    return config


def test_killed_at_random_moments_and_resumed_equals_never_stopped(
    long_config: Any, tmp_path: Path
):
    moments = random.Random(0)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for target in sorted(moments.sample(range(5, 180), 3)):
        run = Started(long_config, killed)
        run.wait_for(target)
        time.sleep(moments.uniform(0, 0.05))
        run.process.send_signal(signal.SIGKILL)
        run.end()
        assert run.process.returncode == -signal.SIGKILL
    assert Started(long_config, killed).end()[0] == 0
    long_config.steps_per_call = 1
    train.main(long_config, str(whole))

    for one, other in zip(
        arrays(long_config, killed), arrays(long_config, whole), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    for step in ("000100", "000200"):
        png = f"samples/{step}.png"
        assert (killed / png).read_bytes() == (whole / png).read_bytes()

    def found(workdir: Path) -> list[tuple]:
        names = ("step", "discriminator_loss", "vgg_frechet_distance")
        return [tuple(line.get(name) for name in names) for line in lines(workdir)]

    assert found(killed) == found(whole)
    assert best(killed) == best(whole) is not None


def best(workdir: Path) -> Any:
    with closing(Checkpoints(str(workdir))) as checkpoints:
        return checkpoints.best()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_saves_and_leaves(
    long_config: Any, tmp_path: Path, number: signal.Signals
):
    run = Started(long_config, tmp_path)
    run.wait_for(10)
    run.process.send_signal(number)
    code, errors = run.end()
    assert code == 128 + number
    last = errors.splitlines()[-1]
    assert "stopped: saved step" in last
    with closing(Checkpoints(str(tmp_path))) as checkpoints:
        assert f"step {checkpoints.latest()} " in last


def test_a_loss_that_is_not_finite_names_step_and_checkpoint(
    config: Any, tmp_path: Path
):
    config.optimizer.learning_rate = 1e38
    with pytest.raises(
        ValueError, match=r"not a finite number at step \d+; .*step None"
    ):
        train.main(config, str(tmp_path))


def test_a_run_goes_on_with_more_steps(config: Any, tmp_path: Path):
    train.main(config, str(tmp_path / "more"))
    config.steps = 20
    train.main(config, str(tmp_path / "more"))
    train.main(config, str(tmp_path / "once"))
    more, once = (arrays(config, tmp_path / name) for name in ("more", "once"))
    for one, other in zip(more, once, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def two_seeds(small_config: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of the seeds 5 and 6."""
    config = copy.deepcopy(small_config)
    config.seed, config.seeds = 5, 2
    workdir = tmp_path_factory.mktemp("seeds")
    train.main(config, str(workdir))
    return workdir


def test_each_of_several_seeds_has_the_run_that_it_would_have_alone(
    config: Any, two_seeds: Path, tmp_path: Path
):
    config.seed = 6
    train.main(config, str(tmp_path / "alone"))
    own = two_seeds / "seed_6"
    assert json.loads((own / "config.json").read_text()) == json.loads(
        (tmp_path / "alone" / "config.json").read_text()
    )
    for one, other in zip(
        arrays(config, own), arrays(config, tmp_path / "alone"), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=5e-5)
    losses, alone = (
        [(line["step"], line["generator_loss"]) for line in lines(run)]
        for run in (own, tmp_path / "alone")
    )
    np.testing.assert_allclose(losses, alone, rtol=1e-3)
    assert {path.name for path in (own / "samples").iterdir()} == {
        "000006.png",
        "000012.png",
    }
    sample.main(str(own), str(tmp_path / "drawn.png"), count=4)
    other = arrays(config, two_seeds / "seed_5")
    assert any(
        not np.allclose(a, b) for a, b in zip(other, arrays(config, own), strict=True)
    )


def test_several_seeds_go_on_from_the_last_step_that_all_have(
    config: Any, two_seeds: Path, tmp_path: Path
):
    shutil.copytree(two_seeds, tmp_path / "killed")
    own = [tmp_path / "killed" / f"seed_{seed}" for seed in (5, 6)]
    before = [arrays(config, run) for run in own]
    shutil.rmtree(own[1] / "checkpoints" / "12")
    config.seed, config.seeds = 5, 2
    train.main(config, str(tmp_path / "killed"))
    for run, expected in zip(own, before, strict=True):
        for one, other in zip(arrays(config, run), expected, strict=True):
            np.testing.assert_array_equal(one, other)
        assert [line["step"] for line in lines(run)] == [2, 4, 6, 8, 10, 12]
    config.seeds = 3
    with pytest.raises(ValueError, match=r"seeds \(2 there, 3 here\)"):
        train.main(config, str(tmp_path / "killed"))


def test_seeds_without_a_common_step_are_left_as_they_are(
    config: Any, two_seeds: Path, tmp_path: Path
):
    shutil.copytree(two_seeds, tmp_path / "apart")
    for step in (
        "seed_5/checkpoints/4",
        "seed_6/checkpoints/8",
        "seed_6/checkpoints/12",
    ):
        shutil.rmtree(tmp_path / "apart" / step)
    before = sorted(tmp_path.rglob("*"))
    config.seed, config.seeds = 5, 2
    with pytest.raises(ValueError, match=r"of the same step; got \[8, 12\], \[4\]"):
        train.main(config, str(tmp_path / "apart"))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_largest_seed_trains(config: Any, tmp_path: Path):
    config.seed, config.steps = runs.LARGEST_SEED, 2
    train.main(config, str(tmp_path))
    assert len(lines(tmp_path)) == 1


def test_pictures_that_the_device_cannot_count_stay_on_the_host(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(train.resident, "countable", lambda *_: False)
    config.data.on_device, config.steps = "auto", 2
    train.main(config, str(tmp_path))
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["data"]["on_device"] is False


def test_a_run_whose_pictures_the_device_keeps_goes_on_as_if_never_stopped(
    config: Any, tmp_path: Path
):
    config.data.on_device = "true"
    train.main(config, str(tmp_path / "more"))
    config.steps = 20
    train.main(config, str(tmp_path / "more"))
    config.steps_per_call = 4
    train.main(config, str(tmp_path / "once"))
    more, once = (arrays(config, tmp_path / name) for name in ("more", "once"))
    for one, other in zip(more, once, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_run_keeps_its_pictures_where_it_began_to(
    config: Any,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    def kept(workdir: Path) -> bool:
        return json.loads((workdir / "config.json").read_text())["data"]["on_device"]

    # Rooms are those for pictures alone.
    monkeypatch.setattr(train.costs.Cost, "check_room", lambda *_: None)
    config.steps = 2
    for room, on_device in ((10**9, True), (10**3, False), (None, False)):
        again, workdir = copy.deepcopy(config), tmp_path / str(room)
        again.data.on_device = "auto"
        monkeypatch.setattr(train.machine, "memory", lambda room=room: room)
        train.main(again, str(workdir))
        assert kept(workdir) is on_device
        where = "on the device" if on_device else "on the host"
        assert f"kept {where}" in capsys.readouterr().err

    monkeypatch.setattr(train.machine, "memory", lambda: 10**6)
    config.steps = 3
    for setting, workdir, complaint in (
        ("auto", tmp_path / "1000000000", r"at least the 0.00 GB of .*; it has 0.00"),
        ("true", tmp_path / "1000", r"on_device \(False there, True here\)"),
        ("false", tmp_path / "1000000000", r"on_device \(True there, False here\)"),
    ):
        config.data.on_device = setting
        with pytest.raises(ValueError, match=complaint):
            train.main(copy.deepcopy(config), str(workdir))


def test_a_run_from_before_the_device_could_keep_pictures_goes_on(
    config: Any, tmp_path: Path
):
    train.main(config, str(tmp_path))
    path = tmp_path / "config.json"
    there = json.loads(path.read_text())
    del there["data"]["on_device"]
    path.write_text(json.dumps(there))
    sample.main(str(tmp_path), str(tmp_path / "out.png"), count=2)
    config.steps = 13
    with config.ignore_type():
        config.data.on_device = "auto"
    train.main(config, str(tmp_path))
    assert json.loads(path.read_text())["data"]["on_device"] is False


def set_to(key: str, value: object) -> Callable[[Any], None]:
    return lambda config: config.update_from_flattened_dict({key: value})


def test_other_settings_in_the_same_workdir_are_named(config: Any, tmp_path: Path):
    train.main(config, str(tmp_path))
    before = (tmp_path / "config.json").read_bytes()
    config.generator.width = 8
    config.optimizer.b1 = 0.9
    with pytest.raises(
        ValueError, match=r"generator.width \(4 there, 8 here\), optimizer.b1"
    ):
        train.main(config, str(tmp_path))
    assert (tmp_path / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("size", 48, "size must be one of"),
        ("generator.width", 0, "width must be at least 1"),
        ("batch_size", 0, "batch_size must be at least 1"),
        ("steps", 0, "steps must be at least 1"),
        ("steps_per_call", 0, "steps_per_call must be at least 1"),
        ("seed", -1, "seed must be from 0 to 4294967295; got -1"),
        ("seed", 2**32, "seed must be from 0 to 4294967295"),
        ("samples.every_steps", 0, "samples.every_steps must be at least 1"),
        ("evaluate.every_steps", -1, "evaluate.every_steps must not be negative"),
        ("evaluate.count", 19, "evaluate.count must be at least 20; got 19"),
        ("loss", "hinge", "loss must be one of"),
        ("parallel", "threads", "parallel must be one of"),
        ("dtype", "float8", "dtype must be one of"),
        ("data.name", "photos", "data.name must be one of"),
        ("data.data_dir", "/nowhere", "data_dir must hold a dataset"),
        ("data.workers", -1, "workers must not be negative"),
        ("data.on_device", "yes", "data.on_device must be auto, true or false"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    config: Any, tmp_path: Path, key: str, value: object, complaint: str
):
    config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match=complaint):
        train.main(config, str(tmp_path / "run"))
    assert not (tmp_path / "run" / "config.json").exists()


def test_a_folder_with_other_things_is_left_alone(config: Any, tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("all my work")
    with pytest.raises(ValueError, match="workdir must be empty or hold a run"):
        train.main(config, str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_run_killed_while_it_wrote_its_config_starts_anew(
    config: Any, tmp_path: Path
):
    (tmp_path / "config.unfinished").write_text('{"steps": 1')
    train.main(config, str(tmp_path))
    assert len(lines(tmp_path)) == 6


def test_a_workdir_that_cannot_be_made_is_one_line(tmp_path: Path):
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jaxart.train"),
            f"--config={ROOT / 'configs/quick.py'}",
            f"--workdir={tmp_path / 'file' / 'run'}",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "Not a directory" in line


def test_an_unknown_config_key_is_one_line(tmp_path: Path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jaxart.train"),
            f"--config={ROOT / 'configs/quick.py'}",
            f"--workdir={tmp_path}",
            "--config.generator.widht=8",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "widht" in line
    assert not list(tmp_path.iterdir())


def test_a_batch_that_devices_cannot_share_is_one_line(tmp_path: Path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "jaxart.train"),
            f"--config={ROOT / 'configs/quick.py'}",
            f"--workdir={tmp_path}",
            "--config.batch_size=12",
        ],
        env={**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "multiple of the 8 devices; got 12" in line

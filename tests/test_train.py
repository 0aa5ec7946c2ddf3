"""The training command: what it writes, how it resumes, what it refuses."""

import contextlib
import copy
import functools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from jaxart import command, machine, sample, train, vgg
from jaxart.checkpoints import Checkpoints
from jaxart.gan import feature_metrics, latents, parallel, run_dir, train_loop, trained
from jaxart.gan.run_dir import RunDir
from jaxart.gan.settings import SINCE_0_3, Settings, flatten
from jaxart.gan.update import TrainState, init_state
from jaxart.metrics import Estimate
from jaxart.paintings import dataset, pipeline
from jaxart.validation import MAX_SEED


ROOT = Path(__file__).parents[1]


def lines(workdir: Path) -> list[dict]:
    """Return the metrics so far, but for a line that is half-written."""
    path = workdir / "metrics.jsonl"
    whole = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in whole if line.endswith("\n")]


def new_state(workdir: Path) -> TrainState:
    """Return the state of a run before its first update."""
    settings = run_dir.read_settings(workdir)
    networks = settings.make_networks(settings.seed)
    return init_state(*networks, settings.make_recipe(), settings.seed)


def arrays(workdir: Path) -> list[np.ndarray]:
    """Return every array of the latest checkpoint."""
    with closing(Checkpoints(str(workdir))) as checkpoints:
        step = checkpoints.find(None)
        parts = checkpoints.restore(step, run_dir.to_parts(new_state(workdir)))
    return [np.asarray(leaf) for leaf in jax.tree.leaves(parts)]


def assert_same_run(one: Path, other: Path) -> None:
    """Two runs have the same checkpoints, samples and metrics, to the byte."""
    for a, b in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(a, b)
    written = [
        [line | {"images_per_second": None} for line in lines(run)]
        for run in (one, other)
    ]
    assert written[0] == written[1] != []
    samples = [
        {path.name: path.read_bytes() for path in (run / "samples").iterdir()}
        for run in (one, other)
    ]
    assert samples[0] == samples[1]


def test_a_run_leaves_what_the_contract_says(tiny_run: Path):
    config = json.loads((tiny_run / "config.json").read_text())
    assert config["generator"]["width"] == 4
    assert [line["step"] for line in lines(tiny_run)] == [2, 4, 6, 8, 10, 12]
    checkpoints = {path.name for path in (tiny_run / "checkpoints").iterdir()}
    assert checkpoints == {"4", "8", "12"}
    assert sorted(path.name for path in (tiny_run / "samples").iterdir()) == [
        "000006.png",
        "000012.png",
    ]
    assert list(tiny_run.glob("events.out.tfevents.*"))
    assert not (tiny_run / "lock").exists()
    with Image.open(tiny_run / "samples" / "000012.png") as grid:
        assert grid.size == (32 + 2 + 32, 32 + 2 + 32)


def test_a_run_says_what_it_costs_and_how_fast_it_went(
    config: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    config.steps = 2
    train.main(config, str(tmp_path))
    out = capsys.readouterr().out.splitlines()
    names = [line.split(":")[0] for line in out]
    assert names == ["parameters", "arithmetic", "memory", "speed", "done"]
    state = new_state(tmp_path)
    counts = [
        sum(leaf.size for leaf in jax.tree.leaves(network.params))
        for network in (state.generator, state.discriminator)
    ]
    assert out[0] == f"parameters: {counts[0]:,} of G, {counts[1]:,} of D"
    assert float(out[3].split()[1].replace(",", "")) > 0
    assert "own matrix products" in out[3]
    train.main(config, str(tmp_path))  # nothing is left to do
    config.steps = 1  # fewer than are done
    train.main(config, str(tmp_path))
    assert "speed" not in capsys.readouterr().out


def test_a_batch_that_cannot_fit_is_refused_and_leaves_the_folder_free(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(machine, "memory_limit", lambda: 1_000_000)
    message = r"batch_size must fit into memory: 8 needs [\d.]+ GB, and 0.001 GB"
    with pytest.raises(ValueError, match=message):
        train.main(config, str(tmp_path))
    assert not (tmp_path / "config.json").exists()
    with RunDir(tmp_path):
        pass


LAYERS = ("relu1_2",)  # of VGG16, the cheapest ones
make_extractor = functools.cache(feature_metrics.vgg_extractor)  # compiled once


@contextlib.contextmanager
def cheap_extractor() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        cheap = make_extractor(LAYERS)
        patch.setattr(feature_metrics, "vgg_extractor", lambda: cheap)
        yield


@pytest.fixture(scope="module")
def evaluated_config(small_config: Any) -> Any:
    """Evaluated four times, at steps that are not all logged or saved."""
    config = copy.deepcopy(small_config)
    config.evaluate.every_steps = 3
    config.evaluate.count = feature_metrics.MIN_COUNT
    config.checkpoints.every_steps = 12
    config.checkpoints.keep = 1
    return config


@pytest.fixture(scope="module")
def evaluated_run(
    evaluated_config: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    workdir = tmp_path_factory.mktemp("evaluated")
    with cheap_extractor():
        train.main(evaluated_config, str(workdir))
    return workdir


def test_the_loop_compiles_nothing_after_its_first_steps(
    evaluated_config: Any, evaluated_run: Path, tmp_path: Path
):
    compilations: list[str] = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, duration_secs, **_: compilations.append(event)
    )

    def compiled(steps: int) -> int:
        config = copy.deepcopy(evaluated_config)
        config.steps = steps
        compilations.clear()
        train.main(config, str(tmp_path / str(steps)))
        return sum("backend_compile" in name for name in compilations)

    try:
        with cheap_extractor():
            few, many = compiled(6), compiled(24)
    finally:
        jax.monitoring.clear_event_listeners()
    assert few == many > 0


def test_evaluation_changes_nothing_but_the_log(evaluated_run: Path, tiny_run: Path):
    for one, other in zip(arrays(evaluated_run), arrays(tiny_run), strict=True):
        np.testing.assert_array_equal(one, other)

    def losses(workdir: Path) -> dict[int, float]:
        return {line["step"]: line["generator_loss"] for line in lines(workdir)}

    evaluated, plain = losses(evaluated_run), losses(tiny_run)
    assert list(plain) == [2, 4, 6, 8, 10, 12]
    assert evaluated == plain | {step: evaluated[step] for step in (3, 9)}


def test_the_best_checkpoint_is_kept_and_can_be_sampled(
    evaluated_run: Path, tmp_path: Path
):
    distances = {
        line["step"]: line["vgg_frechet_distance"]
        for line in lines(evaluated_run)
        if "vgg_frechet_distance" in line
    }
    assert list(distances) == [3, 6, 9, 12]
    best = min(distances, key=distances.__getitem__)
    kept = {int(path.name) for path in (evaluated_run / "checkpoints").iterdir()}
    assert kept == {best, 12}
    with closing(Checkpoints(str(evaluated_run))) as checkpoints:
        assert checkpoints.best() == (best, distances[best])
    for step in ("best", str(best)):
        out = tmp_path / f"{step}.png"
        sample.main(str(evaluated_run), str(out), count=4, step=step)
    one, other = (tmp_path / f"{step}.png" for step in ("best", best))
    assert one.read_bytes() == other.read_bytes()


def test_a_logged_distance_is_that_of_the_samples(evaluated_run: Path):
    generator, state, settings, _ = trained.restore_generator(str(evaluated_run), "12")
    inference = nnx.view(generator, use_running_average=True)
    nnx.update(inference, *jax.tree.map(jnp.asarray, state))
    z = latents.sample_latents(
        0, range(feature_metrics.MIN_COUNT), settings.generator.latent
    )
    samples = np.rint(np.clip((np.asarray(inference(z)) + 1) * 127.5, 0, 255))
    source = dataset.open_source(settings.data.data_dir, "paintings")
    crops = pipeline.crops(source, size=32, count=feature_metrics.MIN_COUNT, seed=0)

    def features(pixels: np.ndarray) -> np.ndarray:
        scaled = jnp.asarray(pixels, jnp.float32) / 255
        maps = vgg.features(vgg.load(), scaled, LAYERS)
        return np.concatenate([np.asarray(x, float).mean((1, 2)) for x in maps], 1)

    real, fake = features(crops), features(samples)
    (m, a), (n, b) = (
        (rows.mean(0), np.cov(rows, rowvar=False)) for rows in (real, fake)
    )
    # The definition, with eigenvalues of AB, which are not negative but for rounding.
    roots = np.sqrt(np.maximum(np.linalg.eigvals(a @ b).real, 0)).sum()
    distance = (m - n) @ (m - n) + np.trace(a) + np.trace(b) - 2 * roots
    last = lines(evaluated_run)[-1]
    assert last["vgg_frechet_distance"] == pytest.approx(distance, rel=1e-3)
    spread = fake.std(0).mean() / real.std(0).mean()
    assert last["vgg_spread"] == pytest.approx(spread, rel=1e-3)


@pytest.mark.parametrize("stop", [None, 9])
def test_a_collapse_is_said_once_with_the_step_to_return_to(
    config: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    stop: int | None,
):
    distances = iter([300.0, 200.0, 301.0, 302.0, 303.0, 304.0])
    monkeypatch.setattr(
        train_loop,
        "make_distance_fn",
        lambda *_: lambda _: train_loop.Measured(Estimate(next(distances), 1.0), 0.9),
    )
    config.evaluate.every_steps = 2
    if stop:
        count = train_loop.updates_of_next_call

        def send(step: int, settings: Settings) -> int:
            if step == stop - 1:
                os.kill(os.getpid(), signal.SIGTERM)
            return count(step, settings)

        with monkeypatch.context() as patch:
            patch.setattr(train_loop, "updates_of_next_call", send)
            with pytest.raises(command.Stopped):
                train.main(config, str(tmp_path))
        assert "collapsed" not in capsys.readouterr().err
    train.main(config, str(tmp_path))
    said = [text for text in capsys.readouterr().err.splitlines() if "collaps" in text]
    assert said == [
        "step 10: collapsed? 3 distances in a row were above 1.5 times the 200 of step "
        "4; --from_step=4 returns to the best"
    ]


def test_updates_in_one_call_change_nothing_and_compile_twice(
    config: Any, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    made: list[parallel.ParallelUpdate] = []
    make_updates = parallel.make_parallel_update

    def spy(*networks: Any, **settings: Any) -> parallel.ParallelUpdate:
        made.append(make_updates(*networks, **settings))
        return made[-1]

    monkeypatch.setattr(parallel, "make_parallel_update", spy)
    config.steps_per_call = 4
    train.main(config, str(tmp_path))
    assert_same_run(tmp_path, tiny_run)
    assert [updates.run._cache_size() for updates in made] == [2]  # pyright: ignore


def test_a_resumed_run_equals_one_that_never_stopped(
    config: Any, tiny_run: Path, tmp_path: Path
):
    config.steps = 6
    train.main(config, str(tmp_path))
    config.steps = 12
    train.main(config, str(tmp_path))
    assert_same_run(tmp_path, tiny_run)


def test_a_resumed_run_with_every_option_equals_one_that_never_stopped(
    every_option_config: Any, every_option_run: Path, tmp_path: Path
):
    config = copy.deepcopy(every_option_config)
    config.steps = 6  # between two penalties
    train.main(config, str(tmp_path))
    config.steps = 12
    train.main(config, str(tmp_path))
    assert_same_run(tmp_path, every_option_run)
    state = new_state(every_option_run)
    assert state.average is not None
    assert state.augment_probability is not None


def test_a_resumed_run_of_strokes_equals_one_that_never_stopped(
    strokes_config: Any, strokes_run: Path, tmp_path: Path
):
    config = copy.deepcopy(strokes_config)
    config.steps = 6
    train.main(config, str(tmp_path))
    config.steps = 12
    train.main(config, str(tmp_path))
    assert_same_run(tmp_path, strokes_run)


@pytest.mark.slow
def test_a_run_may_move_between_host_and_device(
    config: Any, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cut_by_device = []
    crops = train.atlas.crops

    def spy(*arguments: Any) -> Any:
        cut_by_device.append(arguments)
        return crops(*arguments)

    monkeypatch.setattr(train.atlas, "crops", spy)
    config.steps, config.data.on_device = 6, "true"
    train.main(config, str(tmp_path))
    assert cut_by_device
    cut_by_device.clear()
    config.steps, config.data.on_device = 12, "false"
    train.main(config, str(tmp_path))
    assert not cut_by_device
    assert_same_run(tmp_path, tiny_run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_saves_the_step(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
):
    count = train_loop.updates_of_next_call

    def send_at_step_7(step: int, settings: Settings) -> int:
        if step == 6:
            os.kill(os.getpid(), number)
        return count(step, settings)

    monkeypatch.setattr(train_loop, "updates_of_next_call", send_at_step_7)
    with pytest.raises(command.Stopped, match="saved step 7 in") as stopped:
        train.main(config, str(tmp_path))
    assert stopped.value.exit_code == 128 + number
    with closing(Checkpoints(str(tmp_path))) as checkpoints:
        assert checkpoints.latest() == 7


def test_a_loss_that_is_not_finite_names_step_and_checkpoint(
    config: Any, tmp_path: Path
):
    config.optimizer.learning_rate = 1e38
    with pytest.raises(
        ValueError, match=r"not a finite number at step \d+; .*step None"
    ):
        train.main(config, str(tmp_path))


def test_the_largest_seed_trains(config: Any, tmp_path: Path):
    config.seed, config.steps = MAX_SEED, 2
    train.main(config, str(tmp_path))
    assert len(lines(tmp_path)) == 1


def test_other_settings_in_the_same_workdir_are_named(
    config: Any, tiny_run: Path, tmp_path: Path
):
    shutil.copy(tiny_run / "config.json", tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    config.generator.width = 8
    config.optimizer.b1 = 0.9
    message = r"generator.width \(was 4, now 8\), optimizer.b1 \(was 0.5, now 0.9\)"
    with pytest.raises(ValueError, match=message):
        train.main(config, str(tmp_path))
    assert (tmp_path / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("size", 48, "size must be one of"),
        ("data.name", "photos", "data.name must be one of"),
        ("data.data_dir", "/nowhere", "data_dir must hold a dataset"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    config: Any, tmp_path: Path, key: str, value: object, complaint: str
):
    config.update_from_flattened_dict({key: value})
    with pytest.raises(ValueError, match=complaint):
        train.main(config, str(tmp_path / "run"))
    assert not list((tmp_path / "run").glob("*"))


def test_a_run_may_begin_with_the_networks_of_another(
    config: Any, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    first: list[np.ndarray] = []  # samples before each first update
    loop = train_loop.train_loop

    def spy(*arguments: Any, state: TrainState, **others: Any) -> Any:
        first.append(np.asarray(sampler(state.generator, points)))
        return loop(*arguments, state=state, **others)

    monkeypatch.setattr(train_loop, "train_loop", spy)
    generator = trained.restore_generator(str(tiny_run), "8")
    points = latents.sample_latents(0, range(4), generator.settings.generator.latent)
    sampler = latents.make_sampler(generator.network)
    config.seed, config.optimizer.learning_rate = 5, 1e-3
    start: dict[str, Any] = {"from_": str(tiny_run), "step": "8"}
    train.main(config, str(whole), **start)
    assert [line["step"] for line in lines(whole)] == [2, 4, 6, 8, 10, 12]
    assert run_dir.read_origin(whole) == run_dir.Origin(str(tiny_run), 8)
    np.testing.assert_array_equal(first[0], sampler(generator.state, points))

    config.steps = 6
    train.main(config, str(parts), **start)
    config.steps = 12
    train.main(config, str(parts))  # goes on without being told from what
    assert_same_run(parts, whole)
    train.main(config, str(parts), from_=str(tiny_run))
    refused: list[tuple[dict[str, Any], str]] = [
        ({"from_": str(whole)}, f"it began from {tiny_run}, not from {whole}"),
        ({"from_": str(tiny_run), "step": "4"}, "step must be what .* 8; got 4"),
        ({"step": "8"}, "step must go with from; got 8"),
    ]
    for other, complaint in refused:
        with pytest.raises(ValueError, match=complaint):
            train.main(config, str(parts), **other)


@pytest.mark.slow
def test_a_run_begins_with_another_one_only_if_their_networks_agree(
    config: Any, tiny_run: Path, tmp_path: Path
):
    config.generator.width = 8
    with pytest.raises(ValueError, match=r"generator.width \(there 4, here 8\)"):
        train.main(config, str(tmp_path / "run"), from_=str(tiny_run))
    config.generator.width = 4
    refused: list[tuple[dict[str, Any], str]] = [
        ({"from_": str(tmp_path)}, "must hold a run"),
        ({"from_": str(tiny_run), "step": "5"}, "step must be one of"),
        ({"from_": str(tiny_run), "step": "best"}, "step best needs a checkpoint"),
    ]
    for other, complaint in refused:
        with pytest.raises(ValueError, match=complaint):
            train.main(config, str(tmp_path / "run"), **other)
    assert not list((tmp_path / "run").glob("*.json"))
    shutil.copytree(tiny_run, tmp_path / "other")
    with pytest.raises(ValueError, match="it began from new networks"):
        train.main(config, str(tmp_path / "other"), from_=str(tiny_run))


def test_an_older_run_is_resumed(config: Any, tiny_run: Path, tmp_path: Path):
    shutil.copytree(tiny_run, tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    old = json.loads(path.read_text()) | {"seeds": 1}
    for key in SINCE_0_3:
        section, name = key.split(".")
        del old[section][name]
    path.write_text(json.dumps(old))
    config.steps = 13
    train.main(config, str(tmp_path / "run"))
    assert "seeds" not in json.loads(path.read_text())
    assert [step.name for step in (tmp_path / "run/checkpoints").glob("13")] == ["13"]


@pytest.fixture
def copied_run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def kept(workdir: Path) -> tuple[set[str], set[str]]:
    """Return the names of checkpoints and samples."""
    folders = (workdir / "checkpoints", workdir / "samples")
    checkpoints, samples = ({p.name for p in folder.iterdir()} for folder in folders)
    return checkpoints, samples


def test_a_run_that_goes_back_with_the_same_settings_repeats_itself(
    config: Any,
    tiny_run: Path,
    copied_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    loop = train_loop.train_loop
    seen = []

    def spy(*arguments: Any, **others: Any) -> Any:
        steps = [line["step"] for line in lines(copied_run)]
        seen.append((*kept(copied_run), steps, others["start_step"]))
        return loop(*arguments, **others)

    monkeypatch.setattr(train_loop, "train_loop", spy)
    train.main(config, str(copied_run), from_step=4)
    assert seen == [({"4"}, set(), [2, 4], 4)]
    assert_same_run(copied_run, tiny_run)
    assert kept(copied_run) == kept(tiny_run)
    config_files = [run / "config.json" for run in (copied_run, tiny_run)]
    assert config_files[0].read_bytes() == config_files[1].read_bytes()
    said = capsys.readouterr().out.splitlines()[0]
    assert said == (
        "back at step 4: what came later is removed, checkpoints 8, 12 among it; with "
        "the same settings, the run will repeat itself"
    )
    train.main(config, str(copied_run), from_step=12)
    assert kept(copied_run) == kept(tiny_run)


@pytest.mark.parametrize("moment", ["removing", "training", None])
def test_a_run_goes_back_with_other_settings_or_not_at_all(
    config: Any,
    copied_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moment: str | None,
):
    """Killed while it removes what came later, or before its first checkpoint."""
    whole = Path(shutil.copytree(copied_run, tmp_path / "whole"))
    old = copy.deepcopy(config)
    config.seed, config.optimizer.learning_rate = 5, 1e-3
    if moment is None:  # before anything is changed
        with monkeypatch.context() as patch:
            patch.setattr(RunDir, "_write_config", kill)
            with pytest.raises(KeyboardInterrupt):
                train.main(config, str(copied_run), from_step=4)
        assert kept(copied_run) == kept(whole)
        train.main(old, str(copied_run))
        assert_same_run(copied_run, whole)
        return
    train.main(config, str(whole), from_step=4)
    with monkeypatch.context() as patch:
        if moment == "training":
            patch.setattr(train_loop, "train_loop", kill)
        else:
            patch.setattr(RunDir, "_remove_after", half_removed)
        with pytest.raises(KeyboardInterrupt):
            train.main(config, str(copied_run), from_step=4)
    sample.main(str(copied_run), str(tmp_path / "grid.png"), count=1)
    with pytest.raises(
        ValueError, match=r"holds a run with other settings: optim.*see"
    ):
        train.main(old, str(copied_run))
    train.main(config, str(copied_run))
    assert_same_run(copied_run, whole)


def kill(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def half_removed(folder: RunDir, step: int) -> None:
    """Be killed in the middle of removing a checkpoint, and before the others."""
    assert step == 4
    for path in (folder.path / "checkpoints/12").iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        raise KeyboardInterrupt


def test_a_run_that_went_back_has_the_key_of_its_new_seed(
    config: Any, copied_run: Path
):
    config.seed = 5
    train.main(config, str(copied_run), from_step=8)
    state = new_state(copied_run)
    with closing(Checkpoints(str(copied_run))) as checkpoints:
        parts = checkpoints.restore(12, run_dir.to_parts(state))
    assert run_dir.read_settings(copied_run).seed == 5
    np.testing.assert_array_equal(parts["run"]["key"], state.key)
    before = jax.random.key_data(jax.random.key(0))
    assert not np.array_equal(parts["run"]["key"], before)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        (
            "steps",
            12,
            r"from_step must be one of the checkpoints \[4, 8, 12\] .* got 5",
        ),
        ("generator.width", 8, r"other settings: generator.width \(was 4, now 8\)$"),
        ("data.name", "synthetic", r"data.name \(was paintings, now synthetic\)$"),
    ],
)
def test_a_run_cannot_go_back_to_what_is_gone_or_as_another_one(
    config: Any, copied_run: Path, tiny_run: Path, key: str, value: Any, complaint: str
):
    config.optimizer.learning_rate = 1e-3
    config.update_from_flattened_dict({key: value})
    step = 5 if key == "steps" else 4
    with pytest.raises(ValueError, match=complaint):
        train.main(config, str(copied_run), from_step=step)
    assert kept(copied_run) == kept(tiny_run)


def test_only_a_run_goes_back_and_not_with_another_one(
    config: Any, tiny_run: Path, tmp_path: Path
):
    with pytest.raises(ValueError, match="workdir must hold a run"):
        train.main(config, str(tmp_path / "new"), from_step=4)
    with pytest.raises(ValueError, match="from_step cannot go with from; got 4 and"):
        train.main(config, str(tmp_path / "new"), from_=str(tiny_run), from_step=4)


class Ended(NamedTuple):
    """What became of a command in a process of its own."""

    code: int
    errors: list[str]


def start(
    config: Any, workdir: Path, *flags: str, **environment: str
) -> subprocess.Popen[str]:
    """Start the training command in a process of its own."""
    settings = [f"--config.{key}={value}" for key, value in flatten(config).items()]
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "jaxart.train"),
            f"--config={ROOT / 'configs/art.py'}",
            f"--workdir={workdir}",
            *flags,
            *settings,
        ],
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> Ended:
    _, errors = process.communicate(timeout=300)
    return Ended(process.returncode, errors.splitlines())


def test_two_commands_do_not_train_in_one_folder(
    config: Any, tiny_run: Path, tmp_path: Path
):
    shutil.copytree(tiny_run, tmp_path / "run")
    with RunDir(tmp_path / "run"):
        code, errors = end(start(config, tmp_path / "run"))
        # To read, no lock is needed.
        sample.main(str(tmp_path / "run"), str(tmp_path / "grid.png"), count=1)
    message = f"error: workdir {tmp_path / 'run'} is in use by another training process"
    assert (code, errors) == (2, [message])


def wait_for(step: int, process: subprocess.Popen[str], workdir: Path) -> None:
    """Wait until a run has logged a step, or has ended."""
    while process.poll() is None:
        if any(line["step"] >= step for line in lines(workdir)):
            return
        time.sleep(0.005)


@pytest.fixture
def long_config(config: Any) -> Any:
    config.steps = 200
    config.steps_per_call = 4
    config.checkpoints.every_steps = 25
    config.samples.every_steps = 100
    config.log.every_steps = 5
    config.evaluate.every_steps = 100
    config.evaluate.count = feature_metrics.MIN_COUNT
    return config


@pytest.mark.slow
def test_killed_at_random_moments_and_resumed_equals_never_stopped(
    long_config: Any, tmp_path: Path
):
    moments = random.Random(0)
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for target in sorted(moments.sample(range(5, 180), 3)):
        process = start(long_config, killed)
        wait_for(target, process, killed)
        time.sleep(moments.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        assert end(process).code == -signal.SIGKILL
    assert end(start(long_config, killed)).code == 0
    long_config.steps_per_call = 1
    train.main(long_config, str(whole))
    assert_same_run(killed, whole)
    best: list[Any] = []
    for workdir in (killed, whole):
        with closing(Checkpoints(str(workdir))) as checkpoints:
            best.append(checkpoints.best())
    assert best[0] == best[1] is not None


@pytest.mark.slow
def test_killed_at_random_moments_while_it_goes_back_a_run_is_the_old_or_the_new_one(
    config: Any, copied_run: Path, tiny_run: Path, tmp_path: Path
):
    whole = Path(shutil.copytree(copied_run, tmp_path / "whole"))
    old = copy.deepcopy(config)
    config.seed = 5
    begin = time.monotonic()
    assert end(start(config, whole, "--from_step=4")).code == 0
    seconds = time.monotonic() - begin
    moments = random.Random()
    delays = [moments.uniform(seconds / 3, seconds) for _ in range(4)]
    for delay in delays:
        shutil.rmtree(copied_run)
        shutil.copytree(tiny_run, copied_run)
        process = start(config, copied_run, "--from_step=4")
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        end(process)
        is_old = run_dir.read_settings(copied_run).seed == 0
        assert end(start(old if is_old else config, copied_run)).code == 0
        assert_same_run(copied_run, tiny_run if is_old else whole)

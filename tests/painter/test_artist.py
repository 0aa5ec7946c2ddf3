import dataclasses
import hashlib
import json
import runpy
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx

from jaxart.drawing.brushes import SOFT
from jaxart.painter import artist as artists
from jaxart.painter import artist_run, painting
from jaxart.painter import artist_training as training
from jaxart.painter.artist import BLOCK, BLOCKS, Artist, Predictor
from jaxart.painter.artist_settings import GRID, ArtistSettings
from jaxart.painter.artist_training import Pool
from jaxart.painter.placement import WINDOW
from jaxart.painter.problem import make_problem
from jaxart.painter.settings import Settings


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def quick() -> ArtistSettings:
    config = runpy.run_path(str(ROOT / "configs/artist.py"))["get_config"]()
    config.side, config.hypotheses, config.hidden = 128, 40, 4
    config.periods, config.pictures, config.strokes = 2, 2, 60
    config.windows, config.updates, config.batch_size, config.candidates = 8, 2, 4, 2
    return ArtistSettings(**config)


@pytest.fixture(scope="session")
def pictures() -> list[np.ndarray]:
    """Three pictures of soft waves."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:100, :110] / 100
    waves = [np.sin(9 * rng.normal(size=2) @ [y.ravel(), x.ravel()]) for _ in range(9)]
    levels = np.array(waves).reshape(3, 3, 100, 110).transpose(0, 2, 3, 1)
    return [(127 + 120 * one).astype(np.uint8) for one in levels]


@pytest.fixture(scope="session")
def grid() -> Artist:
    return Artist(4, artists.initial_hypotheses(), nnx.Rngs(0))


def by_blocks(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random planes of a window, equal within each block."""
    side = WINDOW // BLOCK
    blocks = rng.random((*shape, side, side)).astype(np.float32)
    return blocks.repeat(BLOCK, -2).repeat(BLOCK, -1)


def test_reductions_are_those_of_strokes_drawn_in_the_best_of_many_colours():
    rng = np.random.default_rng(1)
    canvas, picture, weights = (by_blocks(rng, *shape) for shape in ((3,), (3,), ()))
    coverage = by_blocks(rng) ** 3

    def error(colours: np.ndarray) -> np.ndarray:
        drawn = canvas + coverage * (colours[:, :, None, None] - canvas)
        return (weights * (drawn - picture) ** 2).sum((2, 3))

    levels = np.tile(np.linspace(0, 1, 1_001)[:, None], 3)
    least = error(levels).min(0).sum()
    expected = (weights * (canvas - picture) ** 2).sum() - least

    graph, state = nnx.split(Artist(1, np.zeros((1, 5), np.float32), nnx.Rngs(0)))
    blocks = artists.average_blocks(jnp.asarray(coverage[None]))
    squared = artists.average_blocks(jnp.asarray(coverage[None] ** 2))
    windows = artists.look(*(jnp.asarray(p[None]) for p in (canvas, picture, weights)))
    found = artists.reductions(Predictor(graph, state, blocks, squared), windows)
    np.testing.assert_allclose(found, [[expected]], rtol=1e-4)


def test_hypotheses_stay_in_their_windows():
    wild = 100 * np.random.default_rng(2).normal(size=(500, 5)).astype(np.float32)
    strokes = artists.clip_hypotheses(jnp.asarray(wild))
    coverage = np.asarray(artists.draw_hypotheses(strokes, SOFT))
    edge = np.ones((WINDOW, WINDOW), bool)
    edge[1:-1, 1:-1] = False
    assert not coverage[:, edge].any()
    assert coverage.max((1, 2)).min() > 0.1


def test_the_best_hypothesis_lies_where_the_canvas_is_wrong(grid: Artist):
    canvas = np.full((1, 3, WINDOW, WINDOW), 0.5, np.float32)
    picture = canvas.copy()
    picture[:, 0, 30:36, 20:44] = 1.0  # a bar from left to right
    weights = np.full((1, WINDOW, WINDOW), 1 / WINDOW**2, np.float32)
    windows = artists.look(*map(jnp.asarray, (canvas, picture, weights)))
    proposal = artists.propose(artists.make_predictor(grid, SOFT), windows)
    x, y, length, width, angle = np.asarray(proposal.strokes[0])
    assert abs(x - 8) <= 4
    assert abs(y - 9) <= 4
    assert length > 1.5 * width
    assert angle == 0
    assert proposal.worth[0] > 0


def test_an_untrained_network_changes_no_worth(grid: Artist):
    rng = np.random.default_rng(3)
    planes = jnp.asarray(rng.random((2, 2, 3, BLOCKS), np.float32))
    np.testing.assert_array_equal(grid.log_factors(*planes), np.zeros((2, GRID)))


def test_an_artist_is_read_as_it_was_written(tmp_path: Path, grid: Artist):
    file = tmp_path / "artist.safetensors"
    digest = artists.save(file, grid, "soft")
    assert digest == hashlib.sha256(file.read_bytes()).hexdigest()
    leaves = (jax.tree.leaves(nnx.state(a)) for a in (grid, artists.load(file, "soft")))
    for a, b in zip(*leaves, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_artist_that_is_shipped_is_small_and_known():
    artists.load(None, "soft")
    assert artists.SHIPPED.stat().st_size <= 4_000_000
    record = json.loads(artists.SHIPPED.with_suffix(".json").read_text())
    assert record["sha256"] == artists.SHIPPED_SHA256
    assert {"settings", "cpu_seconds", "machine", "Command"} <= record.keys()


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ({"version": 0}, "version 0, not 1"),
        ({}, "something else"),
        ({"brush": "knife"}, "brush 'knife'"),
    ],
)
def test_files_of_other_artists_are_refused(
    tmp_path: Path, grid: Artist, metadata: dict[str, Any], text: str
):
    file = tmp_path / "artist.safetensors"
    artists.save(file, grid, "soft")
    about = json.dumps({"version": artists.VERSION, "brush": "soft"} | metadata)
    name = artists.FORMAT if metadata else "another"
    tensors = safetensors.numpy.load_file(file)
    safetensors.numpy.save_file(tensors, file, metadata={name: about})
    with pytest.raises(ValueError, match=text) as error:
        artists.load(file, "soft")
    assert "\n" not in str(error.value)


def test_damaged_and_missing_files_are_refused(tmp_path: Path, grid: Artist):
    file = tmp_path / "artist.safetensors"
    with pytest.raises(ValueError, match="does not exist"):
        artists.load(file, "soft")
    artists.save(file, grid, "soft")
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="must be an artist"):
        artists.load(file, "soft")
    about = json.dumps({"version": artists.VERSION, "brush": "soft"})
    nothing = {"strokes": np.zeros((2, 5), np.float32)}
    safetensors.numpy.save_file(nothing, file, metadata={artists.FORMAT: about})
    with pytest.raises(ValueError, match="must be an artist"):
        artists.load(file, "soft")
    shipped = mock.patch.object(artists, "SHIPPED", file)
    with shipped, pytest.raises(ValueError, match="must have sha256"):
        artists.load(None, "soft")


@pytest.fixture(scope="session")
def by_artist(few: Settings) -> Settings:
    return dataclasses.replace(few, slope="artist+autodiff", strokes=40, refine=0)


def test_a_painting_by_the_artist_is_repeated_and_resumed_exactly(
    disc: np.ndarray, by_artist: Settings
):
    whole = painting.paint(disc, by_artist)
    half = painting.paint(disc, dataclasses.replace(by_artist, strokes=20))
    resumed = painting.paint(disc, by_artist, start=half)
    assert whole.seeds.size == 40
    np.testing.assert_array_equal(whole.strokes, resumed.strokes)
    np.testing.assert_array_equal(whole.seeds, resumed.seeds)


def test_each_stage_of_the_artist_comes_closer_to_the_picture(
    disc: np.ndarray, by_artist: Settings
):
    alone = dataclasses.replace(by_artist, slope="artist")
    for settings in (alone, by_artist):
        first, *_, last = painting.progress(make_problem(disc, settings))
        assert last.psnr > first.psnr + 1


def test_an_update_lowers_the_loss_and_knows_finished_windows(quick: ArtistSettings):
    rng = np.random.default_rng(4)
    canvas, picture = (
        rng.random((4, 3, 12, 12), np.float32).repeat(4, 2).repeat(4, 3)
        for _ in range(2)
    )
    picture[0] = canvas[0]  # nothing is left to do there
    pool = Pool(canvas, picture)
    settings = dataclasses.replace(quick, perceptual_share=0.0)
    judge = training.make_judge(settings)
    trainee = training.begin(settings, pool, judge)
    before = float(
        training.evaluate(trainee, pool, judge)["held_out_squared_error_left"]
    )
    metrics = {}
    for _ in range(8):
        trainee, metrics = training.update(trainee, pool, judge, settings=settings)
    after = float(
        training.evaluate(trainee, pool, judge)["held_out_squared_error_left"]
    )
    assert all(
        np.isfinite(leaf).all() for leaf in jax.tree.leaves(trainee.state.params)
    )
    assert np.isfinite(float(metrics["vgg_left"]))
    assert after < before


def test_a_run_that_was_killed_and_resumed_makes_the_same_artist(
    tmp_path: Path, quick: ArtistSettings, pictures: list[np.ndarray]
):
    files = [tmp_path / f"{name}.safetensors" for name in "ab"]
    artist_run.train(quick, pictures, tmp_path / "a", files[0])
    evaluate, calls = training.evaluate, []

    def killed_in_the_second_period(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return evaluate(*args)

    killed = mock.patch.object(training, "evaluate", killed_in_the_second_period)
    with killed, pytest.raises(KeyboardInterrupt):
        artist_run.train(quick, pictures, tmp_path / "b", files[1])
    artist_run.train(quick, pictures, tmp_path / "b", files[1])
    assert len(calls) == 2
    assert files[0].read_bytes() == files[1].read_bytes()
    record = json.loads(files[1].with_suffix(".json").read_text())
    assert record["last_period"]["period"] == 2


def test_more_candidates_than_hypotheses_are_refused(quick: ArtistSettings):
    with pytest.raises(ValueError, match="candidates must be at most the 1 hypo"):
        dataclasses.replace(quick, hypotheses=1, candidates=2)


def test_a_run_of_other_settings_and_small_pictures_are_refused(
    tmp_path: Path, quick: ArtistSettings, pictures: list[np.ndarray]
):
    out = tmp_path / "artist.safetensors"
    small = [picture[:40] for picture in pictures]
    with pytest.raises(ValueError, match="two pictures of at least 48 x 48"):
        artist_run.train(quick, small, tmp_path / "run", out)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text(
        json.dumps(dataclasses.asdict(quick) | {"seed": 9})
    )
    with pytest.raises(ValueError, match="other settings: seed"):
        artist_run.train(quick, pictures, tmp_path / "run", out)
    with pytest.raises(ValueError, match="empty or hold a run"):
        artist_run.train(quick, pictures, tmp_path, out)


def test_the_artist_refuses_a_brush_that_it_was_not_trained_for(
    disc: np.ndarray, by_artist: Settings
):
    other = dataclasses.replace(by_artist, brush="knife")
    with pytest.raises(ValueError, match="paints with the brush 'soft', not 'knife'"):
        make_problem(disc, other)


def test_the_artist_paints_with_pigments_and_weights_and_leaves_bare(
    disc: np.ndarray, by_artist: Settings
):
    settings = dataclasses.replace(by_artist, strokes=12, pigment="absorbance")
    alpha = np.zeros(disc.shape[:2], np.float32)
    alpha[8:32, 12:40] = 1
    finished = painting.paint(disc, settings, weights=alpha + 0.1, alpha=alpha)
    assert finished.seeds.size == 12
    opacity = painting.canvas(finished, settings, *disc.shape[:2], transparent=True)[4]
    assert opacity[alpha == 1].mean() > 3 * opacity[alpha == 0].mean()

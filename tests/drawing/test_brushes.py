from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxart.drawing import brushes
from jaxart.drawing.brushes import BRISTLE, DRY, FLAT, KNIFE, ROUND, SOFT, Brush, mark


BRUSHES = {
    "round": ROUND,
    "flat": FLAT,
    "bristle": BRISTLE,
    "dry": DRY,
    "knife": KNIFE,
}
every_brush = pytest.mark.parametrize("brush", BRUSHES.values(), ids=BRUSHES.keys())
u, v = jnp.meshgrid(jnp.linspace(-1.5, 1.5, 121), jnp.linspace(-1.5, 1.5, 121))


def average(brush: Brush, where) -> tuple[float, float]:
    """Coverage and height in a part of the frame, averaged over many seeds."""
    seeds = jnp.linspace(0, 0.99, 50)
    coverage, height = jax.vmap(lambda seed: mark(brush, u, v, seed))(seeds)
    return float(coverage[:, where].mean()), float(height[:, where].mean())


@every_brush
def test_coverage_and_height_are_shares(brush: Brush):
    for seed in (0.0, 0.3, 0.99):
        for values in mark(brush, u, v, seed):
            assert values.min() >= 0
            assert values.max() <= 1


@every_brush
def test_no_paint_lies_outside_the_frame(brush: Brush):
    coverage, _ = mark(brush, u, v, 0.4)
    assert not coverage[(abs(u) >= 1) | (abs(v) >= 1)].any()


@every_brush
def test_the_middle_is_painted(brush: Brush):
    assert average(brush, (abs(u) < 0.4) & (abs(v) < 0.4))[0] > 0.25


@every_brush
def test_the_seed_picks_the_hairs(brush: Brush):
    first, again, other = (mark(brush, u, v, seed)[1] for seed in (0.2, 0.2, 0.7))
    np.testing.assert_array_equal(first, again)
    assert abs(first - other).max() > 0.1


@every_brush
def test_a_mark_has_gradients(brush: Brush):
    @jax.jit
    def values(point):
        return jnp.stack(mark(brush, point[0], point[1], 0.37))

    step = 1e-5
    with jax.enable_x64(True):
        points = jnp.array(np.random.default_rng(0).uniform(-0.99, 0.99, (50, 2)))
        jacobians = jax.jit(jax.vmap(jax.jacobian(values)))(points)
        for axis, nudge in enumerate(step * jnp.eye(2)[:, None]):
            above, below = (jax.vmap(values)(points + n) for n in (nudge, -nudge))
            expected = (above - below) / (2 * step)
            np.testing.assert_allclose(jacobians[..., axis], expected, atol=1e-3)


def test_a_round_brush_leaves_the_corners_that_a_knife_fills():
    corner = (u > -0.85) & (u < -0.7) & (abs(v) > 0.75) & (abs(v) < 0.85)
    assert average(ROUND, corner)[0] == 0
    assert average(KNIFE, corner)[0] > 0.5


def test_a_dry_brush_runs_out_of_paint():
    start, end = (abs(u - place) < 0.2 for place in (-0.5, 0.5))
    middle = abs(v) < 0.7
    dry = average(DRY, end & middle)[0] / average(DRY, start & middle)[0]
    flat = average(FLAT, end & middle)[0] / average(FLAT, start & middle)[0]
    assert dry < 0.85 < 0.9 < flat


def test_a_knife_leaves_ridges_at_its_edges():
    along = abs(u) < 0.5
    edge, middle = abs(v) > 0.85, abs(v) < 0.3
    assert average(KNIFE, along & edge)[1] > 1.3 * average(KNIFE, along & middle)[1]


def test_bristles_leave_streaks_along_the_stroke():
    _, height = mark(BRISTLE, u, v, 0.1)
    inner = np.asarray(height)[40:81, 40:81]
    along, across = (np.abs(np.diff(inner, axis=axis)).mean() for axis in (1, 0))
    assert across > 4 * along


def save_mark(path: Path, brush: Brush, side: int = 512) -> str:
    """A grey picture of the mark of a brush without hairs."""
    points = (np.arange(side) + 0.5) * 2 / side - 1
    along, across = (jnp.array(plane) for plane in np.meshgrid(points, points))
    coverage, _ = mark(brush, along, across, 0.0)
    Image.fromarray(np.rint(255 * np.asarray(coverage)).astype(np.uint8)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def soft_picture(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_mark(tmp_path_factory.mktemp("brush") / "soft.png", SOFT)


def test_a_picture_of_a_mark_is_that_mark(soft_picture: str):
    found, height = mark(brushes.find(soft_picture), u, v, 0.3)
    expected, _ = mark(SOFT, u, v, 0.3)
    # Levels of 8 bits, and parabolas between pixels that are 1/32 apart.
    assert abs(found - expected).max() < 0.01
    np.testing.assert_array_equal(height, found)
    assert not found[(abs(u) >= 1) | (abs(v) >= 1)].any()


def test_a_picture_has_gradients(soft_picture: str):
    brush = brushes.find(soft_picture)
    assert isinstance(brush, brushes.PictureBrush)

    def value(point):
        return mark(brush, point[0], point[1], 0.0)[0]

    step = 1e-7
    with jax.enable_x64(True):
        points = jnp.array(np.random.default_rng(0).uniform(-0.99, 0.99, (50, 2)))
        grads = jax.vmap(jax.grad(value))(points)
        for axis, nudge in enumerate(step * jnp.eye(2)[:, None]):
            above, below = (jax.vmap(value)(points + n) for n in (nudge, -nudge))
            expected = (above - below) / (2 * step)
            np.testing.assert_allclose(grads[:, axis], expected, atol=1e-5)


def test_a_picture_runs_along_the_stroke_and_is_bright_or_opaque_where_paint_is(
    tmp_path: Path,
):
    grey = np.zeros((20, 40), np.uint8)
    grey[:, 20:] = 255
    Image.fromarray(grey).save(tmp_path / "right.png")
    Image.fromarray(np.dstack([0 * grey, grey])).save(tmp_path / "opaque.png")
    for name in ("right.png", "opaque.png"):
        coverage, _ = mark(brushes.find(str(tmp_path / name)), u, v, 0.0)
        inside = (abs(u) < 0.9) & (abs(v) < 0.9)
        assert coverage[inside & (u > 0.1)].min() > 0.99
        assert coverage[inside & (u < -0.1)].max() < 0.01


def test_a_changed_picture_is_read_anew(tmp_path: Path):
    path = save_mark(tmp_path / "a.png", SOFT, 32)
    first = brushes.sha256(brushes.find(path))
    save_mark(tmp_path / "a.png", KNIFE._replace(hairs=0), 64)
    assert first != brushes.sha256(brushes.find(path))
    assert brushes.sha256(SOFT) is None


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (
            "broom",
            "brush must be one of soft, .*, or the file of a picture; got 'broom'",
        ),
        ("none.png", "is missing"),
        ("nul\0.png", "is missing"),
        ("folder.png", "is no file"),
        ("letter.png", "is not a picture"),
        ("large.png", "is too large: 1025 x 8 pixels; at most 1,024 a side"),
        ("black.png", "is empty"),
        ("clear.png", "is empty"),
    ],
)
def test_what_is_no_brush_is_refused(tmp_path: Path, name: str, complaint: str):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "letter.png").write_text("dear Ada")
    Image.new("L", (1025, 8), 255).save(tmp_path / "large.png")
    Image.new("L", (8, 8), 3).save(tmp_path / "black.png")
    Image.new("RGBA", (8, 8)).save(tmp_path / "clear.png")
    with pytest.raises(ValueError, match=complaint) as refused:
        brushes.find(name if name == "broom" else str(tmp_path / name))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (7, 300)])
def test_a_picture_of_any_size_is_a_brush(tmp_path: Path, size: tuple[int, int]):
    Image.new("L", size, 255).save(tmp_path / "a.png")
    coverage, _ = mark(brushes.find(str(tmp_path / "a.png")), u, v, 0.0)
    assert coverage[(abs(u) < 0.9) & (abs(v) < 0.9)].min() == 1

import jax
import numpy as np
import pytest

from jaxart.drawing import relief
from jaxart.drawing.relief import Light, lit


LEFT, ABOVE = Light(azimuth=270.0), Light(azimuth=0.0)
MATT = Light(gloss=0.0)


def canvas(thickness, colour=(0.6, 0.4, 0.2)) -> np.ndarray:
    """A canvas of one colour."""
    thickness = np.asarray(thickness, np.float32)
    planes = np.array(colour, np.float32)[:, None, None] + 0 * thickness
    return np.concatenate([planes, thickness[None]])


def hill(size: int, width: int | None = None) -> np.ndarray:
    """A round hill of paint in the middle."""
    width = width or size
    down = (np.arange(size) + 0.5)[:, None] / size - 0.5
    right = (np.arange(width) + 0.5)[None, :] / size - width / size / 2
    return np.exp(-(down**2 + right**2) / (2 * 0.03**2))


def test_level_paint_keeps_its_colour_exactly():
    colours = np.random.default_rng(0).uniform(0, 1, (3, 20, 30))
    for thickness in (0, 1):
        level = np.full((1, 20, 30), thickness)
        painted = np.concatenate([colours, level]).astype(np.float32)
        for light in (Light(), Light(30.0, 20.0, 0.05, 1.0), Light(elevation=90.0)):
            found = lit(painted, light=light, resolution=20)
            np.testing.assert_allclose(found, painted[:3], atol=2e-6)


@pytest.mark.parametrize("turns", range(4))
def test_what_faces_the_lamp_is_brighter_and_what_turns_away_darker(turns):
    painted = canvas(hill(128))
    light = Light(azimuth=90.0 * turns, depth=0.03)
    found = np.asarray(lit(painted, light=light, resolution=128)) - painted[:3]
    # Turned so that the lamp is above.
    found = np.rot90(found, turns, (1, 2))
    assert found[:, 59, 64].min() > 0.03
    assert found[:, 69, 64].max() < -0.03


def test_turning_picture_and_lamp_turns_the_result():
    painted = canvas(np.random.default_rng(1).uniform(0, 1, (40, 40)))
    turned = np.rot90(painted, 1, (1, 2)).copy()
    np.testing.assert_allclose(
        np.rot90(lit(painted, light=ABOVE, resolution=40), 1, (1, 2)),
        lit(turned, light=LEFT, resolution=40),
        atol=1e-5,
    )


def test_a_painting_is_lit_the_same_at_any_size():
    small = np.asarray(lit(canvas(hill(256)), light=Light(), resolution=256))
    large = np.asarray(lit(canvas(hill(1024)), light=Light(), resolution=1024))
    shrunk = large.reshape(3, 256, 4, 256, 4).mean((2, 4))
    assert np.ptp(small) > 0.2
    np.testing.assert_allclose(small, shrunk, atol=0.012)


def test_a_part_of_a_picture_is_lit_as_in_the_whole():
    painted = canvas(hill(128, 200))
    whole = np.asarray(lit(painted, light=Light(), resolution=128))
    part = np.asarray(lit(painted[:, 20:100, 60:150], light=Light(), resolution=128))
    np.testing.assert_allclose(part[:, 3:-3, 3:-3], whole[:, 23:97, 63:147], atol=1e-5)


def test_noise_finer_than_the_grain_does_not_sparkle():
    noise = np.random.default_rng(2).uniform(0, 1, (16, 16))
    coarse = canvas(np.kron(noise, np.ones((16, 16))))
    fine = canvas(np.tile(noise, (16, 16)))
    spread = [
        np.std(lit(noise, light=MATT, resolution=4096)) for noise in (coarse, fine)
    ]
    assert spread[1] < spread[0]


def test_thicker_paint_has_more_relief_and_none_has_none():
    painted = canvas(hill(128))
    spread = [
        np.std(lit(painted, light=Light(depth=depth), resolution=128)[0])
        for depth in (0.0, 0.002, 0.006)
    ]
    assert spread[0] < 1e-6 < spread[1] < spread[2] / 2


def test_gloss_only_adds_light():
    painted = canvas(hill(128))
    matt = np.asarray(lit(painted, light=Light(gloss=0.0, depth=0.03), resolution=128))
    gloss = np.asarray(lit(painted, light=Light(gloss=0.8, depth=0.03), resolution=128))
    assert (gloss - matt).min() >= -1e-6
    assert (gloss - matt).max() > 0.2


def test_colours_stay_in_range_under_any_lamp():
    rng = np.random.default_rng(3)
    painted = rng.uniform(0, 1, (4, 50, 50)).astype(np.float32)
    for light in (Light(10.0, 1.0, 1.0, 1.0), Light(10.0, 90.0, 1.0, 1.0)):
        found = np.asarray(lit(painted, light=light, resolution=50))
        assert found.min() >= 0
        assert found.max() <= 1


def test_paint_that_faces_the_lamp_squarely_is_as_bright_as_lambert_says():
    # A slope of 45 degrees that looks right into a lamp at 45 degrees.
    size = 64
    ramp = np.broadcast_to(np.arange(size) / size, (size, size))
    light = Light(azimuth=270.0, elevation=45.0, depth=1.0, gloss=0.0)
    found = np.asarray(lit(canvas(ramp, (0.3, 0.3, 0.3)), light=light, resolution=size))
    assert found[0, 32, 32] == pytest.approx(0.3 * np.sqrt(2) ** (1 / 2.2), rel=1e-4)


@pytest.mark.parametrize("turns", range(4))
def test_borders_are_no_brighter_than_the_paint_beside_them(turns: int):
    rng = np.random.default_rng(4)
    down, right = np.mgrid[:64, :64] / 64
    waves = [np.sin(a * down + b * right) for a, b in rng.uniform(-6, 6, (8, 2))]
    painted = canvas(np.mean(waves, axis=0) / 2 + 0.5)
    light = Light(azimuth=90.0 * turns, depth=0.3, gloss=0.0)
    found = np.asarray(lit(painted, light=light, resolution=64))[0]
    for border, beside in (
        (found[0], found[1]),
        (found[-1], found[-2]),
        (found[:, 0], found[:, 1]),
        (found[:, -1], found[:, -2]),
    ):
        # As alike as neighbours are inside.
        assert abs(border - beside).max() < 2 * abs(np.diff(found[8:-8, 8:-8])).max()
        assert border.mean() == pytest.approx(beside.mean(), abs=0.005)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1)])
def test_pictures_of_one_row_or_column_are_lit(shape):
    assert (
        lit(canvas(np.ones(shape)), light=Light(), resolution=shape[0]).shape[1:]
        == shape
    )


@pytest.mark.parametrize(
    ("light", "name"),
    [
        (Light(azimuth=np.nan), "azimuth"),
        (Light(elevation=0.0), "elevation"),
        (Light(elevation=91.0), "elevation"),
        (Light(depth=-0.1), "depth"),
        (Light(gloss=1.1), "gloss"),
        (Light(gloss=np.nan), "gloss"),
    ],
)
def test_a_lamp_that_cannot_be_is_refused(light, name):
    with pytest.raises(ValueError, match=f"^{name} must be .*; got"):
        relief.check(light)


def test_the_usual_lamp_is_not_refused():
    relief.check(Light())
    assert jax.numpy.isfinite(lit(canvas(hill(8)), light=Light(), resolution=8)).all()

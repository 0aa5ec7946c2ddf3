"""Spectra: what shows as a checkerboard, and what does not."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from jaxart import spectra


SIDE, COUNT = 32, 40


def noise(seed: int, deviation: float, blur: float = 0) -> np.ndarray:
    """Grey pictures of noise, white or blurred."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(128, deviation, (COUNT, SIDE, SIDE, 3)).clip(0, 255)
    pictures = [Image.fromarray(x) for x in pixels.round().astype(np.uint8)]
    if blur:
        pictures = [x.filter(ImageFilter.GaussianBlur(blur)) for x in pictures]
    return np.stack([np.asarray(x) for x in pictures])


def pattern(period: int, amplitude: int) -> np.ndarray:
    """A checkerboard along both axes, of a period in pixels."""
    wave = np.where(np.arange(SIDE) % period < period / 2, amplitude, -amplitude)
    return (wave[:, None] * wave[None] // amplitude)[None, :, :, None]


def add(pixels: np.ndarray, wave: np.ndarray) -> np.ndarray:
    return (pixels.astype(int) + wave).astype(np.uint8)


def test_powers_are_those_of_the_windowed_fourier_transform():
    pixels = noise(0, 30)[:3]
    window = np.hanning(SIDE + 1)[:-1]
    window = window / np.sqrt((window**2).sum())
    expected = np.zeros((3, SIDE))
    for lines in (pixels.transpose(0, 3, 1, 2), pixels.transpose(0, 3, 2, 1)):
        transformed = np.fft.fft(lines * window)
        expected += (np.abs(transformed) ** 2).mean((1, 2)) / 2
    expected += 1 / 12
    found = spectra.powers(pixels)
    np.testing.assert_allclose(found.peak, expected[:, [16, 8]], rtol=1e-4)
    beside = np.stack([expected[:, 14], expected[:, [6, 10]].mean(1)], axis=1)
    np.testing.assert_allclose(found.beside, beside, rtol=1e-4)


# A square wave of period 4 is two cosines, each with half of its power, of which each
# is divided among a positive and a negative frequency; one of period 2 has only one.
# Hann's window gives its middle bin 2/3 of the length.
@pytest.mark.parametrize(("period", "share"), [(2, 2 / 3), (4, 1 / 3)])
def test_a_checkerboard_raises_the_number_by_its_power(period: int, share: float):
    flat = np.full((COUNT, SIDE, SIDE, 3), 128, np.uint8)
    crops = spectra.powers(flat)
    added = share * SIDE * 5**2
    found = spectra.compare(spectra.powers(add(flat, pattern(period, 5))), crops)
    assert found.checkerboard.value == pytest.approx(1 + added / spectra.ROUNDING)
    expected = 1 + added / (2 * spectra.ROUNDING)
    assert found.fine_power.value == pytest.approx(expected)


@pytest.mark.parametrize(("period", "share"), [(2, 2 / 3), (4, 1 / 3)])
def test_on_texture_it_is_seen_above_the_texture(period: int, share: float):
    crops, other = noise(0, 10), noise(1, 10)
    found = spectra.compare(
        spectra.powers(add(other, pattern(period, 4))), spectra.powers(crops)
    )
    added = share * SIDE * 4**2
    expected = 1 + added / (10**2 + 2 / 12)
    assert found.checkerboard.value == pytest.approx(expected, rel=0.06)
    assert abs(found.checkerboard.value - expected) < 3 * found.checkerboard.error


@pytest.mark.parametrize("horizontal", [True, False])
def test_stripes_along_either_axis_count(horizontal: bool):
    stripes = np.where(np.arange(SIDE) % 2, 3, -3)
    stripes = stripes.reshape(1, *((1, SIDE) if horizontal else (SIDE, 1)), 1)
    crops = spectra.powers(noise(0, 3))
    found = spectra.compare(spectra.powers(add(noise(1, 3), stripes)), crops)
    expected = 1 + 2 / 3 * SIDE * 3**2 / 2 / (3**2 + 2 / 12)
    assert found.checkerboard.value == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("deviation", "blur"), [(10, 0), (30, 0), (60, 1), (60, 3)])
def test_texture_of_any_strength_is_no_checkerboard(deviation: float, blur: float):
    crops = spectra.powers(noise(0, 30))
    found = spectra.compare(spectra.powers(noise(1, deviation, blur)), crops)
    assert found.checkerboard.value < 1.1
    if blur == 0:
        variance = (deviation**2 + 2 / 12) / (30**2 + 2 / 12)
        assert found.fine_power.value == pytest.approx(variance, rel=0.05)
    else:
        assert found.fine_power.value < 0.2


def test_pictures_of_one_colour_have_none():
    crops = spectra.powers(noise(0, 30))
    flat = spectra.powers(np.full((COUNT, SIDE, SIDE, 3), 7, np.uint8))
    found = spectra.compare(flat, crops)
    assert found.checkerboard.value == pytest.approx(1, abs=0.05)
    assert found.checkerboard.error > 0


def test_the_error_is_the_scatter_of_the_number():
    crops = spectra.powers(noise(0, 20))
    found = [
        spectra.compare(spectra.powers(noise(seed, 20)), crops).fine_power
        for seed in range(1, 60)
    ]
    # Over pictures alone; the crops stay the same.
    of_crops = crops.peak.sum(1).std(ddof=1) / np.sqrt(COUNT) / crops.peak.sum(1).mean()
    errors = [np.sqrt(error**2 - (value * of_crops) ** 2) for value, error in found]
    scatter = np.std([value for value, _ in found], ddof=1)
    assert np.mean(errors) == pytest.approx(scatter, rel=0.3)


def test_pictures_of_different_contrast_with_the_same_peak_leave_no_error():
    contrast = np.random.default_rng(0).gamma(2, size=(COUNT, 2))
    pictures = spectra.Powers(contrast * [3, 2], contrast)
    crops = spectra.Powers(contrast[::-1] * [1, 0.5], contrast[::-1])
    found = spectra.compare(pictures, crops).checkerboard
    assert found.value == pytest.approx(4)
    assert found.error == pytest.approx(0, abs=1e-9)


def test_sides_that_have_no_bins_there_are_refused():
    for shape in ((2, 30, 30, 3), (2, 12, 12, 3), (2, 32, 48, 3)):
        with pytest.raises(ValueError, match="sides must be equal, at least 16 and"):
            spectra.powers(np.zeros(shape, np.uint8))

"""How much of a checkerboard pictures have, by their spectra.

Transposed and strided convolutions leave patterns with periods of 2, 4, 8, … pixels.
They show as narrow peaks in the spectra of rows and columns: at 1/2 and 1/4 cycle a
pixel, but not at the frequencies in between. So a frequency's power is divided by that
of its neighbours in the discrete spectrum: that ratio is about 1 for pictures as smooth
or as rough as they may be, and does not depend on their contrast. It is then compared
with the same ratio of real crops, which is not quite 1: their spectra slope down, and
the blocks of a JPEG may show. Of both periods the larger one counts: one pattern is
enough to be seen.

The spectra are of Hann windows over whole rows and columns. Without a window, the jump
from a row's last pixel to its first has power at all frequencies, and hides a pattern
on smooth pictures. With this one, a pattern of constant strength has none two bins
away, where the neighbours are; farther ones would show the slope. By Parseval's theorem
the mean over rows of their power at a frequency is that of the picture's
two-dimensional spectrum over all vertical frequencies: stripes count as checks do.

Source: Odena, Dumoulin and Olah, "Deconvolution and Checkerboard Artifacts" (2016), for
where the pattern comes from; Welch, "The use of fast Fourier transform for the
estimation of power spectra" (1967), for means over windowed spectra.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from jaxart.metrics import Estimate


PERIODS = (2, 4)  # of the patterns, in pixels
MIN_SIDE = 16  # of pictures, in pixels
NEIGHBOUR = 2  # bins from a peak to its neighbours; of a Hann window the first zero

# Rounding to whole levels has this variance. It is added to the power at each
# frequency, so that even pictures of one colour have a spectrum to compare.
ROUNDING = 1 / 12

PART = 256  # pictures that are transformed at a time

Pixels = UInt8[np.ndarray, "n h w 3"]


class Powers(NamedTuple):
    """The power of pictures at the frequency of each of `PERIODS`, in squared levels.

    The mean over rows, columns and channels, on the scale on which white noise has its
    variance at all frequencies.
    """

    peak: Float[np.ndarray, "n 2"]
    # The mean of the bins `NEIGHBOUR` lower and higher; for a period of 2, which has no
    # higher one, that of the lower one.
    beside: Float[np.ndarray, "n 2"]


class Spectra(NamedTuple):
    """Spectra of pictures over those of crops."""

    checkerboard: Estimate  # peak over neighbours: 1 if as the crops', more if worse
    fine_power: Estimate  # the power at both periods, texture and pattern alike


def powers(pixels: Pixels) -> Powers:
    """Return the power of each picture at the frequencies of the periods.

    Raises:
        ValueError: the sides are not equal, below `MIN_SIDE`, or not a multiple of 4.
    """
    height, width = pixels.shape[1:3]
    if height != width or height < MIN_SIDE or height % max(PERIODS):
        raise ValueError(
            f"sides must be equal, at least {MIN_SIDE} and a multiple of "
            f"{max(PERIODS)}; got {height} x {width}"
        )
    parts = [
        _spectra(pixels[start : start + PART]) for start in range(0, len(pixels), PART)
    ]
    spectra = np.concatenate(parts) + ROUNDING
    bins = np.array([width // period for period in PERIODS])
    # Above half a cycle a pixel the spectrum is mirrored.
    higher = np.minimum(bins + NEIGHBOUR, width - bins - NEIGHBOUR)
    beside = (spectra[:, bins - NEIGHBOUR] + spectra[:, higher]) / 2
    return Powers(spectra[:, bins], beside)


def compare(pictures: Powers, crops: Powers) -> Spectra:
    """Compare the spectra of pictures with those of crops.

    The errors are those of drawing pictures and crops.

    Args:
        pictures: at least 2.
        crops: to compare them with; at least 2.
    """
    peaks = [
        _over(
            _ratio(pictures.peak[:, i], pictures.beside[:, i]),
            _ratio(crops.peak[:, i], crops.beside[:, i]),
        )
        for i in range(len(PERIODS))
    ]
    ones = [np.ones(len(x.peak)) for x in (pictures, crops)]
    fine_power = _over(
        _ratio(pictures.peak.sum(axis=1), ones[0]),
        _ratio(crops.peak.sum(axis=1), ones[1]),
    )
    return Spectra(max(peaks), fine_power)


def _spectra(pixels: Pixels) -> Float[np.ndarray, "n f"]:
    """Return the power of pictures from frequency 0 to half a cycle a pixel."""
    side = pixels.shape[1]
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(side) / side)
    window = (window / np.linalg.norm(window)).astype(np.float32)
    channels = np.moveaxis(pixels, 3, 1).astype(np.float32)
    lines = (channels, channels.swapaxes(2, 3))
    transforms = [np.fft.rfft(x * window, axis=3) for x in lines]
    return np.mean([(np.abs(x) ** 2).mean(axis=(1, 2)) for x in transforms], axis=0)


def _ratio(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Estimate:
    """Return the ratio of two means over the same pictures, and its error."""
    value = a.mean() / b.mean()
    influence = value * (a / a.mean() - b / b.mean())
    return Estimate(float(value), float(influence.std(ddof=1)) / math.sqrt(len(a)))


def _over(a: Estimate, b: Estimate) -> Estimate:
    """Return the ratio of two independent estimates, and its error."""
    value = a.value / b.value
    return Estimate(value, value * math.hypot(a.error / a.value, b.error / b.value))

"""The watch on collapse."""

import math
from collections.abc import Iterable

import pytest

from jaxart.gan import collapse
from jaxart.gan.collapse import Measurement
from jaxart.gan.run_metrics import Line


def signs(distances: Iterable[float], spreads: Iterable[float] = ()) -> dict[int, str]:
    """Return what is said of a run, by the steps after which it is."""
    history, said = [], {}
    spreads = [*spreads, *[0.8] * 20]
    for number, distance in enumerate(distances):
        history.append(Measurement(100 * number, distance, spreads[number]))
        if sign := collapse.new_sign(history):
            said[100 * number] = sign
    return said


def test_a_distance_that_stays_half_above_the_best_is_said_once():
    said = signs([300, 200, 301, 302, 299, 301, 302, 303, 400, 500])
    assert said == {
        700: "3 distances in a row were above 1.5 times the 200 of step 100"
    }


@pytest.mark.parametrize(
    "distances",
    [
        [],
        [200],
        [200, 900],
        [200, 900, 900],
        [900, 800, 700, 600],  # falling
        [200, 300, 300, 300, 300],  # not above
        [200, 301, 301, 299, 301, 301, 150, 301, 301],
        [200, math.nan, math.nan, math.nan],
    ],
)
def test_what_comes_and_goes_is_no_collapse(distances: list[float]):
    assert signs(distances) == {}


def test_a_run_that_recovers_may_collapse_again():
    said = signs([200, 310, 310, 310, 310, 190, 290, 290, 290])
    assert list(said) == [300, 800]
    assert "the 190 of step 500" in said[800]


def test_spread_that_was_there_and_is_gone_is_said_once():
    spreads = [0.05, 0.1, 0.7, 0.3, 0.299, 0.1, 0.5, 0.2]
    said = signs([200, 200, 100, *[120] * 5], spreads)
    assert said == {
        400: "the spread of samples fell from 0.70 to 0.30 of that of crops",
        700: "the spread of samples fell from 0.70 to 0.20 of that of crops",
    }


def test_spread_that_never_was_is_not_missed():
    # As measured in the first 300 updates of a run of `configs/quick.py`.
    assert signs([1563] * 6, [0.20, 0.25, 0.31, 0.28, 0.28, 0.30]) == {}
    assert list(signs([200] * 4, [0.3, 0.2, 0.15, 0.149])) == [300]
    assert signs([200] * 4, [math.nan] * 4) == {}
    assert list(signs([200] * 3, [math.nan, 0.8, 0.1])) == [200]


def test_the_best_samples_have_not_collapsed():
    assert signs([300, 200, 100], [0.5, 0.5, 0.2]) == {}


def test_measurements_are_those_that_were_logged():
    lines = [
        Line(10, {"generator_loss": 1.0}),
        Line(20, {"vgg_frechet_distance": 5.0, "vgg_spread": 0.5}),
        Line(30, {"vgg_frechet_distance": 4.0}),
    ]
    first, second = collapse.measurements(lines)
    assert first == (20, 5.0, 0.5)
    assert second[:2] == (30, 4.0)
    assert math.isnan(second.spread)

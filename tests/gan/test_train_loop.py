"""The loop of a run: how many updates a call does, and what it measures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxart.gan import feature_metrics, latents, trained
from jaxart.gan.settings import Settings
from jaxart.gan.train_loop import make_distance_fn, updates_of_next_call


@pytest.mark.parametrize(
    ("calls", "steps_per_call"),
    [([1] * 12, 1), ([4, 1, 1, 1, 1, 4], 4), ([1] * 12, 5)],
)
def test_a_call_ends_where_the_loop_has_something_to_do(
    small_config: Any, calls: list[int], steps_per_call: int
):
    # Samples are due at 6 and 12, checkpoints at 4, 8 and 12.
    settings = Settings.from_config(small_config)
    settings = replace(settings, steps_per_call=steps_per_call)
    counts, step = [], 0
    while step < settings.steps:
        counts.append(updates_of_next_call(step, settings))
        step += counts[-1]
    assert counts == calls


def test_the_spread_of_strokes_places_is_that_over_samples(
    strokes_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def features(_: Any, pixels: np.ndarray, *__: Any) -> feature_metrics.Features:
        return feature_metrics.Features(
            pixels.reshape(len(pixels), -1)[:, :8].astype(np.float32), None
        )

    monkeypatch.setattr(feature_metrics, "vgg_extractor", lambda: None)
    monkeypatch.setattr(feature_metrics, "extract_features", features)
    generator = trained.restore_generator(str(strokes_run))
    settings, network = generator.settings, generator.network
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (24, 32, 32, 3), np.uint8)
    known = settings.condition.known
    conditions = known.vectors([{"style": "Rococo"}])
    paint = latents.make_stroke_sampler(network)
    measure = make_distance_fn(
        settings,
        latents.make_sampler(network),
        paint,
        crops,
        conditions,
        tmp_path,
    )
    points = latents.sample_points(
        settings, settings.seed, range(24), {"style": "Rococo"}
    )
    x, y = np.moveaxis(
        np.asarray(paint(generator.state, points).strokes)[..., :2], -1, 0
    )
    expected = (x.std(axis=0).mean() + y.std(axis=0).mean()) / 2
    assert measure(generator.state).place_spread == pytest.approx(expected, rel=1e-4)

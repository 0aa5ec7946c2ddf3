"""Fixtures of the painter's tests: a small picture, quick settings, VGG16."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from jaxart import vgg
from jaxart.painter.settings import Settings


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def vgg_weights() -> vgg.Weights:
    return vgg.load()


@pytest.fixture(scope="session")
def disc() -> np.ndarray:
    """A blue disc on a warm ground that fades, 48 pixels wide and 40 high."""
    y, x = np.mgrid[:40, :48]
    pixels = np.full((40, 48, 3), (200, 170, 90))
    pixels[(y - 18) ** 2 + (x - 26) ** 2 < 120] = (40, 60, 180)
    return (pixels - y[..., None]).astype(np.uint8)


@pytest.fixture(scope="session")
def few() -> Settings:
    """The default settings, for few strokes and few steps."""
    config = runpy.run_path(str(ROOT / "configs/paint.py"))["get_config"]()
    config.strokes, config.steps, config.refine = 30, 2, 4
    return Settings(**config)

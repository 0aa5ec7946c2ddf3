from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jaxart.painter import placement
from jaxart.painter.problem import make_problem
from jaxart.painter.settings import Settings


def test_levels_grow_with_the_roots_of_the_strokes_and_share_few_arrays(
    few: Settings,
):
    problem = make_problem(np.zeros((1_200, 900, 3), np.uint8), few)
    shapes, heights = set(), []
    for strokes in (0, 50, 400, 1_600, 6_400, 25_600):
        stage = problem.stage(strokes)
        level, layout = stage.level, stage.options.layout
        heights.append(int(level.resolution))
        assert level.picture.shape[1:] == layout.shape
        # The whole picture is in the arrays, and a window on all sides of it.
        assert (np.array(level.size) + 2 * layout.border <= level.weights.shape).all()
        shapes.add(level.weights.shape)
    assert heights[3] / heights[2] == pytest.approx(2, rel=0.01)
    assert heights == sorted(heights)
    assert heights[-1] == 1_024  # the finest level of all
    assert len(shapes) == 3  # for levels of up to 256, 512 and 1,024 pixels


def test_a_small_picture_is_enlarged_but_not_by_much(few: Settings):
    picture = np.random.default_rng(0).integers(0, 256, (70, 300, 3), np.uint8)
    problem = make_problem(picture, few)
    assert problem.refined_height == 70  # of the refinement
    level = problem.stage(10**6).level
    assert level.size.tolist() == [280, 1_200]
    # Its colours are still those of the picture, in the same places.
    planes, _, _ = placement.resize(picture, None, 280)
    back = planes.reshape(3, 70, 4, 300, 4).mean((2, 4))
    expected = np.moveaxis(picture, 2, 0) / 255
    assert np.corrcoef(back.ravel(), expected.ravel())[0, 1] > 0.9


@pytest.mark.parametrize(
    ("distance", "name"), [("vgg", "refine_layers"), ("vgg_rounds", "layers")]
)
def test_a_distance_without_layers_is_refused(few: Settings, distance: str, name: str):
    layers: dict[str, Any] = {"refine_layers": ("relu1_2",), "layers": ("relu1_2",)}
    settings = replace(few, distance=distance, **(layers | {name: ()}))
    with pytest.raises(ValueError, match=f"{name} must be at least one; got none"):
        make_problem(np.zeros((40, 40, 3), np.uint8), settings)

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from jaxart.drawing.brushes import BRUSHES, PictureBrush
from jaxart.drawing.strokes import ANGLE, LENGTH, WIDTH, X, Y
from jaxart.painter import svg


SPACE = "{http://www.w3.org/2000/svg}"
GROUND = (1.0, 0.5, 0.0)

STROKES = np.array(
    [
        [0.5, 0.25, 0.4, 0.1, 0.0, 1.0, 0.0, 0.0],
        [1.25, 0.75, 0.1, 0.05, np.pi / 4, 0.0, 1.0, 0.0],
        [-0.1, 0.5, 0.2, 0.02, -np.pi / 2, 0.2, 0.4, 0.6],
    ]
)


def text(strokes=STROKES, brush="bristle", title="A flower", ground=GROUND) -> str:
    mark = BRUSHES[brush] if isinstance(brush, str) else brush
    return svg.svg(
        strokes,
        brush=mark,
        ground=ground,
        ratio=1.5,
        height=400,
        width=600,
        title=title,
    )


def parsed(*args, **kwargs) -> ElementTree.Element:
    return ElementTree.fromstring(text(*args, **kwargs).encode())


def shapes(root: ElementTree.Element) -> list[ElementTree.Element]:
    group = root.find(f"{SPACE}g")
    assert group is not None
    return list(group)


def test_the_picture_is_measured_in_its_height():
    root = parsed()
    assert root.tag == f"{SPACE}svg"
    assert root.get("viewBox") == "0 0 1.5 1"
    assert (root.get("width"), root.get("height")) == ("600", "400")
    ground = root.find(f"{SPACE}rect")
    assert ground is not None
    assert ground.get("fill") == "#ff8000"
    assert (ground.get("width"), ground.get("height")) == ("1.5", "1")


@pytest.mark.parametrize("brush", BRUSHES)
def test_each_stroke_is_one_shape_in_its_place(brush):
    found = shapes(parsed(brush=brush))
    assert [shape.get("fill") for shape in found] == ["#ff0000", "#00ff00", "#336699"]
    for number, shape in enumerate(found):
        x, y, degrees = map(float, re.findall(r"-?[\d.]+", shape.attrib["transform"]))
        assert x == pytest.approx(STROKES[number, X], abs=1e-4)
        assert y == pytest.approx(STROKES[number, Y], abs=1e-4)
        assert degrees == pytest.approx(np.rad2deg(STROKES[number, ANGLE]), abs=0.1)


def test_round_brushes_leave_ellipses_and_others_rectangles():
    for brush in BRUSHES:
        tags = {shape.tag for shape in shapes(parsed(brush=brush))}
        name = "ellipse" if brush in ("round", "soft") else "rect"
        assert tags == {f"{SPACE}{name}"}


@pytest.mark.parametrize("brush", BRUSHES)
def test_shapes_are_nearly_as_large_as_their_strokes(brush):
    for shape, length, width in zip(
        shapes(parsed(brush=brush)),
        STROKES[:, LENGTH],
        STROKES[:, WIDTH],
        strict=True,
    ):
        if shape.tag.endswith("ellipse"):
            sides = [2 * float(shape.attrib[name]) for name in ("rx", "ry")]
        else:
            sides = [float(shape.attrib[name]) for name in ("width", "height")]
            # Around its own place, about which it is turned.
            assert float(shape.attrib["x"]) == pytest.approx(-sides[0] / 2, abs=1e-4)
            assert float(shape.attrib["y"]) == pytest.approx(-sides[1] / 2, abs=1e-4)
        assert 0.6 * length < sides[0] <= length
        assert 0.6 * width < sides[1] <= width


def test_a_dry_brush_hides_less_than_a_knife():
    def opacity(brush: str) -> float:
        group = parsed(brush=brush).find(f"{SPACE}g")
        assert group is not None
        return float(group.attrib["fill-opacity"])

    assert 0 < opacity("dry") < 0.6 < opacity("knife") <= 1


def test_a_brush_from_a_picture_has_the_shape_of_its_mark():
    y, x = (np.indices((64, 64)) - 31.5) / 31.5
    for plane, tag in [(x**2 + y**2 < 0.9, "ellipse"), (abs(x * y) < 2, "rect")]:
        brush = PictureBrush(np.pad(plane[1:-1, 1:-1], 1).astype(np.float32))
        shape = shapes(parsed(brush=brush))[0]
        assert shape.tag == f"{SPACE}{tag}"
        length = float(shape.get("width") or 2 * float(shape.attrib["rx"]))
        assert length == pytest.approx(STROKES[0, LENGTH], rel=0.15)


@pytest.mark.parametrize("middle", [0.0, 0.15])
def test_a_brush_with_a_bare_middle_has_a_shape(middle: float):
    plane = np.zeros((64, 64), np.float32)
    plane[4:60, 4:60] = 1
    plane[20:44, 4:60] = middle  # two streaks
    (shape, *_) = shapes(parsed(brush=PictureBrush(plane)))
    assert 0 < float(shape.get("width", shape.get("rx", ""))) <= 0.4


def test_a_transparent_painting_has_no_ground():
    assert parsed(ground=None).find(f"{SPACE}rect") is None


def test_it_says_that_it_is_an_approximation():
    description = parsed().find(f"{SPACE}desc")
    assert description is not None
    assert "bristles and relief are not shown" in (description.text or "")


@pytest.mark.parametrize(
    "title", ['<b> & "c" \'', "]]>", "-->", "Ünï", "\x00\x1b", "\udcff"]
)
def test_any_title_makes_a_valid_file(tmp_path, title):
    path = tmp_path / "a.svg"
    path.write_text(text(title=title), encoding="utf-8")
    found = ElementTree.parse(path).getroot().find(f"{SPACE}title")
    assert found is not None
    assert len(found.text or "") == len(title)


def test_the_shapes_of_a_second_painting_compile_nothing():
    compiled: Any = getattr(svg._average_coverage, "_cache_size")  # noqa: B009
    text(brush="dry")
    before = compiled()
    text(brush="knife")
    assert compiled() == before


def test_no_strokes_are_the_bare_ground():
    assert shapes(parsed(STROKES[:0])) == []


def test_a_file_of_ours_is_told_from_others(tmp_path):
    path = tmp_path / "a.svg"
    assert not svg.is_ours(path)
    path.write_text(text(), encoding="utf-8")
    assert svg.is_ours(path)
    # As a vector program would save it.
    path.write_text('<?xml version="1.0"?>\n' + text().split("-->\n", 1)[1])
    assert not svg.is_ours(path)

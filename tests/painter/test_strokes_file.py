import json
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxart.drawing.strokes import COLUMNS
from jaxart.painter import strokes_file
from jaxart.painter.painting import MAX_EMPTY_STAGES, Painting
from jaxart.painter.settings import Settings
from jaxart.painter.strokes_file import StrokesFile


ROOT = Path(__file__).parents[2]
PICTURE = np.arange(40 * 48 * 3, dtype=np.uint8).reshape(40, 48, 3)


@pytest.fixture(scope="session")
def settings() -> Settings:
    config = runpy.run_path(str(ROOT / "configs/paint.py"))["get_config"]()
    return Settings(**config)


def columns(n: int) -> st.SearchStrategy[list[np.ndarray]]:
    """Any nine columns of float32 that a file may hold."""

    def column(low: float, high: float) -> st.SearchStrategy[np.ndarray]:
        low, high = float(np.float32(low)), float(np.float32(high))
        numbers = st.floats(low, high, width=32)
        return hnp.arrays(np.float32, n, elements=numbers)

    ranges = {**strokes_file.RANGES, "length": (1e-5, 100), "width": (1e-5, 100)}
    return st.tuples(*(column(low, high) for low, high in ranges.values())).map(list)


@st.composite
def paintings(draw: Any) -> Painting:
    n, m = draw(st.integers(0, 5)), draw(st.integers(0, 5))
    *strokes, seeds = draw(columns(n))
    *greedy, greedy_seeds = draw(columns(m))
    stages = st.integers(0, max(0, MAX_EMPTY_STAGES * m - 1))
    stages = np.sort(draw(hnp.arrays(np.int32, m, elements=stages)))
    return Painting(
        np.stack(strokes, 1), seeds, np.stack(greedy, 1), greedy_seeds, stages
    )


def make_painting(n: int = 3) -> Painting:
    """A painting of `n` strokes that were not refined."""
    rng = np.random.default_rng(0)
    strokes, seeds = rng.random((n, 8), np.float32), rng.random(n, np.float32)
    stages = np.arange(n, dtype=np.int32)
    return Painting(strokes, seeds, strokes, seeds, stages)


def write(path: Path, painting: Painting, settings: Settings) -> None:
    sha256 = strokes_file.sha256(PICTURE)
    strokes_file.write(
        path, StrokesFile(painting, settings, sha256, 40, 48, "saliency")
    )


@given(painting=paintings())
def test_what_is_written_is_read_to_the_last_bit(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory, painting: Painting
):
    path = tmp_path_factory.mktemp("any") / "strokes.json"
    write(path, painting, settings)
    content = strokes_file.read(path)
    for one, other in zip(content.painting, painting, strict=True):
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()
    assert content.settings == settings
    assert (content.height, content.width, content.weights) == (40, 48, "saliency")
    strokes_file.check_picture(content, PICTURE)


@given(numbers=hnp.arrays(np.uint32, 64))
def test_any_finite_float_survives_its_digits(numbers: np.ndarray):
    floats = numbers.view(np.float32)
    floats = floats[np.isfinite(floats)]
    digits = json.loads(json.dumps(strokes_file._shortest_decimals(floats)))
    assert np.array(digits, np.float32).tobytes() == floats.tobytes()


def test_numbers_are_short_and_equal_columns_are_written_once(
    settings: Settings, tmp_path: Path
):
    painting = make_painting(500)
    write(tmp_path / "a.json", painting, settings)
    document = json.loads((tmp_path / "a.json").read_text())
    assert document["laid"] == {"stage": list(range(500))}
    assert (tmp_path / "a.json").stat().st_size < 500 * 9 * 13 + 5000

    strokes = painting.strokes.copy()
    strokes[:, COLUMNS.index("red")] /= 2
    refined = painting._replace(strokes=strokes)
    write(tmp_path / "b.json", refined, settings)
    document = json.loads((tmp_path / "b.json").read_text())
    assert document["laid"].keys() == {"red", "stage"}


def test_a_strokes_file_is_replaced_and_nothing_else_is(
    settings: Settings, tmp_path: Path
):
    path, letter = tmp_path / "strokes.json", tmp_path / "letter.json"
    write(path, make_painting(2), settings)
    write(path, make_painting(3), settings)
    assert strokes_file.read(path).painting.seeds.size == 3
    letter.write_text('{"dear": "Ada"}')
    with pytest.raises(FileExistsError, match="not written by jaxart"):
        write(letter, make_painting(), settings)
    assert letter.read_text() == '{"dear": "Ada"}'
    assert len(list(tmp_path.iterdir())) == 2


def test_another_picture_is_told_from_the_right_one(settings: Settings, tmp_path: Path):
    write(tmp_path / "a.json", make_painting(), settings)
    content = strokes_file.read(tmp_path / "a.json")
    retouched = PICTURE.copy()
    retouched[0, 0, 0] ^= 1
    for other in (retouched, PICTURE.reshape(48, 40, 3)):
        with pytest.raises(ValueError, match="of another one of 48 x 40 pixels"):
            strokes_file.check_picture(content, other)


def put(*path: str, value: Any) -> Callable[[dict], None]:
    def change(document: dict) -> None:
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (put("format", value="other strokes"), 'of the format "jaxart strokes"'),
        (put("version", value=3), "must be of version 1 or 2; got 3"),
        (put("version", value=True), "must be of version 1 or 2; got True"),
        (put("transparent", value="yes"), "transparent, true or false; got 'yes'"),
        (put("brush", value="0" * 64), "painted with another brush"),
        (put("picture", value=None), "must hold picture, an object"),
        (put("picture", "sha256", value=7), "must hold hashes as text"),
        (put("weights", value=[]), "must hold hashes as text"),
        (put("picture", "width", value=10**9), "1000000000 x 40"),
        (put("picture", "width", value=65_536), "65536 x 40"),
        (put("picture", "width", value=15), "15 x 40"),
        (
            put("picture", value={"sha256": "", "height": 1, "width": 178_956_970}),
            "x 1",
        ),
        (put("picture", value={"sha256": "", "height": 20_000, "width": 20_000}), "x"),
        (put("picture", "width", value=True), "True x 40"),
        (put("picture", "width", value=-1), "-1 x 40"),
        (put("settings", "strokes", value=-7), "settings that cannot be: "),
        (put("settings", "strokes", value="many"), "settings that cannot be: "),
        (put("settings", "strokes", value=2.0), "strokes must be a whole number"),
        (put("settings", "strokes", value=True), "strokes must be a whole number"),
        (put("settings", "strokes", value=10**9), "strokes must be at most 300,000"),
        (put("settings", "steps", value=2**31), "steps must be at most"),
        (put("settings", "refine", value=10**4000), "refine must be at most"),
        (put("settings", "seed", value=2**32), "seed must be at most 4,294,967,295"),
        (put("settings", "psnr", value="high"), "psnr must be a number; got 'high'"),
        (put("settings", "emphasis", value=1), "emphasis must be true or false; got 1"),
        (put("settings", "layers", value=[5]), "layers must be text; got 5"),
        (put("settings", "layers", value="relu1_2"), "layers must be a tuple"),
        (
            put("settings", "layers", value=["relu1_2"] * 99),
            "layers must be layers of VGG16",
        ),
        (put("settings", "ground", value=[0, 1, [1]]), r"ground must be a number; got"),
        (put("settings", "shares", value={}), "shares must be a tuple; got {}"),
        (put("settings", "brush", value=["soft"]), "brush must be text"),
        (
            put("settings", "brush", value="no/such.png"),
            "brush 'no/such.png' is missing",
        ),
        (put("settings", "brush", value="x" * 10**6), "brush must be one of"),
        (put("settings", "vgg_weights", value=7), "vgg_weights must be text; got 7"),
        (put("settings", "strokez", value=7), "missing or unknown: strokez"),
        (put("strokes", value=[]), "must hold strokes, an object"),
        (put("strokes", "x", value=7), "must hold strokes.x, a list"),
        (put("strokes", "y", value=[0.5]), "must hold strokes.y, a list of 3 numbers"),
        (put("strokes", "red", value=[0, 1, "1"]), r"strokes.red in \[0, 1\]; got '1'"),
        (put("strokes", "red", value=[0, 1, None]), "got None"),
        (put("strokes", "red", value=[0, 1, True]), "got True"),
        (put("strokes", "red", value=[0, 1, float("nan")]), "got nan"),
        (put("strokes", "red", value=[0, 1, 1.0001]), "got 1.0001"),
        (put("strokes", "x", value=[0, 1, float("inf")]), "got inf"),
        (put("strokes", "x", value=[0, 1, 1e300]), "got 1e[+]300"),
        (put("strokes", "x", value=[0, 1, 10**4000]), "got 1000.*[.]{3}$"),
        (put("strokes", "length", value=[1, 1, 0]), "strokes.length in .*; got 0"),
        (put("strokes", "length", value=[1, 1, 1e9]), "strokes.length in"),
        (put("laid", "stage", value=[0, 0]), "laid.x, a list of 2 numbers"),
        (put("laid", "stage", value=[0, 2, 1]), "never fall; got 1 after 2"),
        (put("laid", "stage", value=[0, 1, 2**31]), "never fall"),
        (put("laid", "stage", value=[0, 1, 2**31 - 1]), "below 9 that never fall"),
        (put("laid", "stage", value=[0, 1, 1.5]), "never fall"),
        (put("laid", "seed", value=[0.5]), "laid.seed, a list of 3 numbers"),
        (put("laid", "stage", value=[0] * 300_001), "a list of at most 300,000"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(
    settings: Settings, tmp_path: Path, change: Callable[[dict], None], complaint: str
):
    path = tmp_path / "strokes.json"
    write(path, make_painting(), settings)
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match=complaint) as refused:
        strokes_file.read(path)
    assert str(refused.value).startswith(f"strokes file {path} ")
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe\x00",
        b"{",
        b"[" * 1_000_000,
        b'{"version": 1' + b"0" * 5_000 + b"}",
        b"[]",
        b"null",
        b'{"format": "jaxart strokes", "version": 1}',
    ],
)
def test_what_is_no_strokes_file_is_refused(tmp_path: Path, content: bytes):
    path = tmp_path / "strokes.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(f"strokes file {path} must ")):
        strokes_file.read(path)


def test_a_file_of_version_1_is_read(settings: Settings, tmp_path: Path):
    path = tmp_path / "strokes.json"
    write(path, make_painting(), settings)
    document = json.loads(path.read_text())
    document["version"] = 1
    del document["transparent"], document["brush"]
    path.write_text(json.dumps(document))
    assert not strokes_file.read(path).transparent


def test_a_colour_is_forgiven_a_rounding(settings: Settings, tmp_path: Path):
    path = tmp_path / "strokes.json"
    painting = make_painting()
    painting.strokes[:, 5:] = [[1 + 1e-5, 1 + 1e-7, -1e-6], [1, -0.0, 0], [0, 1, 0]]
    write(path, painting, settings)
    colours = strokes_file.read(path).painting.strokes[:, 5:]
    np.testing.assert_array_equal(colours, [[1, 1, 0], [1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("text", ["[" + "[]," * 10_000, "[" + "0," * 6_000_001])
def test_more_values_than_a_painting_has_are_not_parsed(tmp_path: Path, text: str):
    path = tmp_path / "strokes.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="must have at most 6,000,000 values"):
        strokes_file.read(path)


def test_a_file_cut_short_is_refused(settings: Settings, tmp_path: Path):
    path = tmp_path / "strokes.json"
    write(path, make_painting(), settings)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(ValueError, match="must be JSON"):
            strokes_file.read(path)


def test_a_file_of_absurd_size_is_not_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(strokes_file, "MAX_BYTES", 1000)
    path = tmp_path / "strokes.json"
    path.write_bytes(b"[" + b"0," * 500)
    with pytest.raises(ValueError, match="must have at most 1,000 bytes"):
        strokes_file.read(path)


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path):
    with pytest.raises(ValueError, match="cannot be read: No such file"):
        strokes_file.read(tmp_path / "strokes.json")
    with pytest.raises(ValueError, match="cannot be read: Is a directory"):
        strokes_file.read(tmp_path)

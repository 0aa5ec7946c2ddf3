"""The painting command: what it writes, how it goes on, what it refuses."""

import contextlib
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxart import command, images, paint
from jaxart.drawing.strokes import X
from jaxart.painter import jobs, outputs, painting, strokes_file
from jaxart.painter.settings import Settings
from jaxart.validation import build


ROOT = Path(__file__).parents[1]
STROKES = 12


@pytest.fixture
def config() -> Any:
    """The default settings, for few strokes and few steps."""
    config = runpy.run_path(str(ROOT / "configs/paint.py"))["get_config"]()
    # With these, all tests of the painter share what they compile.
    config.strokes, config.steps, config.refine = STROKES, 2, 4
    return config


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A blue disc on a warm ground, 48 pixels wide and 40 high."""
    return disc(tmp_path / "disc.png")


def disc(path: Path, blue: int = 180) -> Path:
    y, x = np.mgrid[:40, :48]
    pixels = np.full((40, 48, 3), (200, 170, 90), np.uint8)
    pixels[(y - 18) ** 2 + (x - 26) ** 2 < 120] = (40, 60, blue)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def paint_disc(picture: Path, config: Any, name: str, **flags: Any) -> Path:
    """Paint the disc; return the folder that holds the painting and its strokes."""
    out = picture.parent / name
    out.mkdir(exist_ok=True)
    paint.main(
        str(picture),
        out=str(out / "painting.png"),
        strokes_out=str(out / "strokes.json"),
        config=config,
        **flags,
    )
    return out


@pytest.fixture
def painted(picture: Path, config: Any) -> Path:
    return paint_disc(picture, config, "painted")


def test_one_command_leaves_painting_strokes_shapes_and_film(
    picture: Path, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outputs, "FRAMES", 4)
    out = tmp_path / "all"
    film = str(out / "film.gif")
    paint_disc(picture, config, "all", svg=str(out / "shapes.svg"), film=film)
    image = pixels(out / "painting.png")
    assert image.shape == (40, 48, 3)
    ground = np.rint(255 * np.array(config.ground))
    error = ((image - pixels(picture).astype(float)) ** 2).mean()
    assert error < 0.7 * ((ground - pixels(picture)) ** 2).mean()
    content = strokes_file.read(out / "strokes.json")
    assert content.painting.stages.size == STROKES
    assert "</svg>" in (out / "shapes.svg").read_text()
    with Image.open(film) as frames:
        assert frames.size == (48, 40)
        assert getattr(frames, "n_frames", 1) > 1


def test_the_same_seed_gives_the_same_bytes(picture: Path, config: Any):
    one, other = (paint_disc(picture, config, name) for name in ("one", "other"))
    config.seed = 1
    third = paint_disc(picture, config, "third")
    for name in ("painting.png", "strokes.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
        assert (one / name).read_bytes() != (third / name).read_bytes()


def test_a_resumed_painting_equals_one_that_was_not_stopped(picture: Path, config: Any):
    whole = paint_disc(picture, config, "whole")
    config.strokes = STROKES // 2
    half = paint_disc(picture, config, "half")
    config.strokes = STROKES
    strokes = str(half / "strokes.json")
    more = paint_disc(picture, config, "more", resume=strokes)
    for name in ("painting.png", "strokes.json"):
        assert (more / name).read_bytes() == (whole / name).read_bytes()


def test_redrawing_needs_no_picture_and_gives_the_same_bytes(
    picture: Path, painted: Path, tmp_path: Path
):
    picture.unlink()
    paint.main(
        out=str(tmp_path / "again.png"), redraw=str(painted / "strokes.json"), config={}
    )
    again = (tmp_path / "again.png").read_bytes()
    assert again == (painted / "painting.png").read_bytes()


def test_a_painting_is_drawn_at_any_size_and_in_any_light(
    picture: Path, painted: Path, tmp_path: Path
):
    def drawn(name: str, **flags: Any) -> np.ndarray:
        strokes = str(painted / "strokes.json")
        paint.main(str(picture), out=str(tmp_path / name), redraw=strokes, **flags)
        return pixels(tmp_path / name)

    small = pixels(painted / "painting.png").astype(float)
    large = drawn("large.png", scale=4.0)
    assert large.shape == (160, 192, 3)
    pooled = large.reshape(40, 4, 48, 4, 3).mean((1, 3))
    assert abs(pooled - small).mean() < 4
    # The hairs of a brush leave furrows, which catch the light.
    file = painted / "strokes.json"
    file.write_text(file.read_text().replace('"soft"', '"bristle"'))
    large = drawn("large.png", scale=4.0)
    left = drawn("left.png", scale=4.0, relief=True, light=270.0)
    right = drawn("right.png", scale=4.0, relief=True, light=90.0)
    assert abs(left.astype(float) - right).mean() > 0.2
    assert abs(left.astype(float) - large).mean() < 30


@pytest.fixture
def cut_out(tmp_path: Path) -> Path:
    """The disc without its ground; a part is as grey as the canvas."""
    y, x = np.mgrid[:40, :48]
    colours = np.full((40, 48, 3), (40, 60, 180), np.uint8)
    colours[:20] = 204
    alpha = np.where((y - 20) ** 2 + (x - 26) ** 2 < 200, 255, 0).astype(np.uint8)
    Image.fromarray(np.dstack([colours, alpha])).save(tmp_path / "cut_out.png")
    return tmp_path / "cut_out.png"


def test_a_transparent_picture_is_painted_on_nothing(
    cut_out: Path, config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(outputs, "FRAMES", 2)
    config.strokes, config.steps, config.refine = 60, 8, 60
    out = tmp_path / "bare"
    film, shapes = str(out / "film.webp"), str(out / "shapes.svg")
    paint_disc(cut_out, config, "bare", transparent=True, film=film, svg=shapes)
    with Image.open(cut_out) as source, Image.open(out / "painting.png") as painted:
        assert painted.mode == "RGBA"
        expected, found = (np.asarray(image, float) for image in (source, painted))
    inside = expected[..., 3] == 255
    assert found[inside, 3].mean() > 245
    assert found[~inside, 3].mean() < 10
    assert abs(found - expected)[inside, :3].mean() < 15
    with Image.open(film) as frames:
        frames.seek(getattr(frames, "n_frames", 1) - 1)
        last = np.asarray(frames.convert("RGBA"), float)
    assert abs(last - found)[..., 3].mean() < 5
    assert "<rect" not in (out / "shapes.svg").read_text()
    # It is known to be transparent when it is drawn anew, and is no other picture.
    strokes = str(out / "strokes.json")
    again = tmp_path / "again.png"
    paint.main(str(cut_out), out=str(again), redraw=strokes, film=f"{tmp_path}/a.gif")
    assert again.read_bytes() == (out / "painting.png").read_bytes()
    with Image.open(tmp_path / "a.gif") as frames:
        assert np.asarray(frames.convert("RGB"))[0, 0].min() > 245  # of a palette
    with pytest.raises(ValueError, match=r"transparent \(was True, now False\)"):
        paint_disc(cut_out, config, "bare", resume=strokes, film=None)


def test_a_transparent_picture_is_said_to_be_painted_over_white(
    cut_out: Path, picture: Path, config: Any, capsys: pytest.CaptureFixture[str]
):
    note = "picture is transparent: painted over white; --transparent leaves it bare"
    paint_disc(picture, config, "opaque")
    assert note not in capsys.readouterr().err
    out = paint_disc(cut_out, config, "white")
    assert capsys.readouterr().err.count(note) == 1
    content = strokes_file.read(out / "strokes.json")
    strokes_file.check_picture(content, images.read_pixels(cut_out))
    paint.main(str(cut_out), out=f"{out}/b.png", redraw=str(out / "strokes.json"))


def test_a_wholly_transparent_picture_is_refused(config: Any, tmp_path: Path):
    Image.new("RGBA", (20, 20)).save(tmp_path / "none.png")
    out = str(tmp_path / "out.png")
    with pytest.raises(ValueError, match="wholly transparent: there is nothing"):
        paint.main(str(tmp_path / "none.png"), out=out, config=config, transparent=True)


def test_a_brush_of_ones_own_paints_and_is_known_again(
    picture: Path, config: Any, tmp_path: Path
):
    brush = tmp_path / "brush.png"
    y, x = (np.indices((64, 64)) - 31.5) / 31.5
    Image.fromarray(
        (255 * np.clip(2 - 2 * x**2 - 2 * y**2, 0, 1)).astype(np.uint8)
    ).save(brush)
    config.brush = str(brush)
    out = paint_disc(picture, config, "own")
    ground = np.rint(255 * np.array(config.ground))
    error = ((pixels(out / "painting.png") - pixels(picture).astype(float)) ** 2).mean()
    assert error < 0.7 * ((ground - pixels(picture)) ** 2).mean()
    strokes, again = str(out / "strokes.json"), tmp_path / "again.png"
    paint.main(out=str(again), redraw=strokes, svg=str(tmp_path / "a.svg"))
    assert again.read_bytes() == (out / "painting.png").read_bytes()
    assert "<ellipse" in (tmp_path / "a.svg").read_text()
    Image.new("L", (64, 64), 255).save(brush)
    with pytest.raises(ValueError, match="painted with another brush than"):
        paint.main(out=str(again), redraw=strokes)
    brush.unlink()
    with pytest.raises(ValueError, match=r"brush '.*brush.png' is missing"):
        paint.main(out=str(again), redraw=strokes)


def test_a_painting_says_how_it_came_to_be(painted: Path):
    with Image.open(painted / "painting.png") as image:
        texts = getattr(image, "text")  # noqa: B009
    assert texts["Seed"] == "0"
    assert texts["Strokes"] == str(STROKES)
    assert texts["Version"]


def test_weights_change_where_strokes_go(picture: Path, config: Any, tmp_path: Path):
    mask = np.zeros((40, 48), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    plain = paint_disc(picture, config, "plain")
    weighted = paint_disc(
        picture, config, "weighted", weights=str(tmp_path / "mask.png")
    )
    files = [strokes_file.read(folder / "strokes.json") for folder in (weighted, plain)]
    middle = 20 / 40  # the mask's border, in picture heights
    left = [(file.painting.greedy_strokes[:, X] < middle).mean() for file in files]
    assert left[0] > left[1]
    assert files[0].weights != files[1].weights
    strokes = str(weighted / "strokes.json")
    with pytest.raises(ValueError, match="other settings: weights"):
        paint_disc(picture, config, "plain", resume=strokes)


def test_saliency_is_one_of_the_weights(picture: Path, config: Any):
    out = paint_disc(picture, config, "salient", weights="saliency")
    assert strokes_file.read(out / "strokes.json").weights == "saliency"


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Three pictures, two of one name, and a file that is none."""
    folder = tmp_path / "pictures"
    disc(folder / "a.png", 180)
    disc(folder / "b.png", 140)
    disc(folder / "b.bmp", 100)
    (folder / "c.jpg").write_text("<html>404</html>")
    (folder / ".hidden").write_text("")
    return folder


def paint_all(collection: Path, config: Any, **flags: Any) -> Path:
    out = collection.parent / "gallery"
    paint.main(
        str(collection),
        out=f"{out}/",
        strokes_out=f"{out}/strokes/",
        config=config,
        **flags,
    )
    return out


def test_a_folder_is_painted_and_what_is_no_picture_is_listed(
    collection: Path, config: Any, capsys: pytest.CaptureFixture[str]
):
    out = paint_all(collection, config)
    paintings = {path.name: path for path in out.glob("*.png")}
    assert paintings.keys() == {"a.png", "b.png.png", "b.bmp.png"}
    assert {path.name for path in (out / "strokes").iterdir()} == {
        "a.json",
        "b.png.json",
        "b.bmp.json",
    }
    content = strokes_file.read(out / "strokes" / "b.bmp.json")
    strokes_file.check_picture(content, images.read_pixels(collection / "b.bmp"))
    skipped, last = capsys.readouterr().out.splitlines()
    assert skipped == f"skipped: {collection / 'c.jpg'} is not a picture"
    assert last.startswith("3 pictures painted, 0 painted before, 1 skipped")


def test_a_folder_is_resumed_where_it_stopped(
    collection: Path, config: Any, capsys: pytest.CaptureFixture[str]
):
    out = paint_all(collection, config)
    before = {path: path.read_bytes() for path in out.glob("*.png")}
    (out / "b.bmp.png").unlink()  # its strokes are there
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    capsys.readouterr()
    paint_all(collection, config)
    assert {path: path.read_bytes() for path in out.glob("*.png")} == before
    assert all(path.stat().st_mtime_ns == times[path] for path in times)
    assert "1 pictures painted, 2 painted before" in capsys.readouterr().out


def test_a_resumed_folder_equals_one_that_was_not_stopped(
    collection: Path, config: Any, monkeypatch: pytest.MonkeyPatch
):
    whole = paint_all(collection, config).rename(collection.parent / "whole")

    @contextlib.contextmanager
    def stopped_at_once() -> Iterator[list[int]]:
        yield [signal.SIGTERM]

    with monkeypatch.context() as patch:
        patch.setattr(command, "stop_signals", stopped_at_once)
        with pytest.raises(command.Stopped, match="0 pictures are painted"):
            paint_all(collection, config)
    # Half a painting would pass for a whole one; its strokes do not.
    out = collection.parent / "gallery"
    assert not list(out.glob("*.png"))
    assert len(list((out / "strokes").iterdir())) == 1
    paint_all(collection, config)
    for path in whole.rglob("*.*"):
        assert (out / path.relative_to(whole)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"out": "gallery.png"}, "out must be FOLDER/ for a folder"),
        ({"film": "film.gif"}, "film must be FOLDER/ for a folder"),
        ({"out": "HERE/"}, "out must be another folder than"),
        ({"weights": "mask.png"}, "weights must be saliency for a folder"),
        ({"resume": "strokes.json"}, "resume must not be given with a folder"),
    ],
)
def test_what_a_folder_cannot_have_is_refused(
    collection: Path, config: Any, flags: dict[str, Any], complaint: str
):
    flags = {"out": f"{collection.parent}/gallery/"} | flags
    flags["out"] = flags["out"].replace("HERE", str(collection))
    with pytest.raises(ValueError, match=complaint):
        paint.main(str(collection), config=config, **flags)


def test_a_folder_without_pictures_is_refused(tmp_path: Path, config: Any):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="folder must hold pictures"):
        paint.main(str(tmp_path / "empty"), out=f"{tmp_path}/out/", config=config)
    (tmp_path / "empty" / "letter.txt").write_text("dear Ada")
    with pytest.raises(ValueError, match="folder must hold pictures"):
        paint.main(str(tmp_path / "empty"), out=f"{tmp_path}/out/", config=config)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("strokes", 0, "strokes must be at least 1; got 0"),
        ("strokes", -5, "strokes must be at least 1; got -5"),
        ("brush", "broom", "brush must be one of"),
        ("pigment", "mud", "pigment must be one of"),
        ("distance", "smell", "distance must be one of"),
        ("slope", "steep", "slope must be one of"),
        ("ground", (0.5, 0.5, 2.0), "ground must be"),
        ("ground", (0.5, 0.5), "ground must be 3 values"),
        ("seed", 2**32, "seed must be at most 4,294,967,295; got 4294967296"),
        ("strokes", 10**6, "strokes must be at most 300,000"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    picture: Path, config: Any, tmp_path: Path, key: str, value: Any, complaint: str
):
    config[key] = value
    with pytest.raises(ValueError, match=complaint):
        paint.main(str(picture), out=str(tmp_path / "out.png"), config=config)
    assert not (tmp_path / "out.png").exists()


def test_whole_numbers_may_stand_for_others(config: Any):
    config = config.to_dict() | {"ground": [1, 0, 1], "prune": 0}
    settings = build(Settings, config)
    assert settings.ground == (1.0, 0.0, 1.0)
    assert {type(part) for part in (*settings.ground, settings.prune)} == {float}


def test_a_config_with_other_keys_is_refused(
    picture: Path, config: Any, tmp_path: Path
):
    with config.unlocked():
        del config.brush
        config.broom = "wide"
    with pytest.raises(ValueError, match="missing or unknown: broom, brush"):
        paint.main(str(picture), out=str(tmp_path / "out.png"), config=config)


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ({"scale": 0.0}, "scale must be above 0 .*; got 0"),
        ({"scale": 1e306}, "scale must be above 0 and at most"),
        ({"scale": -1.0}, "scale must be above 0"),
        ({"scale": float("nan")}, "scale must be above 0"),
        ({"scale": 0.01}, "48 x 40 times 0.01 does not"),
        ({"scale": 1e4}, "48 x 40 times 10000 does not"),
        ({"light": float("inf")}, "azimuth must be a finite number"),
        ({"out": "painting.jpg"}, "out must end in one of .png, /; got 'painting.jpg'"),
        ({"strokes_out": "strokes.txt"}, "strokes_out must end in one of .json, /"),
        ({"svg": "shapes.png"}, "svg must end in one of .svg, /"),
        ({"film": "film.avi"}, "film must end in one of .gif, .webp, .mp4, /"),
        ({"weights": "HERE/nowhere.png"}, "weights .*nowhere.png are missing"),
        (
            {"weights": "HERE/small.png"},
            "weights must have .* 48 x 40 pixels; got 16 x 16",
        ),
        ({"out": "HERE/disc.png"}, "out must not be the picture itself"),
        ({"out": "HERE/small.png"}, "small.png exists and was not written by jaxart"),
        ({"strokes_out": "HERE/letter.json"}, "exists and was not written by jaxart"),
        ({"svg": "HERE/drawing.svg"}, "exists and was not written by jaxart"),
        ({"film": "HERE/film.gif"}, "exists and was not written by jaxart"),
        ({"out": "HERE/letter.json/out.png"}, "letter.json"),
        ({"redraw": "HERE/letter.json", "weights": "saliency"}, "does not paint"),
        ({"redraw": "HERE/letter.json"}, "must be of the format"),
        ({"resume": "HERE/letter.json"}, "must be of the format"),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_work(
    picture: Path,
    config: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: dict[str, Any],
    complaint: str,
):
    for name in ("letter.json", "drawing.svg", "film.gif"):
        (tmp_path / name).write_text('{"dear": "Ada"}')
    Image.new("RGB", (16, 16)).save(tmp_path / "small.png")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.chdir(tmp_path)
    flags = {"out": "HERE/out.png"} | flags
    given: dict[str, Any] = {
        name: value.replace("HERE", str(tmp_path)) if isinstance(value, str) else value
        for name, value in flags.items()
    }
    monkeypatch.setattr(jobs, "paint_job", lambda *_: pytest.fail("it was painted"))
    with pytest.raises((ValueError, OSError), match=complaint):
        paint.main(str(picture), config=config, **given)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("size", "complaint"),
    [
        ((1, 1), "at least 16 pixels .* is 1 x 1"),
        ((15, 400), "is 15 x 400"),
        ((65_536, 16), "65,535; .* is 65536 x 16"),
    ],
)
def test_a_picture_too_small_to_paint_is_refused(
    config: Any, tmp_path: Path, size: tuple[int, int], complaint: str
):
    Image.new("RGB", size).save(tmp_path / "dot.png")
    with pytest.raises(ValueError, match=complaint):
        paint.main(str(tmp_path / "dot.png"), out=f"{tmp_path}/o.png", config=config)


def test_what_is_not_a_picture_is_refused(config: Any, tmp_path: Path):
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    for name, complaint in [("page.jpg", "is not a picture"), ("no.jpg", "is missing")]:
        with pytest.raises(ValueError, match=complaint):
            paint.main(str(tmp_path / name), out=f"{tmp_path}/o.png", config=config)


def test_strokes_of_another_picture_are_refused(
    painted: Path, config: Any, tmp_path: Path
):
    other = str(disc(tmp_path / "other.png", blue=90))
    strokes, out = str(painted / "strokes.json"), str(tmp_path / "out.png")
    with pytest.raises(ValueError, match="of another one of 48 x 40 pixels"):
        paint.main(other, out=out, config=config, resume=strokes)
    with pytest.raises(ValueError, match="of another one of 48 x 40 pixels"):
        paint.main(other, out=out, config=config, redraw=strokes)


def test_a_painting_is_resumed_with_its_own_settings_only(
    picture: Path, painted: Path, config: Any, tmp_path: Path
):
    strokes = str(painted / "strokes.json")
    config.seed = 3
    with pytest.raises(ValueError, match=r"other settings: seed \(was 0, now 3\)"):
        paint_disc(picture, config, "other", resume=strokes)
    config.seed = 0
    config.strokes = STROKES - 1
    with pytest.raises(ValueError, match=f"strokes must be at least the {STROKES} in"):
        paint_disc(picture, config, "other", resume=strokes)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_leaves_a_painting_that_can_be_resumed(
    picture: Path,
    config: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
):
    progress = painting.progress

    def interrupted(*args: Any, **kwargs: Any) -> Iterator[painting.Progress]:
        for step in progress(*args, **kwargs):
            signal.raise_signal(number)
            yield step

    monkeypatch.setattr(painting, "progress", interrupted)
    out, strokes = tmp_path / "out.png", tmp_path / "strokes.json"
    config.strokes = 100
    with pytest.raises(command.Stopped, match=f"--resume={strokes}") as stopped:
        paint.main(str(picture), out=str(out), strokes_out=str(strokes), config=config)
    assert stopped.value.exit_code == 128 + number
    content = strokes_file.read(strokes)
    count = content.painting.stages.size
    assert f"{count} of 100 strokes are in {out}" in str(stopped.value)
    assert 0 < count < 100
    assert pixels(out).shape == (40, 48, 3)
    assert content.settings == Settings(**config)


def test_a_command_without_a_picture_is_refused():
    with pytest.raises(ValueError, match="missing argument: PICTURE"):
        paint.main(out="o.png", config={})


def test_bad_input_is_one_line_and_exit_code_2():
    process = subprocess.run(
        [sys.executable, "-m", "jaxart.paint", "--out=o.png", "--config.strokez=3"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert process.returncode == 2
    (line,) = process.stderr.splitlines()
    assert line.startswith("error: ")
    assert "strokez" in line


def test_a_folder_goes_on_past_the_strokes_of_another_picture(
    collection: Path, config: Any, capsys: pytest.CaptureFixture[str]
):
    out = paint_all(collection, config)
    (out / "a.png").unlink()
    (out / "b.bmp.png").unlink()
    strokes = out / "strokes" / "a.json"
    strokes.write_bytes((out / "strokes" / "b.png.json").read_bytes())
    capsys.readouterr()
    paint_all(collection, config)
    first, _, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"skipped: {collection / 'a.png'}, because of {strokes}: ")
    assert last.startswith("1 pictures painted, 1 painted before, 2 skipped")
    assert (out / "b.bmp.png").exists()

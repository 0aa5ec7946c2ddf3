import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from jaxart import films


needs_av = pytest.mark.skipif(
    importlib.util.find_spec("av") is None, reason="the extra `video` is not installed"
)
MP4 = pytest.param(".mp4", marks=needs_av)
every_format = pytest.mark.parametrize("suffix", [".gif", ".webp", MP4])
GROUND, RED, BLUE = (204, 204, 204), (200, 40, 30), (30, 60, 180)


def frames_of_a_painting(count=5, size=(48, 64)) -> Iterator[np.ndarray]:
    """Frames that fill from left to right: red above and blue below."""
    h, w = size
    for done in range(count):
        frame = np.full((h, w, 3), GROUND, np.uint8)
        frame[: h // 2, : w * done // (count - 1)] = RED
        frame[h // 2 :, : w * done // (count - 1)] = BLUE
        yield frame


def read(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """Frames of a film, and the duration of each in seconds."""
    if path.suffix == ".mp4":
        import av

        with av.open(str(path)) as film:
            frames = [f.to_ndarray(format="rgb24") for f in film.decode(video=0)]
            rate = film.streams.video[0].average_rate
            assert rate is not None
            return frames, [float(1 / rate)] * len(frames)
    with Image.open(path) as film:
        pictures = [frame.copy() for frame in ImageSequence.Iterator(film)]
        return (
            [np.asarray(picture.convert("RGB")) for picture in pictures],
            [picture.info["duration"] / 1000 for picture in pictures],
        )


@every_format
def test_a_film_shows_its_frames_in_order(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    films.write(path, frames_of_a_painting(), fps=10)
    found, _ = read(path)
    for frame, expected in zip(found, frames_of_a_painting(), strict=False):
        difference = np.abs(frame.astype(int) - expected)
        # MP4 and WebP subsample chroma, and are lossy.
        assert np.median(difference) <= 4
        assert difference.mean() <= 6


@every_format
@pytest.mark.parametrize("hold", [0, 2])
def test_the_last_frame_is_held_as_long_as_asked_for(tmp_path, suffix, hold):
    path = tmp_path / f"a{suffix}"
    films.write(path, frames_of_a_painting(5), fps=10, hold=hold)
    frames, seconds = read(path)
    assert sum(seconds) == pytest.approx(5 / 10 + hold, abs=0.06)
    assert np.abs(frames[-1].astype(int) - list(frames_of_a_painting())[-1]).mean() <= 6


@every_format
@pytest.mark.parametrize("size", [(33, 47), (1, 1), (2, 5)])
def test_frames_may_have_any_size(tmp_path, suffix, size):
    path = tmp_path / f"a{suffix}"
    films.write(path, frames_of_a_painting(3, size), fps=25)
    h, w, _ = read(path)[0][0].shape
    # MP4 has even sides.
    assert 0 <= h - size[0] <= (suffix == ".mp4")
    assert 0 <= w - size[1] <= (suffix == ".mp4")


@every_format
def test_a_film_of_one_frame_is_written(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    films.write(path, iter(list(frames_of_a_painting())[:1]), fps=25)
    assert len(read(path)[0]) >= 1


@every_format
def test_a_film_of_jaxart_is_overwritten(tmp_path, suffix):
    path = tmp_path / "new" / f"a{suffix}"
    films.write(path, frames_of_a_painting(3), fps=25)
    films.write(path, frames_of_a_painting(5), fps=25)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert sum(read(path)[1]) == pytest.approx(5 / 25, abs=0.02)


@every_format
@pytest.mark.parametrize("foreign", ["text", "film"])
def test_a_foreign_file_is_not_overwritten(tmp_path, suffix, foreign):
    path = tmp_path / f"a{suffix}"
    if foreign == "text" or suffix == ".mp4":
        path.write_text("notes")
    else:
        first, *rest = map(Image.fromarray, frames_of_a_painting())
        first.save(path, save_all=True, append_images=rest)
    content = path.read_bytes()
    for attempt in (
        films.check,
        lambda path: films.write(path, frames_of_a_painting(), fps=25),
    ):
        with pytest.raises(FileExistsError, match="was not written by jaxart"):
            attempt(path)
    assert path.read_bytes() == content


@every_format
def test_a_failing_iterator_leaves_the_old_film(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    films.write(path, frames_of_a_painting(), fps=25)
    content = path.read_bytes()

    def failing():
        yield from frames_of_a_painting(3)
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        films.write(path, failing(), fps=25)
    assert path.read_bytes() == content
    assert len(list(tmp_path.iterdir())) == 1


@every_format
def test_frames_are_read_one_at_a_time(tmp_path, suffix):
    alive = 0
    peak = 0

    class Frame(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= self.base is None

    def counted_frames():
        nonlocal alive, peak
        for _ in range(20):
            frame = np.ndarray.__new__(Frame, (16, 16, 3), np.uint8)
            frame[:] = 7
            alive += 1
            peak = max(peak, alive)
            yield frame
            del frame

    films.write(tmp_path / f"a{suffix}", counted_frames(), fps=25)
    assert peak <= 3


def test_unchanged_pixels_of_a_gif_do_not_flicker(tmp_path):
    rng = np.random.default_rng(0)
    static = rng.integers(0, 256, (32, 64, 3), np.uint8)

    def changing():
        for _ in range(6):
            moving = rng.integers(0, 256, (32, 64, 3), np.uint8)
            yield np.concatenate([static, moving])

    films.write(tmp_path / "a.gif", changing(), fps=25)
    frames, _ = read(tmp_path / "a.gif")
    for frame in frames[1:]:
        np.testing.assert_array_equal(frame[:32], frames[0][:32])


def test_unchanged_pixels_take_no_space_in_a_gif(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)

    def nearly_static():
        for at in range(40):
            frame = picture.copy()
            # Far apart, so that no smaller rectangle holds both.
            frame[at, 0] = frame[-1 - at, -1] = RED
            yield frame

    films.write(tmp_path / "one.gif", iter([picture]), fps=25)
    films.write(tmp_path / "many.gif", nearly_static(), fps=25)
    one, many = ((tmp_path / f"{name}.gif").stat().st_size for name in ("one", "many"))
    # Each frame repeats the 765 bytes of the shared palette.
    assert many < one + 40 * 1500


def test_mp4_without_pyav_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    path = tmp_path / "a.mp4"
    for attempt in (
        films.check,
        lambda path: films.write(path, frames_of_a_painting(), fps=25),
    ):
        with pytest.raises(ValueError, match=r"pip install 'jaxart\[video\]'$"):
            attempt(path)
    assert not list(tmp_path.iterdir())
    films.check(tmp_path / "a.gif")


@pytest.mark.parametrize("name", ["a.avi", "a", "a.png", ".gif"])
def test_an_unknown_format_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"^film must end in \.gif, .*; got .*"):
        films.write(tmp_path / name, frames_of_a_painting(), fps=25)


@pytest.mark.parametrize("fps", [0.0, -1.0, 51.0, np.nan])
def test_fps_out_of_range_is_refused(tmp_path, fps):
    with pytest.raises(ValueError, match=r"^fps must be between 1 and 50; got"):
        films.write(tmp_path / "a.gif", frames_of_a_painting(), fps=fps)


@every_format
def test_no_frames_or_several_sizes_are_refused(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(ValueError, match="at least one"):
        films.write(path, iter([]), fps=25)
    with pytest.raises(ValueError, match="must have one size"):
        films.write(
            path,
            iter([*frames_of_a_painting(2, (8, 8)), *frames_of_a_painting(2, (8, 9))]),
            fps=25,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".webp", MP4])
def test_frames_too_large_for_a_format_are_refused(tmp_path, suffix):
    long = np.zeros((2, 16_386, 3), np.uint8)
    with pytest.raises(ValueError, match=r"^frames must be at most 16,38"):
        films.write(tmp_path / f"a{suffix}", iter([long]), fps=25)
    assert not list(tmp_path.iterdir())

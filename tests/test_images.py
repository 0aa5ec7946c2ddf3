"""Files of all kinds, sizes, value ranges and grids."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from jaxart import images


RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def painted(rng):
    """A smooth picture of 120 x 90 pixels: the same after any decent filter."""
    y, x = np.mgrid[0:90, 0:120] / 120
    waves = [np.sin(5 * x + 2 * y + phase) for phase in (0, 1, 2)]
    return (127.5 + 127 * np.stack(waves, -1)).astype(np.uint8)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def quadrants(mode="RGB"):
    """Red, green / blue, white: which way is up shows in the corners."""
    picture = Image.new("RGB", (40, 20))
    for colour, corner in zip(
        (RED, GREEN, BLUE, WHITE), ((0, 0), (20, 0), (0, 10), (20, 10)), strict=True
    ):
        picture.paste(colour, (*corner, corner[0] + 20, corner[1] + 10))
    return picture.convert(mode)


def corners(pixels):
    return [tuple(int(v) for v in pixels[y, x]) for y in (2, -3) for x in (2, -3)]


def saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def png_header(width, height):
    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels)


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("RGB", "a.png"),
        ("P", "a.png"),
        ("P", "a.gif"),
        ("RGBA", "a.webp"),
        ("CMYK", "a.tif"),
        ("YCbCr", "a.tif"),
        ("RGB", "a.bmp"),
        ("RGB", "a.ppm"),
        ("RGB", "a.jp2"),
    ],
)
def test_every_mode_and_format_shows_the_same_colours(tmp_path, mode, name):
    lossless = {"lossless": True} if name.endswith("webp") else {}
    path = saved(tmp_path, quadrants(mode), name, **lossless)
    found = np.array(corners(images.read_pixels(path)))
    assert np.abs(found - [RED, GREEN, BLUE, WHITE]).max() <= 2


def test_a_cmyk_jpeg_with_adobes_inverted_inks_is_not_a_negative(tmp_path):
    path = saved(tmp_path, quadrants("CMYK"), "a.jpg", quality=95)
    assert b"Adobe" in path.read_bytes()
    found = np.array(corners(images.read_pixels(path)))
    assert np.abs(found - [RED, GREEN, BLUE, WHITE]).max() <= 10


def test_lab_is_converted_to_srgb(tmp_path):
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
    )
    lab = ImageCms.applyTransform(quadrants(), to_lab)
    path = saved(tmp_path, lab, "a.tif")
    found = np.array(corners(images.read_pixels(path)))
    assert np.abs(found - [RED, GREEN, BLUE, WHITE]).max() <= 25


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_modes_become_equal_red_green_and_blue(tmp_path, mode):
    grey = Image.new("L", (30, 30))
    grey.paste(255, (0, 0, 15, 30))
    pixels = images.read_pixels(saved(tmp_path, grey.convert(mode), "a.png"))
    assert corners(pixels) == [WHITE, (0, 0, 0)] * 2


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_transparent_pixels_become_white(tmp_path, mode):
    picture = Image.new("LA", (30, 30), (0, 0))
    picture.paste((0, 255), (0, 0, 15, 30))
    name = "a.tif" if mode == "PA" else "a.png"
    if mode == "PA":
        picture = picture.convert("RGBA")
        mode = "RGBA"
    pixels = images.read_pixels(saved(tmp_path, picture.convert(mode), name))
    assert corners(pixels) == [(0, 0, 0), WHITE] * 2


def test_half_transparent_black_is_grey(tmp_path):
    path = saved(tmp_path, Image.new("RGBA", (9, 9), (0, 0, 0, 128)), "a.png")
    assert abs(int(images.read_pixels(path)[0, 0, 0]) - 127) <= 1


def test_a_transparent_palette_entry_becomes_white(tmp_path):
    picture = quadrants("P")
    path = saved(tmp_path, picture, "a.png", transparency=picture.getpixel((2, 2)))
    found = np.array(corners(images.read_pixels(path)))
    assert np.abs(found - [WHITE, GREEN, BLUE, WHITE]).max() <= 2


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (np.array([[0, 32_896, 65_535]], np.uint16), "a.png"),
        (np.array([[0, 32_896, 65_535]], np.uint16), "a.tif"),
        (np.array([[0, 32_896, 65_535]], np.uint16), "a.pgm"),
        (np.array([[0, 32_896, 65_535]], np.int32), "a.tif"),
        (np.array([[0, 500_000, 1_000_000]], np.int32), "a.tif"),
        (np.array([[-1000, 0, 1000]], np.int32), "a.tif"),
        (np.array([[0, 0.5, 1]], np.float32), "a.tif"),
        (np.array([[0, 127.5, 255]], np.float32), "a.tif"),
        (np.array([[0, 4e5, 8e5]], np.float32), "a.tif"),
    ],
)
def test_deep_greys_are_scaled_not_clipped(tmp_path, values, name):
    path = saved(tmp_path, Image.fromarray(np.repeat(values, 3, 0)), name)
    black, middle, white = images.read_pixels(path)[0, :, 0]
    assert (black, white) == (0, 255)
    assert abs(int(middle) - 127.5) <= 1


@pytest.mark.parametrize("values", [[[np.nan, np.inf, 0.0]], [[0.0, 0.0, 0.0]]])
def test_nan_and_infinity_are_black(tmp_path, values):
    path = saved(tmp_path, Image.fromarray(np.array(values, np.float32)), "a.tif")
    assert not images.read_pixels(path).any()


# How a camera in each of EXIF's eight orientations stores an upright picture.
STORED = {
    1: [],
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.ROTATE_90, Image.Transpose.FLIP_TOP_BOTTOM],
    6: [Image.Transpose.ROTATE_90],
    7: [Image.Transpose.ROTATE_270, Image.Transpose.FLIP_TOP_BOTTOM],
    8: [Image.Transpose.ROTATE_270],
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.jpg"])
def test_exif_turns_a_picture_upright(tmp_path, orientation, name):
    stored = quadrants().resize((400, 200), Image.Resampling.NEAREST)
    for step in STORED[orientation]:
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, stored, name, exif=exif)
    for pixels in (images.read_pixels(path), images.read_resized(path).pixels):
        assert pixels.shape[1] > pixels.shape[0]
        assert np.abs(np.array(corners(pixels)) - [RED, GREEN, BLUE, WHITE]).max() <= 12


def test_broken_exif_does_not_cost_the_picture(tmp_path):
    path = saved(
        tmp_path, quadrants(), "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\xff\xff\xff"
    )
    assert images.read_pixels(path).shape == (20, 40, 3)


def test_the_suffix_does_not_matter(tmp_path):
    path = saved(tmp_path, quadrants(), "a.png").rename(tmp_path / "a.jpg")
    assert images.read_pixels(path).shape == (20, 40, 3)


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("RGB", (9, 9), colour) for colour in (RED, BLUE)]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert tuple(images.read_pixels(path)[0, 0]) == RED


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.png", "a.gif", "a.tif", "a.webp", "a.bmp"]
)
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_picture_is_refused(tmp_path, rng, name, share):
    noise = Image.fromarray(rng.integers(0, 256, (300, 400, 3), np.uint8))
    path = saved(tmp_path, noise, name)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    for read in (images.read_pixels, images.read_resized):
        with pytest.raises(
            images.PictureError, match=r"^(unreadable|unsupported|not a picture)"
        ):
            read(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not a picture"),
        (b"<!doctype html><html><body>404</body></html>", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "unsupported: a Post"),
        (b"\xff\xd8\xff\xe0", "not a picture"),
        (b"\x89PNG\r\n\x1a\n", "not a picture"),
    ],
)
def test_a_file_that_is_no_picture_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(images.PictureError, match=f"^{reason}"):
        images.read_pixels(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(images.PictureError, match=r"^missing$"):
        images.read_pixels(tmp_path / "a.jpg")
    with pytest.raises(images.PictureError, match=r"^unreadable: Is a directory$"):
        images.read_pixels(tmp_path)


@pytest.mark.parametrize("pillows_own_limit", [None, 89_478_485])
def test_a_bomb_is_refused_not_decoded(tmp_path, monkeypatch, pillows_own_limit):
    def decode(*_):
        raise AssertionError("the bomb was decoded")

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pillows_own_limit)
    monkeypatch.setattr(Image.core, "new", decode)
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(60_000, 60_000))
    for read in (images.read_pixels, images.read_resized):
        with pytest.raises(images.PictureError, match=r"^too large"):
            read(path)


def test_a_picture_just_below_the_limit_is_no_bomb(tmp_path, monkeypatch):
    path = saved(tmp_path, quadrants(), "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 800)
    assert images.read_pixels(path).shape == (20, 40, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 799)
    with pytest.raises(images.PictureError, match=r"^too large: 40 x 20 pixels"):
        images.read_pixels(path)


sides = st.integers(1, 3000)


@given(sides, sides, st.sampled_from([8, 64, 100]), st.sampled_from([None, 1, 3.1]))
def test_the_smallest_sides_are_the_smallest(first, second, size, crops):
    pixels = None if crops is None else round(crops * size**2)
    enough = (2 * size) ** 2 if pixels is None else pixels
    short, long = min(first, second), max(first, second)
    if first * second < enough or short < size:
        with pytest.raises(images.PictureError, match=r"^too small"):
            images.smallest_sides(first, second, size, pixels)
        return
    found = images.smallest_sides(first, second, size, pixels)
    best = None
    # By trial: shrink the short side pixel by pixel while the rule still holds.
    for side in range(short, 0, -1):
        other = int(np.floor(side * long / short + 0.5))
        if side * other < enough or side < size:
            break
        best = (side, other)
    assert tuple(sorted(found)) == best
    assert (found[0] > found[1]) == (first > second) or found[0] == found[1]


@pytest.mark.parametrize("shape", [(127, 128), (63, 5000), (100, 100)])
def test_nothing_is_enlarged(shape):
    with pytest.raises(images.PictureError, match=r"^too small"):
        images.resize_for_crops(np.zeros((*shape, 3), np.uint8))


def test_shrinking_neither_shifts_nor_rings(painted):
    large = Image.fromarray(painted).resize((1200, 900), Image.Resampling.BICUBIC)
    small = images.resize_for_crops(np.asarray(large))
    size = (small.shape[1], small.shape[0])
    expected = Image.fromarray(painted).resize(size, Image.Resampling.BICUBIC)
    assert np.abs(small.astype(int) - np.asarray(expected)).max() <= 4


def test_fine_patterns_turn_grey_instead_of_aliasing():
    checks = (np.indices((1024, 1024)).sum(0) % 2 * 255).astype(np.uint8)
    small = images.resize_for_crops(np.repeat(checks[..., None], 3, -1))
    assert np.abs(small.astype(int) - 127).max() <= 2


def test_a_large_jpeg_read_at_a_fraction_looks_the_same(tmp_path, painted):
    large = Image.fromarray(painted).resize((2400, 1800), Image.Resampling.BICUBIC)
    path = saved(tmp_path, large, "a.jpg", quality=95)
    fast = images.read_resized(path).pixels.astype(int)
    exact = images.resize_for_crops(images.read_pixels(path)).astype(int)
    assert fast.shape == exact.shape
    assert np.abs(fast - exact).max() <= 3


def test_pixels_survive_the_conversion_to_images_and_back():
    pixels = np.arange(256, dtype=np.uint8)
    converted = images.to_images(pixels)
    assert converted.dtype == np.float32
    assert (converted.min(), converted.max()) == (-1, 1)
    np.testing.assert_array_equal(images.to_pixels(converted), pixels)


def test_images_out_of_range_are_clipped():
    np.testing.assert_array_equal(
        images.to_pixels(np.array([-9, -1.001, 1.001, 9], np.float32)), [0, 0, 255, 255]
    )


@pytest.mark.parametrize(
    ("count", "columns", "shape"),
    [
        (1, None, (4, 5)),
        (4, None, (10, 12)),
        (5, 2, (16, 12)),
        (7, None, (16, 19)),
        (8, None, (10, 26)),
        (3, 9, (4, 19)),
    ],
)
def test_a_grid_has_the_expected_size(count, columns, shape):
    pixels = np.zeros((count, 4, 5, 3), np.uint8)
    assert images.grid(pixels, columns).shape == (*shape, 3)


def test_a_grid_is_filled_row_by_row_with_white_borders():
    pixels = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones(
        (5, 4, 4, 3), np.uint8
    )
    page = images.grid(pixels, columns=3)[..., 0]
    assert [page[0, 0], page[0, 6], page[0, 12], page[6, 0], page[6, 6]] == [*range(5)]
    assert (page[4:6] == 255).all()
    assert (page[:, 4:6] == 255).all()
    assert (page[6:, 12:] == 255).all()


@pytest.mark.parametrize(("count", "columns"), [(0, None), (3, 0), (3, -1)])
def test_an_impossible_grid_is_refused(count, columns):
    with pytest.raises(ValueError, match=r"must (hold|be) at least"):
        images.grid(np.zeros((count, 4, 4, 3), np.uint8), columns)


def test_a_png_is_written_whole_and_may_be_written_again(tmp_path, painted):
    path = tmp_path / "new" / "folder" / "a.png"
    for pixels in (painted, painted[::-1]):
        images.save_png(path, pixels)
        np.testing.assert_array_equal(np.asarray(Image.open(path)), pixels)
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    assert Image.open(path).info["Software"] == "jaxart"


def test_a_png_carries_texts_about_itself(tmp_path, painted):
    about = {"Seed": "7", "Command": "--out=☼.png", "Picture": "\udcfc.jpg"}
    for name in ("a.png", "b.png"):
        images.save_png(tmp_path / name, painted, about=about)
    image = Image.open(tmp_path / "a.png")
    np.testing.assert_array_equal(image, painted)
    assert image.info == {"Software": "jaxart", **about, "Picture": r"\udcfc.jpg"}
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    images.save_png(tmp_path / "a.png", painted)


@pytest.mark.parametrize("name", ["other.png", "text.png", "folder"])
def test_a_file_that_is_not_ours_is_not_overwritten(tmp_path, painted, name):
    Image.fromarray(painted).save(tmp_path / "other.png")
    (tmp_path / "text.png").write_text("notes")
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileExistsError, match="was not written by jaxart"):
        images.save_png(tmp_path / name, painted[::-1])
    assert (tmp_path / "text.png").read_text() == "notes"
    np.testing.assert_array_equal(Image.open(tmp_path / "other.png"), painted)


def test_a_write_that_fails_leaves_the_old_file(tmp_path, painted, monkeypatch):
    path = tmp_path / "a.png"
    images.save_png(path, painted)

    def full_disk(_, path, *__, **___):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        images.save_png(path, painted[::-1])
    np.testing.assert_array_equal(np.asarray(Image.open(path)), painted)
    assert len(list(tmp_path.iterdir())) == 1


def test_workers_that_import_this_file_do_not_import_jax():
    probe = "import jaxart.images, sys; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", probe], check=True)


def test_a_picture_that_does_not_fit_in_memory_is_refused(monkeypatch, tmp_path):
    path = saved(tmp_path, quadrants(), "a.png")

    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", no_memory)
    with pytest.raises(images.PictureError, match=r"^too large: not enough memory"):
        images.read_pixels(path)

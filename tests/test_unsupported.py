import io

import numpy as np
import pytest
from PIL import Image
from tiffs import in_planes, layout, tiff

from jaxart import images, unsupported
from jaxart.paintings import preparation
from jaxart.paintings.sources import inputs


RAMP = np.arange(12 * 20 * 3, dtype=np.uint16).reshape(12, 20, 3)
DEEP = RAMP * 90 + 100
FORMATS = ("JPEG", "PNG", "TIFF", "AVIF")


def read(content):
    return images.read_pixels(io.BytesIO(content))


def complaint(content):
    with pytest.raises(images.PictureError) as caught:
        read(content)
    return str(caught.value)


def test_planes_of_8_bits_are_read_right():
    pixels = RAMP.astype(np.uint8)
    np.testing.assert_array_equal(read(in_planes(pixels)), pixels)


@pytest.mark.parametrize("order", ["<", ">"])
def test_planes_of_16_bits_are_refused_and_not_misread(order):
    assert complaint(in_planes(DEEP, order)) == (
        "unsupported: a TIFF with 16 bits a channel in separate planes; save it with "
        "interleaved channels"
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_interleaved_16_bits_are_read_to_a_level(order):
    samples = DEEP.astype(DEEP.dtype.newbyteorder(order)).tobytes()
    content = tiff(layout(12, 20, [16] * 3, 2), samples, order=order)
    off = np.abs(read(content).astype(int) - np.rint(DEEP / 257).astype(int))
    assert off.max() <= 1


def test_deep_grey_is_as_bright_as_its_bits_say():
    values = np.arange(16 * 256).reshape(16, 256)  # 12 bits, from black to white
    pairs = values.reshape(-1, 2)
    packed = np.stack(
        [pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1]], 1
    ).astype(np.uint8)
    grey = read(tiff(layout(16, 256, [12], 1), packed.tobytes()))
    expected = np.rint(values * (255 / 4095))
    np.testing.assert_array_equal(grey, np.stack([expected] * 3, 2))


def test_deep_grey_that_counts_from_white_is_no_negative():
    values = np.linspace(0, 65_535, 240).astype("<u2").reshape(12, 20)
    positive = read(tiff(layout(12, 20, [16], 1), values.tobytes()))
    inverted = (65_535 - values).astype("<u2")
    flipped = read(tiff(layout(12, 20, [16], 0), inverted.tobytes()))
    off = np.abs(positive.astype(int) - flipped.astype(int))
    assert off.max() <= 1


@pytest.mark.parametrize("tag", [{330: ("I", [8])}, {50_706: ("B", [1, 4, 0, 0])}])
def test_a_raw_photographs_preview_is_refused(tag):
    tags = layout(12, 20, [8] * 3, 2) | {254: ("I", [1])} | tag
    assert complaint(tiff(tags, bytes(720))).startswith(
        "unsupported: a raw photograph; only its preview can be read"
    )


def test_a_preview_before_its_picture_is_refused():
    small, whole = (
        Image.fromarray(RAMP.astype(np.uint8)).resize(s) for s in [(5, 3), (20, 12)]
    )
    file = io.BytesIO()
    small.save(file, "TIFF", save_all=True, append_images=[whole], tiffinfo={254: 1})
    assert "preview" in complaint(file.getvalue())


def test_a_lone_picture_marked_as_a_preview_is_all_there_is():
    tags = layout(12, 20, [8] * 3, 2) | {254: ("I", [1])}
    pixels = RAMP.astype(np.uint8)
    np.testing.assert_array_equal(read(tiff(tags, pixels.tobytes())), pixels)


def test_ycbcr_with_fewer_colours_than_pixels_is_refused():
    tags = layout(12, 20, [8] * 3, 6) | {530: ("H", [2, 2])}
    assert "YCbCr" in complaint(tiff(tags, bytes(720)))


@pytest.mark.parametrize(
    ("bits", "photometric", "floats", "words"),
    [
        ([32] * 3, 2, True, "3 channels of 32 bits in floating point"),
        ([16, 16], 1, False, "2 channels of 16 bits"),
        ([64], 1, True, "1 channels of 64 bits in floating point"),
    ],
)
def test_a_tiff_without_a_decoder_says_what_it_holds(bits, photometric, floats, words):
    content = tiff(layout(4, 4, bits, photometric, floats=floats), bytes(512))
    assert complaint(content) == (
        f"unsupported: a TIFF with {words}; save it with 8 or 16 bits a channel"
    )


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"8BPS\0\x01", "a Photoshop document"),
        (b"\xff\x0a\xfa", "a JPEG XL picture"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", "a raw photograph"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "a film"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC photograph"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "a HEIC photograph"),
        (b"II*\0\x10\0\0\0CR\x02\0", "a raw photograph"),
        (b"FUJIFILMCCD-RAW 0201", "a raw photograph"),
        (b"%PDF-1.7", "a PDF"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http', "an SVG drawing"),
    ],
)
def test_a_known_kind_is_called_by_its_name(head, words):
    assert unsupported.why_unreadable(io.BytesIO(head), FORMATS).startswith(
        f"unsupported: {words}"
    )


def test_a_damaged_file_of_a_kind_that_is_read_is_called_damaged():
    head = b"\0\0\0\x18ftypavif\0\0\0\0avifmif1"
    assert (
        unsupported.why_unreadable(io.BytesIO(head), FORMATS)
        == "unreadable: a damaged AVIF file"
    )
    assert unsupported.why_unreadable(io.BytesIO(b"MM\0*\0\0\0\x08"), FORMATS) == (
        "unreadable: a damaged TIFF"
    )


def test_heic_is_read_with_its_extra():
    heif = pytest.importorskip("pillow_heif", reason="needs the extra heif")
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :48] = 200, 40, 60
    file = io.BytesIO()
    heif.from_pillow(Image.fromarray(pixels)).save(file, quality=95)
    off = np.abs(read(file.getvalue()).astype(int) - pixels.astype(int))
    assert off.mean() < 3


def test_a_tiff_that_claims_billions_of_channels_is_refused_at_once():
    tags = layout(4, 4, [8], 2) | {277: ("I", [2**32 - 1])}
    assert complaint(tiff(tags, bytes(64))).startswith("un")
    head = io.BytesIO(tiff(tags, bytes(64)))
    assert unsupported.why_unreadable(head, FORMATS).startswith(
        "unsupported: a TIFF with 4294967295"
    )


def test_heic_is_read_by_worker_processes(tmp_path):
    heif = pytest.importorskip("pillow_heif", reason="needs the extra heif")
    noise = np.random.default_rng(0).integers(0, 256, (140, 150, 3), np.uint8)
    heif.from_pillow(Image.fromarray(noise)).save(tmp_path / "a.HEIC", quality=90)
    collected = inputs.open_inputs([tmp_path])
    prepared = preparation.prepare(collected, tmp_path / "data", processes=2)
    assert (prepared.kept, prepared.skipped) == (1, {})

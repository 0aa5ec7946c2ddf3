import io
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxart import images, pngs, profiles


PIXELS = np.arange(16 * 24 * 3, dtype=np.uint8).reshape(16, 24, 3)


def chunk(name, content):
    checksum = zlib.crc32(name + content)
    return (
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
    )


def png_with(*chunks, at_end=False):
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "PNG")
    content = file.getvalue()
    place = len(content) - 12 if at_end else 33  # before IEND, or after IHDR
    return content[:place] + b"".join(chunks) + content[place:]


LARGE = bytes(3_000_000)
TEXTS = {
    "zTXt": b"a\0\0" + zlib.compress(LARGE),
    "iTXt": b"a\0\x01\0\0\0" + zlib.compress(LARGE),
    "tEXt": b"a\0" + b"b" * 3_000_000,
}


@pytest.mark.parametrize("at_end", [False, True])
@pytest.mark.parametrize("name", TEXTS)
def test_the_pixels_beside_a_large_text_are_read(name, at_end):
    content = png_with(chunk(name.encode(), TEXTS[name]), at_end=at_end)
    np.testing.assert_array_equal(images.read_pixels(io.BytesIO(content)), PIXELS)


def test_a_hundred_texts_are_passed_over():
    content = png_with(*[chunk(b"zTXt", TEXTS["zTXt"])] * 100)
    np.testing.assert_array_equal(images.read_pixels(io.BytesIO(content)), PIXELS)


def test_a_large_profile_counts():
    profile = profiles.matrix_profile(1.8, profiles.ADOBE_RGB, profiles.WHITE_D65)
    noise = np.random.default_rng(0).bytes(2_000_000)
    packed = [
        chunk(b"iCCP", b"a\0\0" + zlib.compress(content))
        for content in (profile, profile + noise)
    ]
    small, large = (images.read_pixels(io.BytesIO(png_with(one))) for one in packed)
    np.testing.assert_array_equal(large, small)
    assert (large != PIXELS).any()


def test_a_profile_without_end_is_passed_over():
    bomb = zlib.compress(bytes(profiles.MAX_PROFILE_BYTES + 1))
    content = png_with(chunk(b"iCCP", b"a\0\0" + bomb))
    np.testing.assert_array_equal(images.read_pixels(io.BytesIO(content)), PIXELS)


@pytest.mark.parametrize("content", [png_with(), b"", b"GIF89a", pngs.SIGNATURE[:5]])
def test_what_holds_nothing_large_is_left_as_it_is(content):
    file = io.BytesIO(content)
    assert pngs.without_large_texts(file) is file
    assert file.tell() == 0


def test_the_side_that_is_up_is_kept_beside_a_large_text():
    xmp = b'<x:xmpmeta><rdf:RDF><a tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp + b" " * 2000)
    content = png_with(text, chunk(b"zTXt", TEXTS["zTXt"]))
    pixels = images.read_pixels(io.BytesIO(content))
    np.testing.assert_array_equal(pixels, np.rot90(PIXELS, -1))


def test_a_hundred_thousand_texts_are_soon_passed_over():
    bomb = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_100_000)))
    start = time.perf_counter()
    pixels = images.read_pixels(io.BytesIO(png_with(bomb * 100_000)))
    np.testing.assert_array_equal(pixels, PIXELS)
    assert time.perf_counter() - start < 10


def test_what_is_left_of_a_file_reads_like_a_file():
    content = bytes(range(200))
    file = pngs._Pieces(io.BytesIO(content), [(10, 20), (50, 0), (60, 30), (199, 1)])
    expected = content[10:30] + content[60:90] + content[199:]
    assert file.read() == expected
    for place in (0, 19, 20, 49, 50, 51, 70):
        assert file.seek(place) == place
        assert io.BufferedReader(file).read(7) == expected[place : place + 7]
        file = pngs._Pieces(io.BytesIO(content), file._pieces)
    assert file.seek(-3, io.SEEK_END) == len(expected) - 3
    assert file.read() == expected[-3:]

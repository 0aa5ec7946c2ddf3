import io
import struct
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

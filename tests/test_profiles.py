import io
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from jaxart import images, profiles


ADOBE = profiles.matrix_profile(
    profiles.ADOBE_GAMMA, profiles.ADOBE_RGB, profiles.WHITE_D65
)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LINEAR_GREY = profiles._profile_of(
    b"GRAY",
    {
        b"wtpt": profiles._xyz_tag(profiles.WHITE_D50),
        b"kTRC": struct.pack(">4s4xI", b"curv", 0),
    },
)
GREEN = (60, 180, 75)
GREEN_IN_SRGB = (0, 181, 64)  # by LittleCMS's own Adobe RGB


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return io.BytesIO(file.getvalue())


def flat(mode, colour):
    return Image.new(mode, (32, 24), colour)


def read(image, kind="TIFF", **options):
    pixels = images.read_pixels(saved(image, kind, **options))
    assert pixels.std((0, 1)).max() < 1
    return tuple(np.rint(pixels.mean((0, 1))).astype(int).tolist())


def srgb_of_linear(light):
    """Return the sRGB level of an amount of light, by the standard's formula."""
    high = 1.055 * light ** (1 / 2.4) - 0.055
    return 255 * np.where(light <= 0.0031308, 12.92 * light, high)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_adobe_rgb_is_converted(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    options |= {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    colour = read(flat("RGB", GREEN), kind, icc_profile=ADOBE, **options)
    np.testing.assert_allclose(colour, GREEN_IN_SRGB, atol=2)


def test_the_mark_of_a_camera_counts_as_a_profile():
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA001: 0xFFFF, 0xA005: {1: "R03"}})
    options = {"quality": 100, "subsampling": 0}
    colour = read(flat("RGB", GREEN), "JPEG", exif=exif, **options)
    np.testing.assert_allclose(colour, GREEN_IN_SRGB, atol=2)
    exif.get_ifd(0x8769)[0xA005] = {1: "R98"}
    colour = read(flat("RGB", GREEN), "JPEG", exif=exif, **options)
    np.testing.assert_allclose(colour, GREEN, atol=2)


def test_srgb_changes_no_byte():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (16, 16, 3), np.uint8)
    image = saved(Image.fromarray(pixels), "PNG", icc_profile=SRGB)
    np.testing.assert_array_equal(images.read_pixels(image), pixels)


def test_linear_grey_is_converted():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    file = saved(Image.fromarray(ramp), "TIFF", icc_profile=LINEAR_GREY)
    expected = np.repeat(srgb_of_linear(ramp[..., None] / 255), 3, 2)
    np.testing.assert_allclose(images.read_pixels(file), expected, atol=1)


def test_deep_linear_grey_is_converted():
    light = np.linspace(0, 1, 256).reshape(16, 16)
    deep = Image.fromarray(np.rint(65_535 * light).astype(np.uint16))
    file = saved(deep, "TIFF", icc_profile=LINEAR_GREY)
    expected = np.repeat(srgb_of_linear(light[..., None]), 3, 2)
    np.testing.assert_allclose(images.read_pixels(file), expected, atol=2)


def press_profile():
    """Return a profile of a press whose inks and paper are given in Lab."""
    lab = []
    for cyan, magenta, yellow, key in np.ndindex(2, 2, 2, 2):
        lightness = 100 - 30 * cyan - 40 * magenta - 5 * yellow
        a, b = -30 * cyan + 60 * magenta, -40 * cyan + 80 * yellow
        lab += [0.2 * lightness, 0, 0] if key else [lightness, a, b]
    values = np.array(lab).reshape(-1, 3) * [2.55, 1, 1] + [0, 128, 128]
    ramp = bytes(range(256))
    table = struct.pack(">4s4x4B", b"mft1", 4, 3, 2, 0)
    table += struct.pack(">9i", *(65_536 * np.eye(3, dtype=int)).ravel())
    table += 4 * ramp + np.rint(values).astype(np.uint8).tobytes() + 3 * ramp
    content = bytearray(
        profiles._profile_of(
            b"CMYK", {b"wtpt": profiles._xyz_tag(profiles.WHITE_D50), b"A2B0": table}
        )
    )
    content[12:16], content[20:24] = b"prtr", b"Lab "
    return bytes(content)


@pytest.mark.parametrize(
    ("inks", "lab"),
    [((0, 0, 0, 0), (100, 0, 0)), ((0, 255, 255, 0), (55, 60, 80))],
)
@pytest.mark.parametrize("kind", ["TIFF", "JPEG"])
def test_cmyk_is_converted_by_its_press(kind, inks, lab):
    options = {"quality": 100} if kind == "JPEG" else {}
    colour = read(flat("CMYK", inks), kind, icc_profile=press_profile(), **options)
    to_srgb = ImageCms.buildTransform(
        ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
    )
    place = np.array([[[lab[0] * 2.55, lab[1] % 256, lab[2] % 256]]]).astype(np.uint8)
    pixel = Image.frombytes("LAB", (1, 1), place.tobytes())
    ink: Any = ImageCms.applyTransform(pixel, to_srgb)
    np.testing.assert_allclose(colour, ink.getpixel((0, 0)), atol=3)


@pytest.mark.parametrize(
    "profile",
    [ADOBE[:200], b"\0" * 200, b"", ADOBE.replace(b"acsp", b"acsq"), LINEAR_GREY]
    + [ADOBE.replace(b"mntr", name) for name in (b"link", b"nmcl", b"abst")],
)
def test_a_profile_that_does_not_fit_is_ignored(profile):
    assert read(flat("RGB", GREEN), "PNG", icc_profile=profile) == GREEN


def test_transparency_lies_over_white_after_conversion():
    image = flat("RGBA", (*GREEN, 255))
    image.paste((*GREEN, 0), (0, 0, 16, 24))
    pixels = images.read_pixels(saved(image, "PNG", icc_profile=ADOBE))
    assert pixels[:, :16].min() == 255
    np.testing.assert_allclose(pixels[0, 20], GREEN_IN_SRGB, atol=1)
    grey = Image.merge("LA", (flat("L", 50), flat("L", 255)))
    assert read(grey, "PNG", icc_profile=LINEAR_GREY) == (122, 122, 122)


def test_a_palette_is_converted():
    palette = flat("RGB", GREEN).convert("P", palette=Image.Palette.ADAPTIVE)
    colour = read(palette, "PNG", icc_profile=ADOBE)
    np.testing.assert_allclose(colour, GREEN_IN_SRGB, atol=1)


def png_chunk(name, *numbers):
    content = struct.pack(f">{len(numbers)}I", *numbers)
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def png_stating(*chunks, colour=(128, 128, 128)):
    content = saved(flat("RGB", colour), "PNG").getvalue()
    return io.BytesIO(content[:33] + b"".join(chunks) + content[33:])


def test_a_png_counts_as_it_states():
    def colour(*chunks, **options):
        return images.read_pixels(png_stating(*chunks, **options))[0, 0]

    linear, usual = png_chunk(b"gAMA", 100_000), png_chunk(b"gAMA", 45_455)
    expected = srgb_of_linear(128 / 255)
    np.testing.assert_allclose(colour(linear), [expected] * 3, atol=1)
    np.testing.assert_array_equal(colour(usual), [128] * 3)
    corners = [0.3127, 0.329, *np.ravel(profiles.ADOBE_RGB)]
    chromaticities = png_chunk(b"cHRM", *(round(100_000 * place) for place in corners))
    np.testing.assert_allclose(
        colour(usual, chromaticities, colour=GREEN), GREEN_IN_SRGB, atol=2
    )
    broken = png_chunk(b"cHRM", *[0] * 8)
    np.testing.assert_array_equal(colour(linear, broken), [128] * 3)


def test_hostile_profiles_raise_nothing():
    rng = np.random.default_rng(0)
    for number in range(1000):
        mode, sound = ("RGB", ADOBE) if number % 2 else ("L", LINEAR_GREY)
        profile = bytearray(sound)
        for place in rng.integers(0, len(profile), rng.integers(1, 8)):
            profile[place] = rng.integers(256)
        image = Image.new(mode, (4, 4))
        image.info["icc_profile"] = bytes(profile)
        converted = profiles.to_srgb(image)
        assert converted is None or converted.mode == "RGB"


def test_a_transform_of_a_million_elements_is_not_made():
    # All of them are the same bytes of the file.
    matrix = struct.pack(">4s4xHH12f", b"matf", 3, 3, *np.eye(4, 3, dtype=int).ravel())
    count = 1_000_000
    table = struct.pack(">II", 16 + 8 * count, len(matrix)) * count
    elements = struct.pack(">4s4xHHI", b"mpet", 3, 3, count) + table + matrix
    white = {b"wtpt": profiles._xyz_tag(profiles.WHITE_D50)}
    profile = profiles._profile_of(b"RGB ", {**white, b"D2B0": elements})
    profile = profile[:8] + struct.pack(">I", 0x04300000) + profile[12:]
    start = time.perf_counter()
    assert read(flat("RGB", GREEN), icc_profile=profile) == GREEN
    assert time.perf_counter() - start < 5

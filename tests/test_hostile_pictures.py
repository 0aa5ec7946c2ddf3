"""Every file is either read as a picture or refused with a reason.

200 damaged pictures are read each time, always the same ones; a slow test reads 10,000
others.
"""

import io
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin, features
from tiffs import in_planes, layout, tiff

from jaxart import images, profiles


SIZE = 8  # of the crops, so that small pictures will do

OUTCOMES = {
    "kept",
    "unreadable",
    "unsupported",
    "not a picture",
    "too large",
    "too small",
}
REASON = re.compile(f"({'|'.join(OUTCOMES)})\\b.*")  # in one line

# Values that break parsers: ends of ranges, signs, huge sizes.
EDGES = [
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xd8",
]


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def valid_pictures():
    """Return valid files of every format and of many modes, 24 pixels wide."""
    image = Image.effect_mandelbrot((24, 18), (-2, -1.5, 1, 1.5), 50).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = [
        ("JPEG", "RGB", {"exif": exif}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "L", {"progressive": True}),
        ("PNG", "RGB", {}),
        ("PNG", "P", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "1", {}),
        ("GIF", "P", {}),
        ("BMP", "RGB", {}),
        ("PPM", "RGB", {}),
        ("TIFF", "RGB", {}),
        ("TIFF", "LAB", {}),
        ("TIFF", "F", {"compression": "tiff_lzw"}),
        ("TIFF", "CMYK", {"compression": "tiff_adobe_deflate"}),
    ]
    for kind, mode, feature in (
        ("WEBP", "RGBA", "webp"),
        ("JPEG2000", "RGB", "jpg_2000"),
        ("AVIF", "RGB", "avif"),
    ):
        if features.check(feature):
            kinds.append((kind, mode, {}))
    grey = image.convert("L")
    found = [
        encoded(
            (grey if mode in ("F", "LAB") else image).convert(mode), kind, **options
        )
        for kind, mode, options in kinds
        if mode != "LAB"
    ]
    deep = Image.fromarray(np.uint16(np.asarray(grey)) * 257)
    lab = Image.frombytes("LAB", image.size, image.tobytes())
    return [
        *found,
        encoded(deep, "PNG"),
        encoded(lab, "TIFF"),
        *with_profiles(image),
        *odd_tiffs(image),
    ]


def with_profiles(image):
    """Yield files with what says how their numbers are colours."""
    adobe = profiles.matrix_profile(
        profiles.ADOBE_GAMMA, profiles.ADOBE_RGB, profiles.WHITE_D65
    )
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG", "TIFF"):
        yield encoded(image, kind, icc_profile=adobe)
    yield encoded(image, "PNG", icc_profile=srgb)
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA001: 0xFFFF, 0xA005: {1: "R03"}})
    yield encoded(image, "JPEG", exif=exif)
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", "x" * 2_000_000, zip=True)
    texts.add(b"gAMA", (100_000).to_bytes(4))
    texts.add(b"cHRM", b"".join(n.to_bytes(4) for n in range(15_000, 79_000, 8_000)))
    yield encoded(image, "PNG", pnginfo=texts)


def odd_tiffs(image):
    """Yield TIFFs in planes, and with a preview beside their picture."""
    pixels = np.asarray(image)
    yield in_planes(pixels)
    yield in_planes(pixels, ">")
    height, width, _ = pixels.shape
    tags = layout(height, width, [8] * 3, 2) | {254: ("I", [1])}
    yield tiff(tags, pixels.tobytes())
    deep = np.asarray(image.convert("L"), np.uint16) * 257
    yield tiff(layout(height, width, [16], 0), deep.astype("<u2").tobytes())
    preview = image.resize((8, 6))
    yield encoded(image, "TIFF", save_all=True, append_images=[preview])


VALID = valid_pictures()


def damaged(content, rng):
    """Return a file with some bytes changed, deleted, doubled or cut off."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        # Mostly in headers, seldom in signatures.
        first = rng.choice([0, 4, 4, 16])
        last = max(first + 1, rng.choice([64, 300, len(content)]))
        at, length = int(rng.integers(first, last)), int(rng.choice([1, 1, 2, 4, 40]))
        match rng.choice(["change", "change", "edge", "cut", "copy", "grow", "end"]):
            case "change":
                content[at : at + length] = rng.bytes(length)
            case "edge":
                edge = EDGES[rng.integers(len(EDGES))]
                content[at : at + len(edge)] = edge
            case "cut":
                del content[at : at + length]
            case "copy":
                content[at:at] = content[at : at + length]
            case "grow":
                content[at:at] = rng.bytes(length)
            case "end":
                del content[max(at, len(content) // 2) :]
    return bytes(content)


def outcome(content):
    """Return "kept" or the kind of reason; anything else is an error or a "?"."""
    try:
        pixels = images.read_resized(io.BytesIO(content), SIZE).pixels
    except images.PictureError as error:
        reason = str(error)
        return reason.split(":")[0] if REASON.fullmatch(reason) else f"? {reason}"
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= SIZE
    assert pixels.shape[0] * pixels.shape[1] >= (2 * SIZE) ** 2
    return "kept"


@pytest.fixture(autouse=True)
def _low_limit(monkeypatch):
    # So that headers that claim a huge size need no large allocation.
    monkeypatch.setattr(images, "MAX_PIXELS", 300_000)


@pytest.mark.parametrize("content", VALID)
def test_valid_pictures_are_kept(content):
    assert outcome(content) == "kept"


def read_damaged(examples, *, first):
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(st.sampled_from(range(len(VALID))), st.integers(first, 2**63))
    def check(number, seed):
        rng = np.random.default_rng(seed)
        assert outcome(damaged(VALID[number], rng)) in OUTCOMES

    check()


def test_a_damaged_picture_is_kept_or_refused_with_a_reason():
    read_damaged(200, first=0)


@pytest.mark.slow
def test_ten_thousand_damaged_pictures_are_kept_or_refused_with_a_reason():
    read_damaged(10_000, first=1)


def test_the_damage_reaches_every_stage_of_reading():
    rng = np.random.default_rng(0)
    found = Counter(outcome(damaged(VALID[n % len(VALID)], rng)) for n in range(400))
    assert min(found[kind] for kind in ("kept", "unreadable", "not a picture")) > 40
    assert found["too large"] > 0


@pytest.mark.parametrize("content", VALID)
def test_a_picture_cut_off_anywhere_is_kept_or_refused_with_a_reason(content):
    found = {outcome(content[: len(content) * tenth // 10]) for tenth in range(10)}
    assert "not a picture" in found
    assert found <= OUTCOMES

"""Colour profiles: pictures of any colour space -> sRGB.

A picture's numbers are colours only together with its profile. Where a file carries an
ICC profile, LittleCMS converts by it. Where a camera has marked a JPEG as Adobe RGB
without a profile, or a PNG states primaries and a gamma, the profile that this stands
for is built here. A picture with none of these is taken for sRGB.

A broken profile, one of another colour space than the picture, and one that is no
picture's (a device link, a named palette) are ignored: the picture is as good as one
without.

Source: ICC.1:2022, sections 7 to 10; Adobe RGB (1998) Color Image Encoding; DCF 2.0,
section 4.9, for the mark "R03"; PNG, third edition, section 4.3, for the order in which
its statements count.
"""

import functools
import io
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import ExifTags, Image, ImageCms


MAX_PROFILE_BYTES = 16 << 20  # of a press profile: some 3 MB

# Modes of pictures whose numbers a profile of each space describes, after `_plain`.
MODES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
TAG_TABLE_END = 128 + 4 + 12 * 100  # bytes; LittleCMS takes a hundred tags
CLASSES = ("mntr", "scnr", "prtr", "spac")  # of profiles that describe pictures

# Levels of a probe: a transform that changes none by more than one level is the
# identity.
PROBE_LEVELS = (0, 32, 64, 128, 192, 255)

WHITE_D65 = (0.3127, 0.3290)
WHITE_D50 = np.array([0.9642, 1.0, 0.8249])  # of the space that profiles connect to
BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
ADOBE_RGB = ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
ADOBE_GAMMA = 563 / 256
UNCALIBRATED, NIKON_ADOBE_RGB = 0xFFFF, 2  # values of EXIF's ColorSpace

SRGB_GAMMA = 1 / 2.2  # as PNG states it
GAMMA_TOLERANCE = 0.05  # libpng's: smaller differences are ignored

Chromaticity = tuple[float, float]


def to_srgb(image: Image.Image) -> Image.Image | None:
    """Convert a loaded picture, without its transparency, to sRGB by its profile.

    Args:
        image: of mode RGB, CMYK, L, or F for grey from 0 to 255 that is finer than
            whole levels, with what its file says of colours in `info`.

    Returns:
        The picture in mode RGB; None where nothing says that it is not sRGB.
    """
    profile = image.info.get("icc_profile") or _implied_profile(image)
    if not isinstance(profile, bytes) or len(profile) > MAX_PROFILE_BYTES:
        return None
    is_grey = image.mode in ("L", "F")
    transform = _transform(profile, "L" if is_grey else image.mode)
    if transform is None:
        return None
    if is_grey:
        return _convert_grey(image, transform)
    return ImageCms.applyTransform(image, transform)


def matrix_profile(
    gamma: float, primaries: Sequence[Chromaticity], white: Chromaticity
) -> bytes:
    """Return the ICC profile of an RGB space with a power law from numbers to light.

    Raises:
        ValueError: these are no primaries: they lie on a line, or y is 0.
    """
    tags = {b"wtpt": _xyz_tag(WHITE_D50)}
    for letter, column in zip(b"rgb", _to_d50(primaries, white).T, strict=True):
        tags[bytes([letter]) + b"XYZ"] = _xyz_tag(column)
        curve = struct.pack(">4s4xIH", b"curv", 1, round(gamma * 256))
        tags[bytes([letter]) + b"TRC"] = curve
    return _profile_of(b"RGB ", tags)


def _convert_grey(
    image: Image.Image, transform: ImageCms.ImageCmsTransform
) -> Image.Image:
    """Convert grey between the 256 levels that LittleCMS converts."""
    levels = np.arange(256, dtype=np.uint8)
    ramp = ImageCms.applyTransform(Image.fromarray(levels[None]), transform)
    tables = np.asarray(ramp)[0].T
    if image.mode == "L":
        channels = [image.point(table.tolist()) for table in tables]
        return Image.merge("RGB", channels)
    grey = np.asarray(image)
    pixels = np.empty((*grey.shape, 3), np.uint8)
    for number, row in enumerate(grey):  # in little memory
        channels = [np.interp(row, levels, table) for table in tables]
        pixels[number] = np.rint(np.stack(channels, -1))
    return Image.fromarray(pixels)


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what converts pictures of a mode to sRGB; None if nothing has to be."""
    try:
        # Of floating-point transforms LittleCMS bounds neither length nor time; beside
        # them there must be one of another kind.
        head = profile[:TAG_TABLE_END].replace(b"D2B", b"d2b")
        source = ImageCms.ImageCmsProfile(io.BytesIO(head + profile[len(head) :]))
        header: Any = source.profile
        if MODES.get(header.xcolor_space) != mode or header.device_class not in CLASSES:
            return None
        srgb = ImageCms.createProfile("sRGB")
        # Of grey, LittleCMS's short cuts lose half of a dark level's light.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        transform = ImageCms.buildTransform(source, srgb, mode, "RGB", flags=flags)
    # Of a broken profile LittleCMS and Pillow say so in several ways.
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None
    return None if _is_identity(transform, mode) else transform


def _is_identity(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether colours stay as they are, but for rounding, as sRGB's do."""
    if mode == "CMYK":
        return False
    levels = np.array(PROBE_LEVELS, np.uint8)
    if mode == "L":
        probe = Image.fromarray(levels[None])
    else:
        cube = np.stack(np.meshgrid(levels, levels, levels), -1)
        probe = Image.fromarray(cube.reshape(1, -1, 3))
    after = np.asarray(ImageCms.applyTransform(probe, transform), np.int16)
    return bool(np.abs(after - np.asarray(probe.convert("RGB"), np.int16)).max() <= 1)


def _implied_profile(image: Image.Image) -> bytes | None:
    """Return the profile that a file without one stands for, if it says so."""
    if image.mode != "RGB" or "srgb" in image.info:
        return None
    if _is_adobe_rgb(image):
        return matrix_profile(ADOBE_GAMMA, ADOBE_RGB, WHITE_D65)
    gamma, chromaticities = image.info.get("gamma"), image.info.get("chromaticity")
    if not isinstance(gamma, float) or not 0.05 < gamma < 5:
        return None
    if chromaticities is None:
        if abs(gamma / SRGB_GAMMA - 1) <= GAMMA_TOLERANCE:
            return None
        chromaticities = (*WHITE_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    try:
        white, *primaries = zip(chromaticities[::2], chromaticities[1::2], strict=True)
        return matrix_profile(1 / gamma, primaries, white)
    except ValueError:
        return None


def _is_adobe_rgb(image: Image.Image) -> bool:
    """Return whether EXIF marks a picture as Adobe RGB; broken EXIF marks nothing."""
    try:
        exif = image.getexif()
        space = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.ColorSpace)
        index = exif.get_ifd(ExifTags.IFD.Interop).get(ExifTags.Interop.InteropIndex)
    except Exception:
        return False
    index = index.encode() if isinstance(index, str) else index
    marked = isinstance(index, bytes) and index.rstrip(b"\0 ") == b"R03"
    return space == NIKON_ADOBE_RGB or (marked and space in (None, UNCALIBRATED))


def _to_d50(
    primaries: Sequence[Chromaticity], white: Chromaticity
) -> Float[np.ndarray, "3 3"]:
    """Return the XYZ of full red, green and blue, adapted to the white D50."""
    try:
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
        xyz = np.array([white[0] / white[1], 1, (1 - sum(white)) / white[1]])
        amounts = np.linalg.solve(columns, xyz)
    except (ZeroDivisionError, np.linalg.LinAlgError):
        raise ValueError("primaries must span colours; they do not") from None
    cones = (BRADFORD @ WHITE_D50) / (BRADFORD @ xyz)
    adapt = np.linalg.solve(BRADFORD, cones[:, None] * BRADFORD)
    matrix = adapt @ (columns * amounts)
    if not np.all(np.abs(matrix) < 100):
        raise ValueError("primaries must span colours; they hardly do")
    return matrix


def _xyz_tag(xyz: Float[np.ndarray, "3"]) -> bytes:
    return struct.pack(">4s4x3i", b"XYZ ", *(round(value * 65_536) for value in xyz))


def _profile_of(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Return an ICC profile of version 2 for a display, with these tags."""
    table, body, start = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(
        ">I4xI4s4s4s12x4s28x3i48x",
        start + len(body),
        0x02400000,
        b"mntr",
        space,
        b"XYZ ",
        b"acsp",
        *(round(value * 65_536) for value in WHITE_D50),
    )
    return head + struct.pack(">I", len(tags)) + table + body

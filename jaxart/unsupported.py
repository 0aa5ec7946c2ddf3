"""Name the format of files that cannot be read, and detect TIFFs that Pillow misreads.

A file that no decoder takes still has a kind, known by its first bytes; its user is
told which, and what to do. Of a TIFF that a decoder takes, the directory is looked at:
some layouts come out as garbage without an error.

Source: the formats' own specifications; Adobe, "TIFF", revision 6.0 (1992), and
"Digital Negative (DNG) Specification" 1.7, for the previews of raw photographs.
"""

import io
from collections.abc import Sequence
from typing import Any

from PIL import TiffImagePlugin


HEAD_BYTES = 512  # of a file that are looked at for a signature

CONVERT = "convert it to PNG, TIFF or JPEG"
EXPORT = "export it as PNG or TIFF"
RAW = "a raw photograph; only its preview can be read: develop it to TIFF or JPEG"
FILM = "a film; save one of its frames as PNG"
PREVIEW = "a TIFF that begins with a preview of its picture; save the picture by itself"

# Brands of the container that HEIC, AVIF, raw photographs and films share.
# The format that Pillow, or an extra, reads them by, or what they are.
BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "HEIF"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"mif1", b"msf1"), "HEIF"),
    b"crx ": RAW,
    **dict.fromkeys((b"isom", b"mp41", b"mp42", b"qt  "), FILM),
}
NOT_INSTALLED = {
    "HEIF": "a HEIC photograph; install jaxart[heif] to read it, or convert it to JPEG",
    "AVIF": f"an AVIF picture, which this build of Pillow cannot read; {CONVERT}",
}
# First bytes -> what a file is. The first that fits counts.
SIGNATURES = {
    b"\xff\x0a": f"a JPEG XL picture; {CONVERT}",
    b"\0\0\0\x0cJXL \r\n\x87\n": f"a JPEG XL picture; {CONVERT}",
    b"8BPS": "a Photoshop document; save a copy of it as PNG or TIFF",
    b"gimp xcf": f"a GIMP document; {EXPORT}",
    b"v/1\x01": f"an OpenEXR picture; {CONVERT}",
    b"#?RADIANCE": f"a Radiance HDR picture; {CONVERT}",
    b"#?RGBE": f"a Radiance HDR picture; {CONVERT}",
    b"SIMPLE  =": f"a FITS picture; {CONVERT}",
    b"\0\0\x01\0": f"an icon; {CONVERT}",
    b"DDS ": f"a DirectDraw texture; {CONVERT}",
    b"II\xbc\x01": f"a JPEG XR picture; {CONVERT}",
    b"II+\0": f"a BigTIFF; {CONVERT}",
    b"MM\0+": f"a BigTIFF; {CONVERT}",
    **dict.fromkeys((b"FUJIFILMCCD-RAW", b"FOVb", b"\0MRM", b"IIU\0"), RAW),
    **dict.fromkeys((b"IIRO", b"IIRS", b"MMOR"), RAW),
    b"%PDF": f"a PDF; {EXPORT}",
    b"%!PS": f"a PostScript file; {EXPORT}",
    b"\xc5\xd0\xd3\xc6": f"a PostScript file; {EXPORT}",
    b"<svg": f"an SVG drawing; {EXPORT}",
}
TIFF_SIGNATURES = (b"II*\0", b"MM\0*")

# Tags of a TIFF's directory that Pillow has no name for.
NEW_SUBFILE_TYPE, SUB_IFDS, YCBCR_SUBSAMPLING, DNG_VERSION = 254, 330, 530, 50_706
REDUCED = 1  # bit of NewSubfileType: a smaller version of another picture in the file
CFA, LINEAR_RAW = 32_803, 34_892  # photometric interpretations of sensors' values
WHITE_IS_ZERO, YCBCR = 0, 6
FLOAT = 3  # a sample format


def why_unreadable(file: io.BufferedReader | io.BytesIO, formats: Sequence[str]) -> str:
    """Return why no decoder takes a file, and what to do.

    >>> why_unreadable(io.BytesIO(b"8BPS"), ["PNG"])
    'unsupported: a Photoshop document; save a copy of it as PNG or TIFF'

    Args:
        file: open for reading, wherever it stands.
        formats: those that there are decoders for, by Pillow's names.

    Returns:
        What begins with "unsupported" where the file's kind is known, with "unreadable"
        where it is a damaged file of a kind that can be read, else "not a picture".
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    for signature, text in SIGNATURES.items():
        if head.startswith(signature):
            return f"unsupported: {text}"
    if head.startswith(TIFF_SIGNATURES):
        return _why_tiff_is_unreadable(file, head)
    if head[4:8] == b"ftyp":
        brands = (head[8:12], *(head[k : k + 4] for k in range(16, 48, 4)))
        for kind in (BRANDS[brand] for brand in brands if brand in BRANDS):
            if kind in formats:
                return f"unreadable: a damaged {kind} file"
            return f"unsupported: {NOT_INSTALLED.get(kind, kind)}"
    if b"<svg" in head:
        return f"unsupported: {SIGNATURES[b'<svg']}"
    return "not a picture"


def _why_tiff_is_unreadable(file: io.BufferedReader | io.BytesIO, head: bytes) -> str:
    """Return why no decoder takes a TIFF, by its first directory."""
    if head[8:10] == b"CR":
        return f"unsupported: {RAW}"
    tags = TiffImagePlugin.ImageFileDirectory_v2(head[:8])
    try:
        file.seek(tags.next)
        tags.load(file)
        bits = _tuple(tags[TiffImagePlugin.BITSPERSAMPLE])
        samples = int(tags.get(TiffImagePlugin.SAMPLESPERPIXEL, len(bits)))
        sample_formats = set(_tuple(tags.get(TiffImagePlugin.SAMPLEFORMAT, 1)))
        photometric = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION)
        most_bits = int(max(bits))
    # A damaged directory raises nearly anything.
    except Exception:
        return "unreadable: a damaged TIFF"
    if DNG_VERSION in tags or photometric in (CFA, LINEAR_RAW):
        return f"unsupported: {RAW}"
    if samples < 5 and bits == (8,) * samples and sample_formats == {1}:
        return "unreadable: a damaged TIFF"
    numbers = "bits in floating point" if FLOAT in sample_formats else "bits"
    return (
        f"unsupported: a TIFF with {samples} channels of {most_bits} {numbers}; save "
        "it with 8 or 16 bits a channel"
    )


def why_misread(image: Any) -> str | None:
    """Return why an opened picture must not be decoded; None if it may."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    tags = image.tag_v2
    if _is_raw(image):
        return RAW
    if _is_reduced(tags) and image.is_animated:
        return PREVIEW
    bits, planes = _tuple(tags.get(TiffImagePlugin.BITSPERSAMPLE, 1)), _planes(tags)
    if planes > 1 and set(bits) != {8}:
        return (
            f"a TIFF with {max(bits)} bits a channel in separate planes; save it with "
            "interleaved channels"
        )
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == YCBCR:
        uncompressed = image.info.get("compression") == "raw"
        if uncompressed and _tuple(tags.get(YCBCR_SUBSAMPLING, (2, 2))) != (1, 1):
            return f"a TIFF of YCbCr with fewer colours than pixels; {CONVERT}"
    return None


def white_level(image: Any) -> int | None:
    """Return what white is in grey of other than 8 or 16 bits, if the file says so."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    bits = _tuple(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, 1))
    return 2 ** bits[0] - 1 if bits[0] in range(9, 16) else None


def is_white_zero(image: Any) -> bool:
    """Return whether zero is white and Pillow leaves it so, as in deep grey TIFFs."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return False
    photometric = image.tag_v2.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION, 0)
    return photometric == WHITE_IS_ZERO and image.mode not in ("1", "L")


def _is_raw(image: TiffImagePlugin.TiffImageFile) -> bool:
    tags = image.tag_v2
    sensor = tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) in (CFA, LINEAR_RAW)
    preview = _is_reduced(tags) and SUB_IFDS in tags
    return DNG_VERSION in tags or sensor or preview or _head(image)[8:10] == b"CR"


def _head(image: TiffImagePlugin.TiffImageFile) -> bytes:
    """Return the first bytes of an opened file."""
    file: Any = image.fp
    position = file.tell()
    file.seek(0)
    head = file.read(16)
    file.seek(position)
    return head


def _is_reduced(tags: Any) -> bool:
    subfile = tags.get(NEW_SUBFILE_TYPE, 0)
    return isinstance(subfile, int) and bool(subfile & REDUCED)


def _planes(tags: Any) -> int:
    """Return in how many planes the samples of a TIFF are."""
    separate = tags.get(TiffImagePlugin.PLANAR_CONFIGURATION, 1) == 2
    samples = tags.get(TiffImagePlugin.SAMPLESPERPIXEL, 1)
    return samples if separate and isinstance(samples, int) else 1


def _tuple(value: Any) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,)

"""PNG files without what is not their pixels: texts and profiles of any size.

Pillow refuses a PNG whose texts or profile are large once they are unpacked, as a guard
against files made to fill the memory. The pixels are sound all the same: here such
chunks are left out before Pillow sees them.

Source: PNG, third edition, sections 5.2 and 11.3.
"""

import io
import struct
import zlib
from collections.abc import Iterator

from PIL import PngImagePlugin

from jaxart import profiles


SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
# As long as all that can be unpacked is less than Pillow takes, nothing is left out.
HARMLESS_BYTES = 1000

Readable = io.BufferedReader | io.BytesIO

# Texts are left out, so this is a limit on profiles.
PngImagePlugin.MAX_TEXT_CHUNK = profiles.MAX_PROFILE_BYTES


def without_large_texts(file: Readable) -> Readable:
    """Return a PNG without chunks that are large; any other file as it is."""
    is_png = file.read(len(SIGNATURE)) == SIGNATURE
    if is_png and any(
        length > HARMLESS_BYTES
        for name, length, _ in _chunks(file)
        if name in TEXTS or name == b"iCCP"
    ):
        return _copy(file)
    file.seek(0)
    return file


def _chunks(file: Readable) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, length and place of each chunk, as far as the file is sound."""
    end = file.seek(0, io.SEEK_END)
    place = len(SIGNATURE)
    while place + 8 <= end:
        file.seek(place)
        length, name = struct.unpack(">I4s", file.read(8))
        yield name, length, place
        place += length + 12


def _copy(file: Readable) -> Readable:
    """Return a PNG in memory without its texts and without an oversized profile."""
    copy = io.BytesIO(SIGNATURE)
    copy.seek(0, io.SEEK_END)
    for name, length, place in _chunks(file):
        if name in TEXTS:
            continue
        file.seek(place)
        chunk = file.read(length + 12)
        if name != b"iCCP" or _is_bounded(chunk):
            copy.write(chunk)
    copy.seek(0)
    return copy


def _is_bounded(chunk: bytes) -> bool:
    """Return whether a profile, once unpacked, is no larger than it may be."""
    _, _, packed = chunk[8:-4].partition(b"\0")
    unpacker = zlib.decompressobj()
    try:
        unpacker.decompress(packed[1:], profiles.MAX_PROFILE_BYTES)
    except zlib.error:
        return True  # Pillow passes it over
    return not unpacker.unconsumed_tail

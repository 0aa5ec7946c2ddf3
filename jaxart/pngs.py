"""PNG files without what is not their pixels: texts and profiles of any size.

Pillow refuses a PNG whose texts or profile are large once they are unpacked, as a guard
against files made to fill the memory. The pixels are sound all the same: here such
chunks are left out before Pillow sees them. Smaller texts stay: one may say which side
is up.

Source: PNG, third edition, sections 5.2 and 11.3.
"""

import bisect
import io
import struct
import zlib
from collections.abc import Iterator

from PIL import PngImagePlugin

from jaxart import profiles


SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
MAX_TEXT_BYTES = 1 << 20  # of all texts, unpacked; a whole page of XMP has some 10 kB
MAX_CHUNKS = 1 << 20  # of a file that is looked through; with 8 kB each it has 8 GB

Readable = io.BufferedReader | io.BytesIO

# Texts of this size are left out, so this is a limit on profiles.
PngImagePlugin.MAX_TEXT_CHUNK = profiles.MAX_PROFILE_BYTES


def without_large_texts(file: Readable) -> Readable:
    """Return a PNG without chunks that are large; any other file as it is."""
    is_png = file.read(len(SIGNATURE)) == SIGNATURE
    pieces, is_whole = _pieces(file) if is_png else ([], True)
    file.seek(0)
    if is_whole:
        return file
    return io.BufferedReader(_Pieces(file, pieces))


def _pieces(file: Readable) -> tuple[list[tuple[int, int]], bool]:
    """Return offset and length of what is not left out, and whether that is all."""
    pieces, is_whole, begin = list[tuple[int, int]](), True, 0
    text_bytes, profile_bytes = MAX_TEXT_BYTES, profiles.MAX_PROFILE_BYTES  # at most
    for name, length, offset in _chunks(file):
        is_profile = name == b"iCCP"
        if not is_profile and name not in TEXTS:
            continue
        limit = profile_bytes if is_profile else text_bytes
        size = _unpacked(file, name, length, limit)
        if size > limit:
            pieces.append((begin, offset - begin))
            begin, is_whole = offset + length + 12, False
            size = limit // 2  # so that a million of them are soon passed over
        if is_profile:
            profile_bytes = 0  # there is one
        else:
            text_bytes -= size
    pieces.append((begin, max(0, file.seek(0, io.SEEK_END) - begin)))
    return pieces, is_whole


def _chunks(file: Readable) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, length and offset of each chunk, as far as the file is sound.

    The file stands at the chunk's content meanwhile.
    """
    end = file.seek(0, io.SEEK_END)
    offset = len(SIGNATURE)
    for _ in range(MAX_CHUNKS):
        if offset + 8 > end:
            return
        file.seek(offset)
        length, name = struct.unpack(">I4s", file.read(8))
        yield name, length, offset
        offset += length + 12


def _unpacked(file: Readable, name: bytes, length: int, limit: int) -> int:
    """Return how many bytes a chunk's content has unpacked, or more than `limit`."""
    if length > limit or name == b"tEXt":
        return length
    _, _, rest = file.read(length).partition(b"\0")  # follows a keyword
    if name == b"iTXt":
        if rest[:1] != b"\1":
            return length
        rest = rest[1:].partition(b"\0")[2].partition(b"\0")[2]
    rest = rest[1:]
    unpacker = zlib.decompressobj()
    try:
        size = len(unpacker.decompress(rest, limit + 1))
    except zlib.error:
        return length  # Pillow passes it over
    return length + size


class _Pieces(io.RawIOBase):
    """Pieces of a file, one after the other.

    Args:
        file: seekable.
        pieces: offset and length of each.
    """

    def __init__(self, file: Readable, pieces: list[tuple[int, int]]):
        self._file = file
        self._pieces = pieces
        self._starts = [0]
        for _, length in pieces:
            self._starts.append(self._starts[-1] + length)
        self._position = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, and return it."""
        origins = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._position,
            io.SEEK_END: self._starts[-1],
        }
        self._position = max(0, origins[whence] + offset)
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # pyright: ignore
        """Read what fits into a buffer and lies in one piece; return its length."""
        if self._position >= self._starts[-1]:
            return 0
        number = bisect.bisect_right(self._starts, self._position) - 1
        inside = self._position - self._starts[number]
        offset, length = self._pieces[number]
        self._file.seek(offset + inside)
        content = self._file.read(min(len(buffer), length - inside))
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

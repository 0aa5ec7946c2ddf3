"""Pictures that are the same to the eye: fingerprints, and finding them again.

A fingerprint is a perceptual hash of 256 bits and the mean colour. Copies of a picture
in other sizes and qualities differ by a few bits; `NEAR` are the most that count as the
same. The colour keeps plain pictures apart, whose hashes are all alike.

The first of several copies is kept, and the others are copies of *it*: two pictures
that only resemble a third one, which is not kept, both stay. So what is kept depends on
the order of the pictures and on nothing else.

To find what is near, a hash is cut into 16 bands of 16 bits. Of two hashes that differ
in at most 31 bits, one band differs in at most one: it is among the 17 bands that are
looked up. Of n pictures each is compared with about n / 240 others, not with all n.

Source: Norouzi, Punjani, Fleet, "Fast search in Hamming space with multi-index
hashing", CVPR 2012; the hash is ImageHash's `phash`.
Deviation: mirrored, turned and cropped copies count as pictures of their own.
"""

import numpy as np
from imagehash import phash
from jaxtyping import Int, UInt8, UInt64
from PIL import Image


SIDE = 16  # of the square of frequencies that the hash is made from
NEAR = 31  # bits that copies may differ in: at most 2 * BANDS - 1, for `Gallery`
COLOURS = 60  # levels that the mean of a channel may differ in
BANDS = 16
FINGERPRINT = SIDE * SIDE // 8 + 3  # bytes

# Pictures that are compared one by one before they are sorted into the bands.
RECENT = 1024

HASH = SIDE * SIDE // 8
VALUES = 2**16  # of a band

# A band as it is, and with each of its bits turned over.
PROBES = np.array([0, *(1 << np.arange(16))], np.uint16)


def fingerprint(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return the `FINGERPRINT` bytes by which a picture is found again.

    Args:
        pixels: the picture, at about the size at which others are.
    """
    bits = phash(Image.fromarray(pixels), SIDE).hash
    colour = pixels.mean((0, 1)).round().astype(np.uint8)
    return np.packbits(bits).tobytes() + colour.tobytes()


class Gallery:
    """The pictures seen so far, of which none is a copy of another."""

    def __init__(self):
        self._count = 0
        self._sorted = 0  # how many are in the bands
        self._hashes = np.empty((RECENT, HASH // 8), np.uint64)
        self._colours = np.empty((RECENT, 3), np.int16)
        self._order = np.empty((BANDS, 0), np.int32)
        self._starts = np.zeros((BANDS, VALUES + 1), np.int32)

    def place(self, fingerprint: bytes) -> tuple[int, bool]:
        """Return the number of a picture, and whether it was there before.

        It is the number of the first picture that this one is a copy of; if there is
        none it is hung up, under the next number from 0.

        Args:
            fingerprint: of the picture.
        """
        hashed = np.frombuffer(fingerprint[:HASH], np.uint64)
        colour = np.frombuffer(fingerprint[HASH:], np.uint8)
        among = self._candidates(hashed)
        bits = np.bitwise_count(self._hashes[among] ^ hashed).sum(1)
        among = among[bits <= NEAR]
        away = np.abs(self._colours[among] - colour).max(1)
        same = among[away <= COLOURS]
        if len(same):
            return int(same.min()), True
        self._hang(hashed, colour)
        return self._count - 1, False

    def _candidates(self, hashed: UInt64[np.ndarray, "4"]) -> Int[np.ndarray, " n"]:
        """Return the numbers of all that may be near, and of others."""
        rows = np.arange(BANDS)[:, None]
        values = hashed.view(np.uint16)[:, None] ^ PROBES
        starts = self._starts[rows, values].ravel()
        lengths = self._starts[rows, values.astype(int) + 1].ravel() - starts
        # The runs of the bands' orders, put end to end.
        ends = lengths.cumsum()
        places = np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
        bands = np.repeat(np.repeat(np.arange(BANDS), len(PROBES)), lengths)
        recent = np.arange(self._sorted, self._count)
        return np.concatenate([self._order[bands, places], recent])

    def _hang(
        self, hashed: UInt64[np.ndarray, "4"], colour: UInt8[np.ndarray, "3"]
    ) -> None:
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, self._hashes])
            self._colours = np.concatenate([self._colours, self._colours])
        self._hashes[self._count] = hashed
        self._colours[self._count] = colour
        self._count += 1
        if self._count - self._sorted == RECENT:
            self._sort()

    def _sort(self) -> None:
        """Sort all pictures by each of the bands."""
        bands = self._hashes[: self._count].view(np.uint16).T
        self._order = np.stack([band.argsort(kind="stable") for band in bands])
        self._order = self._order.astype(np.int32)
        for band, starts in zip(bands, self._starts, strict=True):
            starts[1:] = np.bincount(band, minlength=VALUES).cumsum()
        self._sorted = self._count

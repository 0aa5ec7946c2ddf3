"""Near-duplicate pictures: perceptual hashes, and an index to look them up.

A fingerprint is a perceptual hash of 256 bits and a thumbnail of 4 x 4 colours. Copies
of a picture in other sizes and qualities differ in a few bits, `MAX_BITS` at most, and
somewhat in their mean colour.

The hash says which of the lowest frequencies are above their median. A monochrome, a
gradient or a few stripes have hardly any of them, and their hashes are alike, or noise.
Such plain pictures are copies of each other where the thumbnails are the same.

Of several copies the first one is kept, and the others are duplicates of *it*: two
pictures that only resemble a third one, itself a duplicate, both stay. So what is kept
depends on the order of the pictures and on nothing else.

The index cuts a hash into 16 bands of 16 bits. Of two hashes that differ in at most 31
bits, some band differs in at most one, so it is among the 17 values that are looked up.
Each of n pictures is compared with about n / 240 others, not with all n. Plain pictures
are looked up by their mean colour instead.

Source: Norouzi, Punjani, Fleet, "Fast search in Hamming space with multi-index
hashing", CVPR 2012; the hash is ImageHash's `phash`.
Deviation: mirrored, turned and cropped copies count as pictures of their own.
"""

import itertools

import numpy as np
import scipy.fft
from imagehash import phash
from jaxtyping import Int, UInt8, UInt64
from PIL import Image


SIDE = 16  # of the square of frequencies that the hash is made from
MAX_BITS = 31  # that copies may differ in; at most 2 * BANDS - 1, for `HashIndex`
MAX_COLOUR = 60  # levels that the mean of a channel may differ in
BANDS = 16
THUMBNAIL = 4  # sides of the thumbnail of colours

# A picture is plain if fewer frequencies of the square than this have some amplitude,
# in levels of DCT-II divided by the number of pixels. Of paintings 200 and more have
# it, of white noise 140; of gradients and stripes 25, of a painted canvas 60.
MIN_FREQUENCIES = 96
MIN_AMPLITUDE = 0.1
MAX_PLAIN_COLOUR = 6  # levels that the thumbnails of plain pictures may differ in

# Hashes that are compared one by one before they are sorted into the bands.
UNBANDED = 1024

HASH_BYTES = SIDE * SIDE // 8
FINGERPRINT_BYTES = HASH_BYTES + 3 * THUMBNAIL**2
PLAIN = bytes(HASH_BYTES)  # instead of a hash; that of another picture has bits
BAND_VALUES = 2**16  # of a band

# Flips no bit of a band, or one of them.
PROBES = np.array([0, *(1 << np.arange(16))], np.uint16)


def fingerprint(pixels: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """Return the perceptual hash and the thumbnail, `FINGERPRINT_BYTES` in all.

    Args:
        pixels: the picture, at about the size at which others are.
    """
    image = Image.fromarray(pixels)
    colours = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).tobytes()
    if _is_plain(image):
        return PLAIN + colours
    return np.packbits(phash(image, SIDE).hash).tobytes() + colours


def _is_plain(image: Image.Image) -> bool:
    """Return whether a picture has too few frequencies for a hash of them."""
    side = 4 * SIDE  # as `phash` has it
    grey = image.convert("L").resize((side, side), Image.Resampling.LANCZOS)
    frequencies = scipy.fft.dctn(np.asarray(grey, np.float32), norm="forward")
    loud = np.abs(np.asarray(frequencies)[:SIDE, :SIDE]) >= MIN_AMPLITUDE
    return int(loud.sum()) < MIN_FREQUENCIES


class HashIndex:
    """Fingerprints of pictures of which none is a copy of another."""

    def __init__(self):
        self._count = 0
        self._banded = 0  # how many are sorted into the bands
        self._hashes = np.empty((UNBANDED, HASH_BYTES // 8), np.uint64)
        self._colours = np.empty((UNBANDED, THUMBNAIL**2, 3), np.uint8)
        self._plain: dict[tuple[int, ...], list[int]] = {}  # numbers by mean colour
        self._order = np.empty((BANDS, 0), np.int32)
        self._starts = np.zeros((BANDS, BAND_VALUES + 1), np.int32)

    def find_or_add(self, fingerprint: bytes) -> tuple[int, bool]:
        """Return the number of the first picture that this one is a copy of, and True.

        If there is none, the picture is added and gets the next number from 0; that
        number and False are returned.

        Args:
            fingerprint: of the picture.
        """
        hashed = np.frombuffer(fingerprint[:HASH_BYTES], np.uint64)
        colours = np.frombuffer(fingerprint[HASH_BYTES:], np.uint8).reshape(-1, 3)
        if hashed.any():
            candidates = self._candidates(hashed)
            bits = np.bitwise_count(self._hashes[candidates] ^ hashed).sum(1)
            candidates = candidates[bits <= MAX_BITS]
            means = self._colours[candidates].mean(1)
            same = candidates[np.abs(means - colours.mean(0)).max(1) <= MAX_COLOUR]
        else:
            candidates = self._plain_candidates(colours)
            differences = np.abs(self._colours[candidates] - colours.astype(int))
            same = candidates[differences.max((1, 2)) <= MAX_PLAIN_COLOUR]
        if len(same):
            return int(same.min()), True
        if not hashed.any():
            self._plain.setdefault(_cell(colours), []).append(self._count)
        self._add(hashed, colours)
        return self._count - 1, False

    def _plain_candidates(
        self, colours: UInt8[np.ndarray, "n 3"]
    ) -> Int[np.ndarray, " m"]:
        """Return the numbers of plain pictures with about the same mean colour."""
        cells = itertools.product(*((n - 1, n, n + 1) for n in _cell(colours)))
        return np.array([n for cell in cells for n in self._plain.get(cell, ())], int)

    def _candidates(self, hashed: UInt64[np.ndarray, "4"]) -> Int[np.ndarray, " n"]:
        """Return the numbers of all hashes within `MAX_BITS`, and of some others."""
        rows = np.arange(BANDS)[:, None]
        values = hashed.view(np.uint16)[:, None] ^ PROBES
        starts = self._starts[rows, values].ravel()
        lengths = self._starts[rows, values.astype(int) + 1].ravel() - starts
        # Concatenates the runs of equal values in the bands' sorted orders.
        ends = lengths.cumsum()
        positions = np.arange(ends[-1]) + np.repeat(starts - ends + lengths, lengths)
        bands = np.repeat(np.repeat(np.arange(BANDS), len(PROBES)), lengths)
        recent = np.arange(self._banded, self._count)
        return np.concatenate([self._order[bands, positions], recent])

    def _add(
        self, hashed: UInt64[np.ndarray, "4"], colours: UInt8[np.ndarray, "n 3"]
    ) -> None:
        if self._count == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, self._hashes])
            self._colours = np.concatenate([self._colours, self._colours])
        self._hashes[self._count] = hashed
        self._colours[self._count] = colours
        self._count += 1
        if self._count - self._banded == UNBANDED:
            self._index_bands()

    def _index_bands(self) -> None:
        """Sort all hashes by each of the bands."""
        bands = self._hashes[: self._count].view(np.uint16).T
        self._order = np.stack([band.argsort(kind="stable") for band in bands])
        self._order = self._order.astype(np.int32)
        for band, starts in zip(bands, self._starts, strict=True):
            starts[1:] = np.bincount(band, minlength=BAND_VALUES).cumsum()
        self._banded = self._count


def _cell(colours: UInt8[np.ndarray, "n 3"]) -> tuple[int, ...]:
    """Return a cell of colours; what differs little is in it or in one beside it."""
    return tuple((colours.mean(0) // MAX_PLAIN_COLOUR).astype(int).tolist())

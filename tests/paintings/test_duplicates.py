"""Fingerprints of pictures, and the index of duplicates."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from jaxart import images
from jaxart.paintings import duplicates
from jaxart.paintings.duplicates import HASH_BYTES, MAX_BITS, HashIndex


@pytest.fixture(scope="module")
def pictures(synthetic_pictures):
    return [np.asarray(picture.pixels) for picture in synthetic_pictures]


COLOURS = bytes(duplicates.FINGERPRINT_BYTES - HASH_BYTES)


def hamming_distance(first, second):
    """Count the bits in which two fingerprints differ."""
    one, two = (
        int.from_bytes(fingerprint[:HASH_BYTES]) for fingerprint in (first, second)
    )
    return (one ^ two).bit_count()


def jpeg(picture):
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40)
    return Image.open(file).convert("RGB")


COPIES = {
    "the same": lambda picture: picture,
    "poor JPEG": jpeg,
    "larger": lambda picture: picture.resize((300, 300)),
    "smaller": lambda picture: picture.resize((100, 100)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "duller": lambda picture: ImageEnhance.Color(picture).enhance(0.7),
}


@pytest.mark.parametrize("change", COPIES.values(), ids=COPIES)
def test_copies_of_a_picture_are_duplicates(pictures, change):
    for pixels in pictures[:16]:
        copy = np.asarray(change(Image.fromarray(pixels)))
        index = HashIndex()
        assert index.find_or_add(duplicates.fingerprint(pixels)) == (0, False)
        assert index.find_or_add(duplicates.fingerprint(copy)) == (0, True)


def test_different_pictures_are_not_duplicates(pictures):
    fingerprints = [duplicates.fingerprint(pixels) for pixels in pictures]
    index = HashIndex()
    assert [index.find_or_add(fingerprint) for fingerprint in fingerprints] == [
        (number, False) for number in range(len(fingerprints))
    ]
    closest = min(
        hamming_distance(a, b)
        for n, a in enumerate(fingerprints)
        for b in fingerprints[:n]
    )
    assert closest > MAX_BITS


def test_plain_pictures_of_different_colours_are_not_the_same():
    index = HashIndex()
    colours = [(0, 0, 0), (255, 255, 255), (250, 250, 250), (0, 30, 150)]
    plain = [np.full((64, 64, 3), colour, np.uint8) for colour in colours]
    results = [index.find_or_add(duplicates.fingerprint(pixels)) for pixels in plain]
    assert results == [(0, False), (1, False), (1, True), (2, False)]


MONOCHROMES = [
    (0, 0, 0),
    (255, 255, 255),
    (0, 47, 167),
    (20, 30, 120),
    (200, 30, 40),
    (190, 140, 60),
    (128, 128, 128),
]


def plain_pictures():
    """Return monochromes, and gradients in three directions, of seven colours."""
    ramp = np.linspace(0.2, 1, 128)
    across, down = np.broadcast_arrays(ramp[None, :, None], ramp[:, None, None])
    shades = [np.ones((128, 128, 1)), across, down, (across + down) / 2]
    colours = [shade * colour for colour in MONOCHROMES[1:] for shade in shades]
    return [np.rint(pixels).astype(np.uint8) for pixels in colours]


def test_plain_pictures_are_copies_only_where_their_colours_are():
    index, plain = HashIndex(), plain_pictures()
    results = [index.find_or_add(duplicates.fingerprint(pixels)) for pixels in plain]
    assert results == [(number, False) for number in range(len(plain))]
    for number, pixels in enumerate(plain):
        for change in ("poor JPEG", "larger", "smaller"):
            copy = np.asarray(COPIES[change](Image.fromarray(pixels)))
            assert index.find_or_add(duplicates.fingerprint(copy)) == (number, True)


def brute_force(fingerprints):
    """Find or add fingerprints by comparing each with every one that was added."""
    kept, results = [], []
    for fingerprint in fingerprints:
        near = (
            n
            for n, other in enumerate(kept)
            if hamming_distance(fingerprint, other) <= MAX_BITS
        )
        first = next(near, None)
        results.append((len(kept), False) if first is None else (first, True))
        if first is None:
            kept.append(fingerprint)
    return results


def flipped(fingerprint, bits):
    value = int.from_bytes(fingerprint[:HASH_BYTES])
    for bit in bits:
        value ^= 1 << int(bit)
    return value.to_bytes(HASH_BYTES) + fingerprint[HASH_BYTES:]


def random_fingerprints(count, seed):
    """Make fingerprints of which half are others with up to 40 bits flipped."""
    rng = np.random.default_rng(seed)
    fingerprints = [rng.bytes(HASH_BYTES) + COLOURS for _ in range(count)]
    for number in range(1, count, 2):
        bits = rng.permutation(8 * HASH_BYTES)[: rng.integers(20, 41)]
        fingerprints[number] = flipped(fingerprints[rng.integers(number)], bits)
    return fingerprints


@pytest.mark.parametrize("seed", range(3))
def test_the_index_agrees_with_brute_force(monkeypatch, seed):
    # Most of them in the bands, the rest one by one.
    monkeypatch.setattr(duplicates, "UNBANDED", 50)
    fingerprints = random_fingerprints(480, seed)
    index = HashIndex()
    results = [index.find_or_add(fingerprint) for fingerprint in fingerprints]
    assert results == brute_force(fingerprints)
    assert 80 < sum(known for _, known in results) < 240


def test_what_only_resembles_a_duplicate_is_added():
    first = bytes([1] * HASH_BYTES) + COLOURS
    copy, beyond = flipped(first, range(31)), flipped(first, range(40))
    index = HashIndex()
    results = [
        index.find_or_add(fingerprint) for fingerprint in (first, copy, beyond, copy)
    ]
    assert results == [(0, False), (0, True), (1, False), (0, True)]


def test_the_bands_find_hashes_at_the_largest_distance():
    rng = np.random.default_rng(0)
    first = rng.bytes(HASH_BYTES)
    index = HashIndex()
    index.find_or_add(first + COLOURS)
    index._index_bands()
    for band in range(duplicates.BANDS):
        for bit in range(16):
            # Two bits in every other band, and one in this: 31.
            flips = np.full(duplicates.BANDS, 0b11, np.uint16)
            flips[band] = 1 << bit
            near = (np.frombuffer(first, np.uint16) ^ flips).tobytes()
            assert hamming_distance(first, near) == MAX_BITS
            assert index.find_or_add(near + COLOURS) == (0, True)


def test_a_fingerprint_is_small_and_always_the_same(pictures):
    fingerprints = {duplicates.fingerprint(pictures[0]) for _ in range(3)}
    assert {len(fingerprint) for fingerprint in fingerprints} == {
        duplicates.FINGERPRINT_BYTES
    }
    # At another size of crops it is nearly the same.
    small = images.resize_for_crops(pictures[0], 32)
    assert (
        hamming_distance(fingerprints.pop(), duplicates.fingerprint(small)) <= MAX_BITS
    )

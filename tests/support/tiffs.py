"""A writer of small TIFFs of layouts that Pillow does not write."""

import struct

import numpy as np


TYPES = {"B": 1, "H": 3, "I": 4}


def tiff(tags, *strips, order="<"):
    """Return a TIFF.

    Args:
        tags: number of a tag -> (type of its values in `struct`'s letters, values);
            those that say where the strips are, are added.
        strips: bytes of each.
        order: of bytes, in `struct`'s sign.
    """
    starts = np.cumsum([8, *map(len, strips)]).tolist()[:-1]
    tags = {**tags, 273: ("I", starts), 279: ("I", [*map(len, strips)])}
    body = b"".join(strips)
    values = {}
    for number, (kind, numbers) in tags.items():
        packed = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(packed) > 4:
            values[number] = struct.pack(f"{order}I", 8 + len(body))
            body += packed
        else:
            values[number] = packed.ljust(4, b"\0")
    directory = struct.pack(f"{order}H", len(tags))
    for number, (kind, numbers) in sorted(tags.items()):
        entry = struct.pack(f"{order}HHI", number, TYPES[kind], len(numbers))
        directory += entry + values[number]
    sign = b"II" if order == "<" else b"MM"
    head = sign + struct.pack(f"{order}HI", 42, 8 + len(body))
    return head + body + directory + bytes(4)


def layout(height, width, bits, photometric, *, planes=False, floats=False):
    """Return the tags of a picture."""
    tags = {
        256: ("H", [width]),
        257: ("H", [height]),
        258: ("H", bits),
        259: ("H", [1]),
        262: ("H", [photometric]),
        277: ("H", [len(bits)]),
        278: ("H", [height]),
        284: ("H", [2 if planes else 1]),
    }
    if floats:
        tags[339] = ("H", [3] * len(bits))
    return tags


def in_planes(pixels, order="<"):
    """Return a TIFF of an array (h, w, c), one plane after the other."""
    height, width, channels = pixels.shape
    tags = layout(height, width, [8 * pixels.dtype.itemsize] * channels, 2, planes=True)
    planes = np.moveaxis(pixels, 2, 0).astype(pixels.dtype.newbyteorder(order))
    return tiff(tags, *(plane.tobytes() for plane in planes), order=order)

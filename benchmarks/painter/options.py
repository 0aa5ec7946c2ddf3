"""The flags of `paint.py`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What is measured, beside the painter's own settings.

    Args:
        size: longer side of the pictures at most, in pixels.
        strokes: of the paintings of the quality table, several numbers.
        count: strokes of all other paintings.
        perceived: strokes of the paintings by VGG16 whose speed is measured.
        repeats: of what is timed alternately.
        some: strokes of a round whose losses are computed in slow ways.
        lpips: add LPIPS to the quality table.
        peer: compare with primitive and PyTorch, if installed.
        out: folder that receives the paintings; empty for none.
    """

    size: int
    strokes: list[int]
    count: int
    perceived: int
    repeats: int
    some: int
    lpips: bool
    peer: bool
    out: str

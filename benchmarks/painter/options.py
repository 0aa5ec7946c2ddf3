"""What the flags of `paint.py` say."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What is measured, beside the painter's own settings.

    Args:
        size: longer side of the pictures at most, in pixels.
        strokes: of the paintings of the quality table, several numbers.
        count: strokes of all others.
        perceived: strokes of paintings whose speed by VGG16 is measured.
        repeats: turns of what takes turns.
        some: strokes of a round that are judged in slow ways.
        lpips: judge the quality table by LPIPS as well.
        peer: whom to compare with, if installed.
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

"""Films as GIF, animated WebP or MP4.

Frames come from an iterator; of an MP4, at most two are in memory at a time. Pillow
keeps all of a WebP.

A GIF has 256 colours. All frames share one palette: with a palette for each frame the
colours flicker, and pixels that do not change cannot be left out. It is chosen from all
frames, which are spooled to a temporary file meanwhile. Nothing is dithered: strokes
are flat, and noise would enlarge the file.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import chain, repeat
from pathlib import Path
from types import ModuleType

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image

from jaxart import atomic


Pixels = UInt8[np.ndarray, "h w c"]  # RGB; or RGBA, in a WebP

# The longest side that a format supports, in pixels.
MAX_SIDE = {".gif": 65_535, ".webp": 16_383, ".mp4": 16_384}

MAX_FPS = 50  # browsers play a faster GIF at 10 frames a second
MARK = "jaxart"  # comment or software name in films that may be overwritten
THUMBNAIL = 64  # side of a frame where a GIF's palette is chosen, in pixels


def write(
    path: str | os.PathLike[str],
    frames: Iterator[Pixels],
    *,
    fps: float | int,
    hold: float | int = 0,
) -> None:
    """Write a film, all of it or nothing, in the format of the path's suffix.

    Args:
        path: ends in .gif, .webp or .mp4; of the three, an MP4 is by far the smallest.
        frames: at least one, all of one size.
        fps: frames a second, from 1 to 50; a GIF rounds their duration to 0.01 s.
        hold: how long the last frame is shown before the film repeats, in seconds; 0
            for frames that loop.

    Raises:
        ValueError: as in `check`, `fps` is out of range, or there are no frames, or
            they are too large or of several sizes.
        FileExistsError: there is a file that jaxart did not write.
    """
    check(path)
    if not 1 <= fps <= MAX_FPS:
        raise ValueError(f"fps must be between 1 and {MAX_FPS}; got {fps}")
    suffix = _suffix(path)
    frames = _check_frames(frames, MAX_SIDE[suffix])
    with atomic.replacing(path, _is_ours) as temporary:
        WRITERS[suffix](temporary, _repeat_last(frames, round(hold * fps)), fps)


def check(path: str | os.PathLike[str]) -> None:
    """Check, before the frames are made, that a film can be written.

    Raises:
        ValueError: the suffix is none of the formats, or the library for MP4 is not
            installed.
        FileExistsError: there is a file that jaxart did not write.
    """
    suffix = _suffix(path)
    if suffix == ".mp4":
        _import_av()
    atomic.check_replaceable(path, _is_ours)


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in MAX_SIDE:
        raise ValueError(f"film must end in .gif, .webp or .mp4; got {os.fspath(path)}")
    return suffix


def _import_av() -> ModuleType:
    """Import PyAV, which only MP4 needs."""
    try:
        import av
    except ImportError:
        raise ValueError("mp4 needs the extra: pip install 'jaxart[video]'") from None
    return av


def _check_frames(frames: Iterator[Pixels], max_side: int) -> Iterator[Pixels]:
    """Yield frames, of which there must be one, and all of one size."""
    shape = None
    for frame in frames:
        shape = shape or frame.shape
        if frame.shape != shape:
            raise ValueError(
                f"frames must have one size; got {shape[:2]} and {frame.shape[:2]}"
            )
        if max(shape) > max_side:
            raise ValueError(
                f"frames must be at most {max_side:,} pixels wide and high for this "
                f"format; got {shape[1]} x {shape[0]}"
            )
        yield frame
    if shape is None:
        raise ValueError("frames must be at least one; got none")


def _repeat_last(frames: Iterator[Pixels], times: int) -> Iterator[Pixels]:
    """Yield frames, and repeat the last one."""
    frame = None
    for frame in frames:
        yield frame
    if frame is not None:
        yield from repeat(frame, times)


def _write_gif(path: Path, frames: Iterator[Pixels], fps: float | int) -> None:
    with tempfile.TemporaryFile(dir=path.parent) as spool:
        thumbnails = []
        shape = ()
        for frame in frames:
            shape = frame.shape
            spool.write(np.ascontiguousarray(frame).data)
            thumbnails.append(_thumbnail(frame))
        palette = _palette(thumbnails)
        spool.seek(0)
        pictures = (
            Image.fromarray(np.frombuffer(content, np.uint8).reshape(shape)).quantize(
                palette=palette, dither=Image.Dither.NONE
            )
            for content in iter(lambda: spool.read(int(np.prod(shape))), b"")
        )
        next(pictures).save(
            path,
            "GIF",
            save_all=True,
            append_images=pictures,
            # The format counts in hundredths of a second.
            duration=10 * round(100 / fps),
            loop=0,
            comment=MARK,
            # Leaves out pixels that are unchanged since the frame before.
            optimize=True,
        )


def _palette(thumbnails: list[UInt8[np.ndarray, "small small 3"]]) -> Image.Image:
    """Return a picture with the palette of a GIF.

    It has 255 colours: the last index marks pixels that are unchanged.
    """
    return Image.fromarray(np.concatenate(thumbnails)).quantize(
        255, method=Image.Quantize.MAXCOVERAGE, kmeans=1
    )


def _thumbnail(frame: Pixels) -> UInt8[np.ndarray, "small small 3"]:
    """Subsample a frame on an even grid: no colours are averaged."""
    rows, columns = (
        (np.arange(THUMBNAIL) + 0.5) * side // THUMBNAIL for side in frame.shape[:2]
    )
    return frame[rows.astype(int)][:, columns.astype(int)]


def _write_webp(path: Path, frames: Iterator[Pixels], fps: float | int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Software] = MARK
    pictures = (Image.fromarray(frame) for frame in frames)
    next(pictures).save(
        path,
        "WEBP",
        save_all=True,
        append_images=pictures,
        duration=round(1000 / fps),
        loop=0,
        quality=85,
        exif=exif,
    )


def _write_mp4(path: Path, frames: Iterator[Pixels], fps: float | int) -> None:
    av = _import_av()
    from av.video.reformatter import ColorRange, Colorspace

    first = next(frames)
    height, width, _ = first.shape
    with av.open(
        str(path), "w", format="mp4", options={"movflags": "faststart"}
    ) as film:
        film.metadata["comment"] = MARK
        stream = film.add_stream("libx264", Fraction(fps).limit_denominator(1000))
        # Chroma is subsampled by two, across and down.
        stream.width, stream.height = width + width % 2, height + height % 2
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "18"}
        # Without these, players guess the colour space.
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = 1, 1, 1
        context.color_range = ColorRange.MPEG
        for frame in chain([first], frames):
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
            picture = av.VideoFrame.from_ndarray(even, "rgb24").reformat(
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            film.mux(stream.encode(picture))
        film.mux(stream.encode())


def _is_ours(path: Path) -> bool:
    try:
        if path.suffix.lower() == ".mp4":
            with _import_av().open(str(path), format="mp4") as film:
                return film.metadata.get("comment") == MARK
        with Image.open(path, formats=["GIF", "WEBP"]) as image:
            comment = image.info.get("comment") == MARK.encode()
            return comment or image.getexif().get(ExifTags.Base.Software) == MARK
    except Exception:
        return False


WRITERS: dict[str, Callable[[Path, Iterator[Pixels], float | int], None]] = {
    ".gif": _write_gif,
    ".webp": _write_webp,
    ".mp4": _write_mp4,
}

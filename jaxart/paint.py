"""Paint a picture, stroke by stroke: `python -m jaxart.paint PICTURE --out=FILE.png`.

A folder of pictures is painted one after the other; the same command resumes where it
was stopped. `--redraw` draws a painting from its strokes file, at any size and in any
light, without painting it again.

Source: ctmakro, "Training of Artists". `jaxart.painter.painting` is what this command
drives, and what to call from Python.
"""

from pathlib import Path
from typing import Annotated

from jaxart import command
from jaxart.command import Config
from jaxart.drawing.relief import AZIMUTH
from jaxart.painter import jobs
from jaxart.painter.outputs import appearance_from_flags, outputs_from_flags
from jaxart.painter.settings import Settings, check_keys
from jaxart.validation import FilePath, build


def main(
    picture: Annotated[FilePath | None, "the picture, or a folder of pictures"] = None,
    /,
    *,
    out: Annotated[FilePath, "FILE.png that receives the painting; or FOLDER/"],
    config: Annotated[Config, "file that describes the painter"] = "paint",
    scale: Annotated[float, "size of the painting, in sizes of the picture"] = 1.0,
    relief: Annotated[bool, "show the paint in relief"] = False,
    light: Annotated[
        float, "where the relief's lamp stands: degrees, 0 above, 90 to the right"
    ] = AZIMUTH,
    weights: Annotated[
        FilePath | None, "MASK.png, bright where errors count more; or saliency"
    ] = None,
    strokes_out: Annotated[
        FilePath | None, "FILE.json for the strokes; or FOLDER/"
    ] = None,
    svg: Annotated[
        FilePath | None, "FILE.svg for the strokes as shapes; or FOLDER/"
    ] = None,
    transparent: Annotated[bool, "leave the canvas bare where the picture is"] = False,
    film: Annotated[
        FilePath | None, "FILE.gif, .webp or .mp4: the painting as it grows; or FOLDER/"
    ] = None,
    resume: Annotated[
        FilePath | None, "strokes file that painting goes on from"
    ] = None,
    redraw: Annotated[
        FilePath | None, "strokes file to draw anew, without PICTURE"
    ] = None,
) -> None:
    """Paint a picture, or a folder of pictures."""
    appearance = appearance_from_flags(scale, relief, light)
    outputs = {"out": out, "strokes_out": strokes_out, "svg": svg, "film": film}
    if redraw is not None:
        flags = {"resume": resume, "strokes_out": strokes_out, "weights": weights}
        _refuse(flags, "with redraw, which does not paint")
        paths = outputs_from_flags(outputs, Path(redraw).stem)
        original = None if picture is None else Path(picture)
        jobs.redraw(Path(redraw), paths, appearance, original, transparent=transparent)
    elif picture is None:
        raise ValueError("missing argument: PICTURE (only redraw goes without)")
    elif Path(picture).is_dir():
        _refuse({"resume": resume}, "with a folder, which goes on by itself")
        settings = _settings(config)
        jobs.paint_folder(
            Path(picture),
            outputs,
            settings,
            appearance,
            weights=weights,
            transparent=transparent,
        )
    else:
        paths = outputs_from_flags(outputs, Path(picture).stem)
        jobs.paint_picture(
            Path(picture),
            paths,
            _settings(config),
            appearance,
            weights=weights,
            transparent=transparent,
            resume=resume,
        )


def _settings(config: Config) -> Settings:
    try:
        check_keys(config.keys())
    except ValueError as error:
        raise ValueError(f"config {error}") from None
    return build(Settings, config)


def _refuse(flags: dict[str, str | None], where: str) -> None:
    for flag, value in flags.items():
        if value is not None:
            raise ValueError(f"{flag} must not be given {where}")


if __name__ == "__main__":
    command.run(main)

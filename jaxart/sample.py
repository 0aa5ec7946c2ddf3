"""Draw pictures from a checkpoint: `python -m jaxart.sample --workdir=DIR --out=F.png`.

Source: Beyers and Loane, section 4.
"""

import itertools
from pathlib import Path
from typing import Annotated

import numpy as np

from jaxart import command, figures, images
from jaxart.gan import latents, trained


def main(
    workdir: Annotated[str, "folder of a run"],
    out: Annotated[str, "FILE.png for a grid; FOLDER/ for single pictures"],
    count: Annotated[int, "how many pictures"] = 128,
    seed: Annotated[int, "of the random numbers that the pictures are made from"] = 0,
    step: Annotated[
        str | None, "which checkpoint: a number, or best; the latest, if not given"
    ] = None,
    numbered: Annotated[bool, "print the number of each picture beneath it"] = False,
) -> None:
    """Restore a checkpoint and draw samples from it."""
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    if not out.endswith(("/", ".png")):
        raise ValueError(f"out must be FILE.png or FOLDER/; got {out!r}")
    if numbered and out.endswith("/"):
        raise ValueError(f"numbered must go with FILE.png as out; got {out!r}")
    network, state, settings, at = trained.generator(workdir, step)
    sampler = latents.sampler(network)
    points = latents.draw(seed, 0, count, settings.generator.latent)
    drawn = latents.pictures(sampler, state, points)
    if out.endswith("/"):
        for number, picture in enumerate(itertools.chain.from_iterable(drawn)):
            images.save_png(Path(out) / f"{number:06d}.png", picture)
    else:
        pixels = np.concatenate(list(drawn))
        if numbered:
            pixels = figures.add_captions(
                pixels, [str(number) for number in range(count)]
            )
        images.save_png(out, images.grid(pixels))
    print(f"{count} pictures of step {at} are in {out}")


if __name__ == "__main__":
    command.run(main)

"""Draw pictures from a checkpoint: `python -m jaxart.sample --workdir=DIR --out=F.png`.

Source: Beyers and Loane, section 4.
"""

import itertools
from pathlib import Path
from typing import Annotated

import numpy as np

from jaxart import arguments, command, figures, images
from jaxart.gan import latents, trained
from jaxart.validation import Count, FilePath, Seed, validate


def main(
    workdir: arguments.Workdir,
    out: Annotated[FilePath, "FILE.png for a grid; FOLDER/ for single pictures"],
    count: Annotated[int, "how many pictures"] = 128,
    seed: Annotated[int, "of the random numbers that the pictures are made from"] = 0,
    step: arguments.Step = None,
    weights: arguments.Weights = None,
    numbered: Annotated[bool, "print the number of each picture beneath it"] = False,
) -> None:
    """Restore a checkpoint and draw samples from it."""
    validate("count", count, Count)
    validate("seed", seed, Seed)
    into_folder = arguments.check_out("out", out, (".png", "/")) == "/"
    if numbered and into_folder:
        raise ValueError(f"numbered must go with FILE.png as out; got {out!r}")
    generator = trained.restore_generator(workdir, step, weights)
    if not into_folder:
        arguments.check_grid(count, generator.settings.size)
    points = latents.sample_latents(
        seed, range(count), generator.settings.generator.latent
    )
    sampler = latents.make_sampler(generator.network)
    about = command.provenance(seed=seed, step=generator.step)
    parts = latents.sample_pictures(sampler, generator.state, points)
    if into_folder:
        for number, picture in enumerate(itertools.chain.from_iterable(parts)):
            path = Path(out) / f"{number:06d}.png"
            images.save_png(path, picture, about=about)
    else:
        pixels = np.concatenate([*parts])
        if numbered:
            captions = [str(number) for number in range(count)]
            pixels = figures.add_captions(pixels, captions)
        images.save_png(out, images.grid(pixels), about=about)
    print(f"{count} pictures of step {generator.step} are in {out}")


if __name__ == "__main__":
    command.run(main)

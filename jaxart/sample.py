"""Draw pictures from a checkpoint: `python -m jaxart.sample --workdir=DIR --out=F.png`.

Source: Beyers and Loane, section 4.
"""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
from flax import nnx
from tqdm import tqdm

from jaxart import command, images
from jaxart.checkpoints import Checkpoints, read_config
from jaxart.gan import latents
from jaxart.gan.networks import Generator
from jaxart.gan.update import player


BATCH = 100  # pictures of one compiled call


def main(
    workdir: Annotated[str, "folder of a run"],
    out: Annotated[str, "FILE.png for a grid; FOLDER/ for single pictures"],
    count: Annotated[int, "how many pictures"] = 128,
    seed: Annotated[int, "of the random numbers that the pictures are made from"] = 0,
    step: Annotated[
        str | None, "which checkpoint: a number, or best; the latest, if not given"
    ] = None,
) -> None:
    """Restore a checkpoint and draw samples from it."""
    if count < 1:
        raise ValueError(f"count must be at least 1; got {count}")
    if not out.endswith(("/", ".png")):
        raise ValueError(f"out must be FILE.png or FOLDER/; got {out!r}")
    config = read_config(workdir)
    generator = Generator(
        config.size, **config.generator, dtype=config.dtype, rngs=nnx.Rngs(0)
    )
    with closing(Checkpoints(workdir)) as checkpoints:
        at = checkpoints.find(step)
        expected = {"generator": player(generator)}
        restored = checkpoints.restore(at, expected)["generator"]
    sampler = latents.sampler(generator)
    drawn = []
    for first in tqdm(range(0, count, BATCH), unit="batch", disable=count <= BATCH):
        points = latents.draw(seed, first, BATCH, config.generator.latent)
        # Whole batches, so that all are one compiled call.
        pixels = np.asarray(sampler(restored, points))[: count - first]
        if out.endswith("/"):
            for number, picture in enumerate(pixels, start=first):
                images.save_png(Path(out) / f"{number:06d}.png", picture)
        else:
            drawn.append(pixels)
    if drawn:
        images.save_png(out, images.grid(np.concatenate(drawn)))
    print(f"{count} pictures of step {at} are in {out}")


if __name__ == "__main__":
    command.run(main)

"""Updates fed by a batch that is there, by crops from the host, and by an atlas."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import Array

from jaxart.gan import parallel
from jaxart.gan.settings import Settings
from jaxart.gan.update import init_state
from jaxart.paintings import atlas, pipeline


READY, HOST, ATLAS = "a batch that is there", "crops from the host", "the atlas"


def ways(
    settings: Settings, records: Sequence[dict[str, Any]]
) -> dict[str, Callable[[int], float]]:
    """Return what times some updates, by where their crops come from.

    Args:
        settings: of the run.
        records: of the dataset.
    """
    size, batch_size = settings.size, settings.batch_size
    networks, recipe = settings.make_networks(0), settings.make_recipe()

    def to_pixels(pixels: Array | None, batch: Array) -> Array:
        return batch if pixels is None else atlas.crops(pixels, batch, size)

    updates = parallel.make_parallel_update(
        *networks,
        recipe,
        parallel="jit",
        batch_size=batch_size,
        load_batch=to_pixels,
    )
    packed = atlas.load(records)
    keys: Any = {"size": size, "batch_size": batch_size, "seed": 0}
    crops, corners = (pipeline.batches(source, **keys) for source in (records, packed))
    ready = updates.shard(next(crops)[None])
    on_device = updates.replicate_dataset(packed.pixels)

    def timer(
        dataset: Array | None, next_batches: Callable[[], Array]
    ) -> Callable[[int], float]:
        state = updates.replicate(init_state(*networks, recipe, 0))

        def timed(count: int) -> float:
            nonlocal state
            begin = time.perf_counter()
            for _ in range(count):
                state = updates.run(state, dataset, next_batches())[0]
            jax.block_until_ready(state)
            return (time.perf_counter() - begin) / count

        return timed

    return {
        READY: timer(None, lambda: ready),
        HOST: timer(None, lambda: updates.shard(next(crops)[None])),
        ATLAS: timer(on_device, lambda: updates.shard(next(corners)[None])),
    }

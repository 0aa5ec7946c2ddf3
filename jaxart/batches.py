"""A compiled call over more items than it takes at once.

All batches have one shape, so that there is one compilation however many items there
are; what only fills the last one is cut off again.
"""

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree, Shaped
from tqdm import tqdm


def mapped(
    call: Callable[[Any], PyTree],
    items: Shaped[np.ndarray, "n ..."],
    size: int,
    title: str,
) -> Iterator[PyTree]:
    """Yield what a call returns for a few items after the other, as NumPy arrays.

    Args:
        call: takes `size` items; each array that it returns has a row for each.
        items: at least one.
        size: items of one call.
        title: of the progress bar, which is seen where it takes long.
    """
    with tqdm(
        total=len(items), desc=title, unit="picture", leave=False, delay=2
    ) as bar:
        for first in range(0, len(items), size):
            batch = items.take(range(first, first + size), axis=0, mode="clip")
            count = min(size, len(items) - first)
            answers = jax.tree.map(np.asarray, call(batch))
            yield jax.tree.map(operator.itemgetter(slice(count)), answers)
            bar.update(count)

"""Map a compiled function over more items than fit into one call.

All batches have one shape, so that there is one compilation for any number of items:
the last batch is padded, and the results for its padding are dropped.
"""

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree, Shaped
from tqdm import tqdm


def map_batches(
    function: Callable[[Any], PyTree],
    items: Shaped[np.ndarray, "n ..."],
    batch_size: int,
    title: str,
) -> Iterator[PyTree]:
    """Yield the results for one batch of items after the other, as NumPy arrays.

    The function takes `batch_size` items, and each array it returns has a row for each.
    A progress bar is shown after two seconds.
    """
    with tqdm(
        total=len(items), desc=title, unit="picture", leave=False, delay=2
    ) as bar:
        for start in range(0, len(items), batch_size):
            indices = range(start, start + batch_size)
            batch = items.take(indices, axis=0, mode="clip")
            count = min(batch_size, len(items) - start)
            results = jax.tree.map(np.asarray, function(batch))
            yield jax.tree.map(operator.itemgetter(slice(count)), results)
            bar.update(count)

import numpy as np
import pytest

from jaxart import batches


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9])
def test_results_for_padding_are_dropped(count):
    items = np.arange(2 * count).reshape(count, 2)
    shapes = []

    def function(batch):
        shapes.append(batch.shape)
        return {"double": 2 * batch, "sums": [batch.sum(1)]}

    results = [*batches.map_batches(function, items, 4, "")]
    assert shapes == [(4, 2)] * -(-count // 4)
    doubles = np.concatenate([result["double"] for result in results])
    sums = np.concatenate([result["sums"][0] for result in results])
    np.testing.assert_array_equal(doubles, 2 * items)
    np.testing.assert_array_equal(sums, items.sum(1))

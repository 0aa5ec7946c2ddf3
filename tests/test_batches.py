import numpy as np
import pytest

from jaxart import batches


@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9])
def test_what_only_fills_a_batch_is_not_seen(count):
    items = np.arange(2 * count).reshape(count, 2)
    seen = []

    def call(batch):
        seen.append(batch.shape)
        return {"double": 2 * batch, "sums": [batch.sum(1)]}

    answers = [*batches.mapped(call, items, 4, "")]
    assert seen == [(4, 2)] * -(-count // 4)
    doubles = np.concatenate([answer["double"] for answer in answers])
    sums = np.concatenate([answer["sums"][0] for answer in answers])
    np.testing.assert_array_equal(doubles, 2 * items)
    np.testing.assert_array_equal(sums, items.sum(1))

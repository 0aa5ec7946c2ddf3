"""The loop of a run: how many updates a call does."""

from dataclasses import replace
from typing import Any

import pytest

from jaxart.gan.settings import Settings
from jaxart.gan.train_loop import updates_of_next_call


@pytest.mark.parametrize(
    ("calls", "steps_per_call"),
    [([1] * 12, 1), ([4, 1, 1, 1, 1, 4], 4), ([1] * 12, 5)],
)
def test_a_call_ends_where_the_loop_has_something_to_do(
    small_config: Any, calls: list[int], steps_per_call: int
):
    # Samples are due at 6 and 12, checkpoints at 4, 8 and 12.
    settings = Settings.from_config(small_config)
    settings = replace(settings, steps_per_call=steps_per_call)
    counts, step = [], 0
    while step < settings.steps:
        counts.append(updates_of_next_call(step, settings))
        step += counts[-1]
    assert counts == calls

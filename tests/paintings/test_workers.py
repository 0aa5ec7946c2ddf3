"""A function mapped over arguments in worker processes."""

import operator
import os
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest

from jaxart.paintings import workers


def test_each_argument_is_used_once_whatever_the_order():
    results = workers.imap_unordered(partial(operator.mul, 3), range(20), processes=2)
    assert sorted(results) == [3 * number for number in range(20)]


def test_an_error_of_the_function_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(workers.imap_unordered(partial(operator.floordiv, 3), [1, 0], processes=1))


def test_a_worker_that_ends_is_an_error():
    with pytest.raises(BrokenProcessPool):
        list(workers.imap_unordered(os._exit, [7], processes=1))


def test_a_worker_needs_no_jax():
    """It would cost each of them a second and a hundred megabytes."""
    script = (
        "import sys; from jaxart.paintings import shards; "
        "print([n for n in ('jax', 'tensorflow', 'flax') if n in sys.modules])"
    )
    run = [sys.executable, "-c", script]
    environment = {**os.environ, "PYTHONPATH": str(Path(workers.__file__).parents[2])}
    assert subprocess.check_output(run, env=environment, text=True) == "[]\n"

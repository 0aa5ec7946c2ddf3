"""Freed memory stays in the process: measured in one of its own."""

import platform
import subprocess
import sys

import pytest

from jaxart import malloc


# The work is done on a thread, as JAX does it; a new page is a fault.
PROGRAM = """
import resource
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from jaxart import malloc

if {keep}:
    assert malloc.retain_freed_memory()

def work():
    np.ones(100 * 2**18)  # 200 MiB, once more than malloc would ever keep

with ThreadPoolExecutor(1) as thread:
    thread.submit(work).result()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread.submit(work).result()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, keep):
    """New pages that the second of two equal pieces of work had to touch."""
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(keep=keep)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(ran.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_memory_that_was_freed_is_used_again_without_new_pages():
    given_back, kept = faults(keep=False), faults(keep=True)
    assert given_back > 90  # pages may be as large as 2 MiB
    assert kept < 10


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not malloc.retain_freed_memory()

"""The process's memory, kept for the next update and not given back after each.

XLA asks for all temporary arrays of a compiled call at once, and frees them after it.
The C library hands so large a block back to the operating system, which fills it with
zeros page by page when the next call touches it: on a CPU that is a good part of a
small network's update. Here the C library is told to keep what was freed.

Source: glibc, mallopt(3).
"""

import ctypes
import platform


M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8  # of malloc.h


def retain_freed_memory() -> bool:
    """Retain freed memory in the process; return whether the C library can.

    To be called before threads are there, that is before JAX looks for its devices:
    large blocks of a thread's own arena are always given back, so that all share one.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    never = 2**31 - 1
    options = ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, never))
    accepted = [mallopt(name, value) == 1 for name, value in options]
    return all(accepted)

"""What JAX takes from the environment: its settings, platform and compilation cache.

A command's results are a function of its command line and its input alone. So settings
of JAX that change numbers or random streams have the project's values, whatever the
environment says. Which devices there are is the environment's to say; what cannot be
had is an error of one line.

Compiled programs are cached in the user's cache folder for the next start.

Source: XDG Base Directory Specification, for the cache folder.
"""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import jax


MIN_COMPILE_SECONDS = 0.1  # shorter compilations are not cached

CACHE_HELP = (
    "Compiled programs are kept in ~/.cache/jaxart; JAX_COMPILATION_CACHE_DIR=FOLDER\n"
    "keeps them elsewhere, JAX_ENABLE_COMPILATION_CACHE=false not at all.\n"
)

# What the bytes of results depend on, or programs stop at, if the environment has other
# values: JAX's own defaults.
JAX_SETTINGS = {
    "jax_allow_f16_reductions": True,
    "jax_check_tracer_leaks": False,
    "jax_debug_infs": False,
    "jax_debug_key_reuse": False,
    "jax_debug_nans": False,
    "jax_default_matmul_precision": None,
    "jax_default_prng_impl": "threefry2x32",
    "jax_disable_jit": False,
    "jax_disable_most_optimizations": False,
    "jax_enable_custom_prng": False,
    "jax_enable_x64": False,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_explicit_x64_dtypes": "warn",
    "jax_high_dynamic_range_gumbel": False,
    "jax_legacy_prng_key": "allow",
    "jax_memory_fitting_effort": 0.0,
    "jax_no_execution": False,
    "jax_no_tracing": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
    "jax_optimization_level": "UNKNOWN",
    "jax_random_seed_offset": 0,
    "jax_softmax_custom_jvp": False,
    "jax_threefry_partitionable": True,
    "jax_transfer_guard": "allow",
    "jax_use_direct_linearize": True,
    "jax_use_shardy_partitioner": True,
}

PARSE_XLA_FLAGS = "import jaxlib.xla_client as c; c.CompileOptions()"


def set_up() -> None:
    """Set JAX up for a command, before JAX finds its devices."""
    _settle_jax()
    _set_up_compilation_cache()


def check_xla_flags() -> None:
    """Check the flags that the environment gives XLA: it aborts on unknown ones.

    Raises:
        ValueError: XLA does not take them.
    """
    if not os.environ.get("XLA_FLAGS"):
        return
    result = subprocess.run(
        [sys.executable, "-c", PARSE_XLA_FLAGS], capture_output=True, text=True
    )
    if result.returncode:
        raise ValueError(
            f"XLA_FLAGS must be flags of XLA; got {os.environ['XLA_FLAGS']!r}"
        )


def check_platform() -> None:
    """Find the devices, if the environment says of which platform they should be.

    Raises:
        ValueError: there are none of that platform.
    """
    names = ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", "JAX_DEFAULT_DEVICE")
    asked = [f"{name}={value}" for name in names if (value := os.environ.get(name))]
    if not asked:
        return
    try:
        jax.device_put(0)
    # JAX raises a RuntimeError or, without a reason, an AssertionError.
    except Exception as error:
        reason = " ".join(str(error).split()) or "no such device was found"
        raise ValueError(
            f"{' and '.join(asked)} must be a platform of this machine: {reason}"
        ) from error


def _settle_jax() -> None:
    """Give JAX the settings that the project is tested with, whatever its own are."""
    for name, value in JAX_SETTINGS.items():
        # Other versions of JAX have others.
        if name in jax.config.values:
            jax.config.update(name, value)


def _set_up_compilation_cache() -> None:
    """Let JAX cache compiled programs, unless the environment says where or whether."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", _cache_folder())
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update(
            "jax_persistent_cache_min_compile_time_secs", MIN_COMPILE_SECONDS
        )
    # A full disk, or an entry of a process that was killed while writing it: JAX then
    # compiles as if there were no cache.
    warnings.filterwarnings(
        "ignore", "Error (reading|writing) persistent compilation cache"
    )


def _cache_folder() -> str | None:
    """Return this user's cache folder; None if it cannot be made."""
    xdg_cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        cache = xdg_cache if xdg_cache.is_absolute() else Path.home() / ".cache"
        folder = cache / "jaxart" / "compiled"
        # Nobody else may write here: cached programs are executed.
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return str(folder) if os.access(folder, os.W_OK) else None

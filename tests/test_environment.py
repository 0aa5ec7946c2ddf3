"""Variables of the environment that JAX reads: the same bytes, or one line."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


NOTHING = "JAX_ENABLE_X64=0"
EVERYTHING = """
JAX_CHECK_TRACER_LEAKS=1
JAX_DEBUG_INFS=1
JAX_DEBUG_KEY_REUSE=1
JAX_DEBUG_NANS=1
JAX_DEFAULT_MATMUL_PRECISION=bfloat16
JAX_DEFAULT_PRNG_IMPL=rbg
JAX_DISABLE_JIT=1
JAX_DISABLE_MOST_OPTIMIZATIONS=1
JAX_ENABLE_CUSTOM_PRNG=1
JAX_ENABLE_X64=1
JAX_EXPLICIT_X64_DTYPES=allow
JAX_LEGACY_PRNG_KEY=error
JAX_NUMPY_DTYPE_PROMOTION=strict
JAX_NUMPY_RANK_PROMOTION=raise
JAX_OPTIMIZATION_LEVEL=O0
JAX_RANDOM_SEED_OFFSET=3
JAX_SOFTMAX_CUSTOM_JVP=1
JAX_THREEFRY_PARTITIONABLE=0
JAX_TRANSFER_GUARD=disallow
JAX_USE_DIRECT_LINEARIZE=0
"""


def start(
    tmp_path: Path, variables: str, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a command with variables of the environment."""
    return subprocess.run(
        [sys.executable, "-m", "jaxart", *words],
        cwd=tmp_path,
        env=os.environ | dict(line.split("=", 1) for line in variables.split()),
        capture_output=True,
        text=True,
    )


def sampled(workdir: str, tmp_path: Path, variables: str) -> str:
    """Return the hash of a grid of samples."""
    out = tmp_path / "grid.png"
    words = ("sample", f"--workdir={workdir}", "--out=grid.png", "--count=2")
    result = start(tmp_path, variables, *words)
    assert result.returncode == 0, result.stderr
    return hashlib.sha256(out.read_bytes()).hexdigest()


def painted(tmp_path: Path, variables: str) -> str:
    """Return the hash of a small painting."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "noise.png")
    settings = [f"--config.{name}=2" for name in ("strokes", "steps", "refine")]
    words = ("paint", "noise.png", "--out=painting.png", *settings)
    result = start(tmp_path, variables, *words)
    assert result.returncode == 0, result.stderr
    return hashlib.sha256((tmp_path / "painting.png").read_bytes()).hexdigest()


def test_samples_do_not_depend_on_the_width_of_numbers(workdir: str, tmp_path: Path):
    plain = sampled(workdir, tmp_path, NOTHING)
    assert sampled(workdir, tmp_path, "JAX_ENABLE_X64=1") == plain


@pytest.mark.slow
def test_no_setting_of_jax_changes_a_byte(workdir: str, tmp_path: Path):
    plain = sampled(workdir, tmp_path, NOTHING), painted(tmp_path, NOTHING)
    assert sampled(workdir, tmp_path, EVERYTHING) == plain[0]
    assert painted(tmp_path, EVERYTHING) == plain[1]


@pytest.mark.parametrize(
    "variable",
    [
        "JAX_PLATFORMS=no_such_platform",
        "JAX_PLATFORM_NAME=no_such_platform",
        "XLA_FLAGS=--xla_no_such_flag=1",
        "JAX_ENABLE_X64=perhaps",
    ],
)
def test_what_cannot_be_had_is_one_line_that_names_the_variable(
    workdir: str, tmp_path: Path, variable: str
):
    words = ("sample", f"--workdir={workdir}", "--out=grid.png", "--count=2")
    result = start(tmp_path, variable, *words)
    (line,) = result.stderr.splitlines()
    assert result.returncode == 2
    assert line.startswith("error: ")
    assert variable.partition("=")[0] in line
    assert not list(tmp_path.iterdir())

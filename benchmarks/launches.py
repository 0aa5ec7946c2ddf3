"""What the painter launches on a GPU, and how long it would take: a prediction.

    python benchmarks/launches.py

Nothing is timed. Each program is run on the CPU in the form for other devices, by an
interpreter of its jaxpr that counts while it computes, so that loops whose trips depend
on the data are counted as they are. The model:

    seconds = launches · LAUNCH + waits · WAIT + bytes / bandwidth + products / rate.

* **launches**: a matrix product, a convolution, a sort, a reduction, a scatter or an
  update of a slice is a kernel. All else is fused into the kernels that need it,
  without limit, so that real programs launch more. What leaves a loop's body is a
  kernel, and the small numbers of a body are one together.
* **waits**: trips of a loop, and branches, of which only the device knows whether.
* **bytes**: what kernels read and write.

*Before* has the sizes that suit a CPU: 32 tiles at once, a stroke a step, and a round
composited window by window. Strokes have the sizes that the painter begins with, and
lie at random places on a picture of blots. A stage is a drawing of its level and as
many rounds as it takes if each paints as many strokes as it may.

Prints a table as it stands in docs/scale.md and, last, one JSON object on a line.
"""

import contextlib
import json
import math
import runpy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags, logging
from h100 import (
    LAUNCH,
    MEMORY,
    PRODUCTS,
    SHARE_OF_BANDWIDTH,
    SHARE_OF_PRODUCTS,
    WAIT,
)
from jax import lax
from jaxtyping import Array, Float
from painter.made_up import blots, painted

from jaxart.drawing import strokes
from jaxart.painter import refinement, rounds
from jaxart.painter.painting import GROWTH
from jaxart.painter.problem import make_problem
from jaxart.painter.settings import Settings


_SIDE = flags.DEFINE_integer("side", 512, "of the picture, in pixels", lower_bound=64)
_STROKES = flags.DEFINE_integer("strokes", 2_048, "on the canvas", lower_bound=1)
_VGG = flags.DEFINE_bool("vgg", True, "with VGG16 as well")

CONFIG = Path(__file__).parents[1] / "configs" / "paint.py"

SMALL = 4_096  # bytes; arrays up to this size are written by one kernel of a body
# Operations whose arguments are in memory, and those that compute them on the way.
WHOLE_INPUTS = {"dot_general", "conv_general_dilated", "sort", "top_k", "cumsum"}
ROOTS = ("reduce", "scatter", "argmax", "argmin", "dynamic_update_slice")
SLICES = {"gather", "dynamic_slice", "slice"}
SAME_BYTES = {"reshape", "squeeze", "optimization_barrier", "copy", "stop_gradient"}


NAMES = {"mse": "squared error", "vgg_rounds": "VGG16"}
FORMS = {"launches": ",.0f", "waits": ",.0f"}  # of counts in the table
# Heads of the table, and what stands under them.
COLUMNS = {
    "launches before": ("before", "launches"),
    "waits before": ("before", "waits"),
    "ms before": ("before", "ms"),
    "launches": ("after", "launches"),
    "waits": ("after", "waits"),
    "ms of memory": ("after", "memory_ms"),
    "ms of products": ("after", "product_ms"),
    "ms": ("after", "ms"),
}


class Counts(NamedTuple):
    """What a program does on the device."""

    launches: float
    waits: float
    bytes: float
    flop: float  # of products and convolutions

    def times(self) -> dict[str, float]:
        """Return the predicted milliseconds, and what they are made of."""
        parts = {
            "launch_ms": 1e3 * (self.launches * LAUNCH + self.waits * WAIT),
            "memory_ms": 1e3 * self.bytes / (SHARE_OF_BANDWIDTH * MEMORY),
            "product_ms": 1e3 * self.flop / (SHARE_OF_PRODUCTS * PRODUCTS["float32"]),
        }
        return {**parts, "ms": sum(parts.values())}


class Value:
    """A value of a program, and what a kernel reads to compute it.

    Args:
        array: the value.
        reads: bytes by array in memory; None if the value itself is in memory.
    """

    def __init__(self, array: Any, reads: dict[int, float] | None = None):
        self.array = array
        self.reads = reads

    @property
    def bytes(self) -> int:
        """Of the array; a random key has eight."""
        dtype = jnp.result_type(self.array)
        return math.prod(np.shape(self.array)) * getattr(dtype, "itemsize", 8)

    def sources(self) -> dict[int, float]:
        """Return what is read to have it."""
        return {id(self): self.bytes} if self.reads is None else self.reads


class Body:
    """What is counted in a program or in the body of a loop."""

    def __init__(self):
        self._launches = self._bytes = self._flop = 0.0
        self._has_small = False
        self._inside = jnp.zeros(len(Counts._fields))  # of loops and branches in it

    def kernel(self, result: Value, inputs: Sequence[Value], flop: float = 0) -> None:
        """Count a kernel that computes a value from others."""
        read: dict[int, float] = {}
        for value in inputs:
            read |= value.sources()
        self._bytes += result.bytes + sum(read.values())
        self._flop += flop
        if result.bytes > SMALL:
            self._launches += 1
        else:
            self._has_small = True
        result.reads = None

    def materialise(self, value: Value) -> Value:
        """Count the kernel that writes a value, unless it is in memory."""
        if value.reads is not None:
            self.kernel(value, [Value(value.array, value.reads)])
        return value

    def add(self, counts: Array) -> None:
        """Add what a loop or a branch does."""
        self._inside = self._inside + counts

    def counts(self) -> Array:
        """Return all of it, as `Counts` has it."""
        own = (self._launches + self._has_small, 0, self._bytes, self._flop)
        return self._inside + jnp.array(own)


def count(function: Callable[..., Any], *args: Any) -> Counts:
    """Run a function of arrays, and return what it would do on a GPU."""
    # A function of its own, because JAX remembers what it has traced.
    jaxpr = jax.make_jaxpr(lambda *args: function(*args))(*args)

    @jax.jit
    def run(*args: Any) -> Array:
        return _body(jaxpr, jax.tree.leaves(args))[1]

    return Counts(*map(float, run(*args)))


def _body(jaxpr: Any, args: Sequence[Any]) -> tuple[list[Any], Array]:
    """Evaluate a closed jaxpr as a body of its own: results, and counts."""
    body = Body()
    results = _evaluate(jaxpr, [Value(arg) for arg in args], body)
    return [body.materialise(value).array for value in results], body.counts()


def _evaluate(closed: Any, args: Sequence[Value], body: Body) -> list[Value]:
    """Evaluate a closed jaxpr as a part of a body."""
    jaxpr = closed.jaxpr
    values = dict(zip(jaxpr.constvars, map(Value, closed.consts), strict=True))
    values |= dict(zip(jaxpr.invars, args, strict=True))

    def read(atom: Any) -> Value:
        return Value(atom.val) if hasattr(atom, "val") else values[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        results = _apply(equation, inputs, body)
        values |= dict(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _apply(equation: Any, inputs: list[Value], body: Body) -> list[Value]:
    name, params = equation.primitive.name, equation.params
    if name in LOOPS:
        arrays = [body.materialise(value).array for value in inputs]
        results, counts = LOOPS[name](arrays, params)
        body.add(counts)
        return list(map(Value, results))
    if name == "cond":
        return _branch(inputs, params, body)
    called = params.get("jaxpr") or params.get("call_jaxpr")
    if called is not None:
        return _evaluate(called, inputs, body)
    if name == "platform_index":  # `_branch` knows
        return [Value(jnp.int32(0))]
    options = equation.primitive.get_bind_params(params)
    found = equation.primitive.bind(*(value.array for value in inputs), **options)
    results = list(
        map(Value, found if equation.primitive.multiple_results else [found])
    )
    _count(equation, inputs, results, body)
    return results


def _count(
    equation: Any, inputs: list[Value], results: list[Value], body: Body
) -> None:
    """Count an operation without a program in it."""
    name = equation.primitive.name
    flop = _flop(equation)
    is_whole = name in WHOLE_INPUTS and not (name == "dot_general" and flop == 0)
    if is_whole or name.startswith(ROOTS):
        if is_whole:
            inputs = [body.materialise(value) for value in inputs]
        if name == "dynamic_update_slice" or name.startswith("scatter"):
            # In place: what is written, and what it is computed from.
            body.kernel(Value(inputs[-1].array), inputs[1:])
            return
        body.kernel(results[0], inputs, flop)
        return
    for result in results:
        if name in SAME_BYTES and inputs[0].reads is None:
            continue
        reads: dict[int, float] = {}
        for value in inputs:
            reads |= value.sources()
        if name in SLICES:
            reads = {key: min(size, result.bytes) for key, size in reads.items()}
        result.reads = reads


def _flop(equation: Any) -> float:
    """Return the operations of a product or convolution; 0 if it is fused."""
    if equation.primitive.name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval, equation.params["dimension_numbers"]
        spatial = math.prod(kernel.shape[axis] for axis in numbers.rhs_spec[1:])
        # A product that meets a zero between dilated pixels is not one.
        dilation = math.prod(equation.params["lhs_dilation"])
        return 2 * math.prod(equation.outvars[0].aval.shape) * spatial / dilation
    if equation.primitive.name == "dot_general":
        (axes, _), _ = equation.params["dimension_numbers"]
        contracted = math.prod(equation.invars[0].aval.shape[axis] for axis in axes)
        if contracted > 4:
            return 2 * math.prod(equation.outvars[0].aval.shape) * contracted
    return 0


def _scan(arrays: list[Any], params: dict[str, Any]) -> tuple[list[Any], Array]:
    jaxpr = params["jaxpr"]
    split = [params["num_consts"], params["num_consts"] + params["num_carry"]]
    constants, carry, xs = (arrays[a:b] for a, b in _pairs(split, len(arrays)))

    def step(state: Any, x: Any) -> tuple[Any, Any]:
        carry, counts = state
        results, of_step = _body(jaxpr, [*constants, *carry, *x])
        after = results[: len(carry)], counts + of_step
        return after, results[len(carry) :]

    start = carry, jnp.zeros(len(Counts._fields))
    (carry, counts), ys = lax.scan(step, start, xs, params["length"], params["reverse"])
    return [*carry, *ys], counts


def _while(arrays: list[Any], params: dict[str, Any]) -> tuple[list[Any], Array]:
    split = [
        params["cond_nconsts"],
        params["cond_nconsts"] + params["body_nconsts"],
    ]
    of_condition, of_body, carry = (arrays[a:b] for a, b in _pairs(split, len(arrays)))
    wait = jnp.array([0.0, 1.0, 0.0, 0.0])

    def condition(state: Any) -> Any:
        (goes_on,), _ = _body(params["cond_jaxpr"], [*of_condition, *state[0]])
        return goes_on

    def step(state: Any) -> Any:
        carry, counts = state
        results, of_step = _body(params["body_jaxpr"], [*of_body, *carry])
        return results, counts + of_step + wait

    return lax.while_loop(condition, step, (carry, wait))


def _pairs(split: list[int], end: int) -> list[tuple[int, int]]:
    return list(zip([0, *split], [*split, end], strict=True))


LOOPS = {"scan": _scan, "while": _while}


def _branch(inputs: list[Value], params: dict[str, Any], body: Body) -> list[Value]:
    """Take a branch: that of a device that is not a CPU, or the one of an index."""
    branches, platforms = params["branches"], params.get("branches_platforms")
    if platforms is not None:
        return _evaluate(branches[platforms.index(None)], inputs[1:], body)
    index, *arrays = [body.materialise(value).array for value in inputs]
    functions = [lambda *args, one=one: _body(one, args) for one in branches]
    results, counts = lax.switch(index, functions, *arrays)
    body.add(counts + jnp.array([0.0, 1.0, 0.0, 0.0]))
    return list(map(Value, results))


@contextlib.contextmanager
def sizes_of_a_cpu() -> Iterator[None]:
    """Draw as a CPU does, on whatever device."""
    with (
        mock.patch.object(strokes, "sizes_for_device", return_value=strokes.ON_CPU),
        mock.patch.object(rounds, "_composite_at_once", rounds._composite_one_by_one),
    ):
        yield


def programs(distance: str, settings: Settings) -> dict[str, tuple[Any, ...]]:
    """Return functions and their arguments, by name."""
    settings = replace(settings, distance=distance, strokes=_STROKES.value)
    problem = make_problem(blots(_SIDE.value), settings)
    number = _STROKES.value
    buffer, stage = painted(problem, number), problem.stage(number)
    objective = problem.objective(problem.refined_height, problem.distances.half)

    def a_round(canvas: Float[Array, "3 h w"], stage: rounds.Stage) -> Any:
        goal = jnp.int32(math.ceil((GROWTH - 1) * number))
        new = rounds.paint_round(canvas, jax.random.key(0), goal, stage)
        return rounds.composite_round(canvas, new, stage)

    def a_step(strokes: Float[Array, "n 8"], objective: Any) -> Any:
        refine: Any = refinement.refine
        state = refinement.init_state(strokes)
        return refine.__wrapped__(
            state, buffer.seeds[:number], objective, jnp.int32(100), count=1
        )

    canvas = jax.jit(rounds.draw_level)(buffer, stage)
    drawing = {"drawing a level": (rounds.draw_level, buffer, stage)}
    return (drawing if distance == "mse" else {}) | {
        f"a round, {NAMES[distance]}": (a_round, canvas, stage),
        f"a step of refinement, {NAMES[distance]}": (
            a_step,
            buffer.strokes[:number],
            objective,
        ),
    }


def stage(distance: str, counts: dict[str, Counts]) -> Counts:
    """Return what a stage does: a drawing, and rounds."""
    strokes = math.ceil((GROWTH - 1) * _STROKES.value)
    number = math.ceil(strokes / (rounds.ACCEPTED_SHARE * rounds.MAX_WINDOWS))
    drawing, one = counts["drawing a level"], counts[f"a round, {NAMES[distance]}"]
    return Counts(*(a + number * b for a, b in zip(drawing, one, strict=True)))


def print_row(name: str, before: Counts, after: Counts) -> dict[str, Any]:
    """Print a row, and return it."""
    found = {"before": before, "after": after}
    row = {key: {**one._asdict(), **one.times()} for key, one in found.items()}
    cells = [
        f"{row[key][column]:{FORMS.get(column, '.2f')}}"
        for key, column in COLUMNS.values()
    ]
    print(f"| {name} | {' | '.join(cells)} |", flush=True)
    return row


def main(_: list[str]) -> None:
    """Count all programs, before and after."""
    logging.set_verbosity(logging.WARNING)  # JAX logs which devices it did not find
    settings = Settings(**runpy.run_path(str(CONFIG))["get_config"]())
    print(f"| | {' | '.join(COLUMNS)} |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    rows: dict[str, Any] = {}
    before: dict[str, Counts] = {}
    after: dict[str, Counts] = {}
    # Windows are as many at once as on a GPU.
    with mock.patch.object(jax, "default_backend", return_value="gpu"):
        for distance in ["mse", "vgg_rounds"] if _VGG.value else ["mse"]:
            for name, (function, *args) in programs(distance, settings).items():
                with sizes_of_a_cpu():
                    before[name] = count(function, *args)
                after[name] = count(function, *args)
                rows[name] = print_row(name, before[name], after[name])
            name = f"a stage of rounds, {NAMES[distance]}"
            pair = stage(distance, before), stage(distance, after)
            rows[name] = print_row(name, *pair)
    sizes = {"side": _SIDE.value, "strokes": _STROKES.value}
    print(json.dumps({"name": "launches", **sizes, "rows": rows}))


if __name__ == "__main__":
    app.run(main)

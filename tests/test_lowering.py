"""Programs for GPUs and TPUs, lowered on a CPU: no form that only CPUs want is in them.

A form is recognised by the names of its functions in the locations of StableHLO. That
they are still the right names is seen in the same program lowered for a CPU.
"""

import re
import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxart import metrics, vgg
from jaxart.drawing.strokes import empty_buffer
from jaxart.drawing.tiles import TILE
from jaxart.gan import deconvnet, feature_metrics, latents
from jaxart.gan.parallel import make_parallel_update
from jaxart.gan.settings import Settings
from jaxart.gan.update import init_state, network_state
from jaxart.painter import painting, refinement, rounds
from jaxart.painter.problem import Problem, make_problem
from jaxart.painter.settings import Settings as PainterSettings


ROOT = Path(__file__).parents[1]
OTHERS = ("cuda", "tpu")

FOUR_BY_FOUR = {"convolve_4x4", "_matrix_product"}
THREE_BY_THREE = {"_winograd_3x3"}
ONE_BY_ONE = {"_composite_one_by_one"}
CPU_FORMS = FOUR_BY_FOUR | THREE_BY_THREE | ONE_BY_ONE

# Convolutions as XLA has them.
HALVING = r"stablehlo\.convolution.*stride = \[2, 2\].*, tensor<4x4x"
DOUBLING = r"stablehlo\.convolution.*lhs_dilate = \[2, 2\].*, tensor<4x4x"
SAME_SIZE = r"stablehlo\.convolution.*stride = \[1, 1\].*, tensor<3x3x"

PICTURE_SIDES = (80, 96)  # 30 tiles, which are no whole group of a CPU

Traced = Any  # what `jax.jit(f).trace` returns


def text_of(traced: Traced, platform: str) -> str:
    """Lower for one platform, and return StableHLO with its locations.

    A program for several platforms at once would keep the forms of all.
    """
    return traced.lower(lowering_platforms=(platform,)).as_text(debug_info=True)


def check(traced: Traced, cpu_forms: set[str], *convolutions: str) -> None:
    """Check that only the program for a CPU has forms for CPUs.

    Args:
        traced: the program.
        cpu_forms: functions that are in it on a CPU.
        convolutions: patterns of what it has elsewhere.
    """
    on_cpu = text_of(traced, "cpu")
    assert cpu_forms <= {name for name in CPU_FORMS if name in on_cpu}
    for platform in OTHERS:
        text = text_of(traced, platform)
        assert not {name for name in CPU_FORMS if name in text}
        for pattern in convolutions:
            assert re.search(pattern, text), (platform, pattern)


def check_digits(traced: Traced) -> None:
    """Check that products have all digits of float32 on every device."""
    for platform in OTHERS:
        text = text_of(traced, platform)
        assert "HIGHEST" in text
        assert not re.search(r"precision( = \[|_config.*|\W*)DEFAULT", text)


def tiles_at_once(text: str) -> set[int]:
    """Return how many tiles are in each array of tiles of a program."""
    return set(map(int, re.findall(rf"tensor<(\d+)x[345]x{TILE}x{TILE}xf32>", text)))


def check_tiles(traced: Traced, count: int) -> None:
    """Check that all tiles of a canvas are drawn at once."""
    for platform in OTHERS:
        assert tiles_at_once(text_of(traced, platform)) == {count}


def gan(**changes: Any) -> Settings:
    """Return the settings of a small run, some of them changed."""
    config = runpy.run_path(str(ROOT / "configs/art.py"))["get_config"]()
    config.size, config.batch_size = 32, 2
    # More channels than are left to a matrix product.
    config.generator.width = config.discriminator.width = 8
    config.update(changes)
    return Settings.from_config(config)


def trace_update(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Traced:
    """Trace the update as a run compiles it."""
    pmapped: list[Any] = []
    pmap = jax.pmap

    def keep(*args: Any, **options: Any) -> Any:
        pmapped.append(pmap(*args, **options))
        return pmapped[-1]

    monkeypatch.setattr(jax, "pmap", keep)
    networks, recipe = settings.make_networks(0), settings.make_recipe()
    updates = make_parallel_update(
        *networks,
        recipe,
        parallel=settings.parallel,
        batch_size=settings.batch_size,
    )
    state = updates.replicate(init_state(*networks, recipe, 0))
    shape = (settings.steps_per_call, settings.batch_size, settings.size, settings.size)
    batches = updates.shard(np.zeros((*shape, 3), np.uint8))
    # What `pmap` returns cannot be lowered for another platform by itself.
    run: Any = jax.jit(pmapped[0]) if pmapped else updates.run
    return run.trace(state, None, batches)


# One row for each kind of update; settings of `configs/art.py` that it differs in.
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"steps_per_call": 2},
        {"dtype": "bfloat16"},
        {"loss": "minimax"},
        {"parallel": "pmap"},
        {"loss": "relativistic", "penalty": {"r1": 1.0, "r2": 1.0, "every_steps": 2}},
        {
            "loss": "hinge",
            "generator": {"resampling": "smooth", "excitation": True, "average": 0.9},
            "discriminator": {"normalisation": "spectral"},
            "augment": {"transformations": "translation", "probability": 0.5},
        },
        {"generator": {"strokes": "1x2,4x1"}},
    ],
    ids=str,
)
def test_an_update_has_xlas_own_convolutions(
    changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    traced = trace_update(gan(**changes), monkeypatch)
    check(traced, FOUR_BY_FOUR, HALVING, DOUBLING)


@pytest.mark.parametrize(("dtype", "short"), [("float32", "f32"), ("bfloat16", "bf16")])
def test_convolutions_have_the_dtype_of_the_config_and_default_precision(
    dtype: str, short: str, monkeypatch: pytest.MonkeyPatch
):
    """That is TF32 for float32 on a GPU: see docs/scale.md."""
    traced = trace_update(gan(dtype=dtype), monkeypatch)
    for platform in OTHERS:
        text = text_of(traced, platform)
        convolutions = re.findall(
            r"stablehlo\.convolution.*precision (\w+)>, .*precision (\w+)>\]} : "
            r"\(tensor<[\dx]+x(b?f\d+)>, tensor<[\dx]+x(b?f\d+)>\)",
            text,
        )
        assert len(convolutions) == text.count("stablehlo.convolution(") > 0
        assert set(convolutions) == {("DEFAULT", "DEFAULT", short, short)}


def test_samples_come_from_xlas_own_convolutions():
    settings = gan()
    generator, _ = settings.make_networks(0)
    sample: Any = latents.make_sampler(generator)
    points = jnp.zeros((2, settings.generator.latent))
    check(sample.trace(network_state(generator), points), FOUR_BY_FOUR, DOUBLING)


@pytest.mark.parametrize("keep", ["map", "place"])
def test_features_are_projected_by_xlas_own_convolutions(keep: str):
    _, discriminator = gan().make_networks(0)
    project: Any = deconvnet.make_projector(discriminator, 3, keep)
    images, features = jnp.zeros((2, 32, 32, 3)), jnp.zeros(2, int)
    traced = project.trace(network_state(discriminator), images, features)
    check(traced, FOUR_BY_FOUR, HALVING, DOUBLING)


@pytest.fixture(scope="module")
def weights() -> vgg.Weights:
    return vgg.load()


def test_vgg16_has_xlas_own_convolutions(weights: vgg.Weights):
    images = jnp.zeros((2, 32, 32, 3))
    lpips = jax.jit(vgg.lpips).trace(weights, images, images)
    check(lpips, THREE_BY_THREE, SAME_SIZE)

    def loss(images: jax.Array) -> jax.Array:
        return vgg.features(weights, images, ["relu3_3"])[0].sum()

    gradient = jax.jit(jax.grad(loss)).trace(images)
    check(gradient, THREE_BY_THREE, SAME_SIZE)


def test_features_of_metrics_have_all_digits_of_float32():
    extract: Any = feature_metrics.vgg_extractor().extract
    traced = extract.func.trace(*extract.args, jnp.zeros((2, 32, 32, 3), jnp.uint8))
    check(traced, THREE_BY_THREE, SAME_SIZE)
    check_digits(traced)


def test_neighbours_have_all_digits_of_float32():
    block = metrics._block(np.zeros((3, 4), np.float32))
    squares, indices = np.zeros((1024, 2), np.float32), np.zeros((1024, 2), np.int32)
    counts, radii = np.zeros((2, 1024), np.int32), np.zeros(1024, np.float32)
    programs = [
        metrics._merge.trace(squares, indices, block, block, 0),
        metrics._count_neighbourhoods.trace(
            counts, counts, (block, radii, radii), (block, radii)
        ),
    ]
    for traced in programs:
        check_digits(traced)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that are chosen when tracing are those of a machine with a GPU."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def trace_anew(compiled: Any, *args: Any, **known: Any) -> Traced:
    """Trace a compiled function so that nothing traced here is called on a CPU.

    Args:
        compiled: the function.
        args: its arguments.
        known: arguments that are known when compiling.
    """
    return jax.jit(lambda *args: compiled.__wrapped__(*args, **known)).trace(*args)


def painter(distance: str, **changes: Any) -> Problem:
    """Return the problem of painting a small grey picture."""
    config = runpy.run_path(str(ROOT / "configs/paint.py"))["get_config"]()
    config.strokes, config.steps, config.distance = 30, 2, distance
    config.refine_layers = ("relu1_2", "relu2_2")
    config.update(changes)
    settings = PainterSettings(**config)
    return make_problem(np.full((*PICTURE_SIDES, 3), 128, np.uint8), settings)


NUM_TILES = PICTURE_SIDES[0] * PICTURE_SIDES[1] // TILE**2


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("distance", "slope"),
    [
        ("mse", "autodiff"),
        ("mse", "finite_differences"),
        ("mse", "monte_carlo"),
        ("vgg_rounds", "autodiff"),
        pytest.param("vgg_rounds", "finite_differences", marks=pytest.mark.slow),
        pytest.param("essay", "autodiff", marks=pytest.mark.slow),
    ],
)
def test_a_stage_of_rounds_has_no_form_for_cpus(distance: str, slope: str):
    problem = painter(distance, slope=slope)
    of_level = problem.stage(20)
    args = empty_buffer(64), jax.random.key(0), jnp.int32(4), of_level
    traced = trace_anew(rounds.paint_stage, *args)
    if distance == "mse":
        check_digits(traced)
    forms = ONE_BY_ONE | (set() if distance == "mse" else THREE_BY_THREE)
    check(traced, forms, *([] if distance == "mse" else [SAME_SIZE]))
    height, width = of_level.level.weights.shape
    check_tiles(traced, -(-height // TILE) * -(-width // TILE))


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("slope", ["autodiff", "finite_differences", "monte_carlo"])
@pytest.mark.parametrize("distance", ["mse", "vgg_rounds"])
def test_all_windows_of_a_round_are_optimised_at_once(distance: str, slope: str):
    stage = painter(distance, slope=slope).stage(20)
    assert rounds.batch_size(rounds.MAX_WINDOWS, stage) == rounds.MAX_WINDOWS


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("distance", ["mse", "vgg_rounds"])
def test_a_step_of_refinement_has_no_form_for_cpus(distance: str):
    problem = painter(distance)
    objective = problem.objective(PICTURE_SIDES[0], problem.distances.half)
    state, seeds = refinement.init_state(jnp.ones((9, 8))), jnp.zeros(9)
    args = state, seeds, objective, jnp.int32(4)
    traced = trace_anew(refinement.refine, *args, count=2)
    if distance == "mse":
        check_digits(traced)
    forms = set() if distance == "mse" else THREE_BY_THREE
    check(traced, forms, *([] if distance == "mse" else [SAME_SIZE]))
    check_tiles(traced, NUM_TILES)


@pytest.mark.usefixtures("elsewhere")
def test_drawing_has_all_tiles_at_once():
    medium, planes = painter("mse").settings.medium, jnp.zeros((4, *PICTURE_SIDES))
    strokes, seeds = jnp.ones((9, 8)), jnp.zeros(9)
    drawn = planes, strokes, seeds, medium
    traced = trace_anew(painting._draw, *drawn, resolution=PICTURE_SIDES[0])
    check_tiles(traced, NUM_TILES)

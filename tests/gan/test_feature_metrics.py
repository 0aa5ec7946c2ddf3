"""Features of pictures, their cache, and metrics."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxart import inception, vgg
from jaxart.gan import feature_metrics
from jaxart.gan.networks import Discriminator
from jaxart.gan.update import network_state


LAYERS = ("relu1_2", "relu2_1")  # 64 and 128 features


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch):
    """Fifty pictures in a call are more than these tests need."""
    monkeypatch.setattr(feature_metrics, "BATCH_SIZE", 8)


@pytest.fixture(scope="module")
def extractor() -> feature_metrics.Extractor:
    return feature_metrics.vgg_extractor(LAYERS)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), np.uint8)


def failing(extractor: feature_metrics.Extractor) -> feature_metrics.Extractor:
    """The same, but it may not be called."""

    def extract(pixels: np.ndarray) -> Any:
        raise AssertionError("extracted again")

    return extractor._replace(extract=extract)


def test_features_are_means_over_positions(extractor: feature_metrics.Extractor):
    pixels = noise(3)
    rows = feature_metrics.extract_features(extractor, pixels, "").values
    assert rows.shape == (3, 64 + 128)
    for row, picture in zip(rows, pixels, strict=True):
        maps = vgg.features(vgg.load(), jnp.asarray(picture[None] / 255.0), LAYERS)
        expected = np.concatenate(
            [
                np.asarray(x[0], np.float64).reshape(-1, x.shape[-1]).mean(0)
                for x in maps
            ]
        )
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


def test_features_of_a_picture_do_not_depend_on_the_others(
    extractor: feature_metrics.Extractor,
):
    pixels = noise(feature_metrics.BATCH_SIZE + 3)
    many = feature_metrics.extract_features(extractor, pixels, "").values
    few = feature_metrics.extract_features(extractor, pixels[-3:], "").values
    assert many.shape == (feature_metrics.BATCH_SIZE + 3, 192)
    np.testing.assert_array_equal(many[-3:], few)


def test_any_number_of_pictures_is_compiled_once(extractor: feature_metrics.Extractor):
    compiled: Any = extractor.extract
    feature_metrics.extract_features(extractor, noise(2), "")
    before = compiled.func._cache_size()
    for count in (1, 7, 8, 9):
        feature_metrics.extract_features(extractor, noise(count), "")
    assert compiled.func._cache_size() == before


def test_cached_features_are_read_back(
    extractor: feature_metrics.Extractor, tmp_path: Path
):
    first = feature_metrics.extract_features(extractor, noise(4), "", tmp_path / "new")
    again = feature_metrics.extract_features(
        failing(extractor), noise(4), "", tmp_path / "new"
    )
    np.testing.assert_array_equal(first.values, again.values)
    assert first.seconds is not None
    assert first.seconds > 0
    assert again.seconds is None
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_other_pictures_and_other_layers_have_other_cache_files(
    extractor: feature_metrics.Extractor, tmp_path: Path
):
    feature_metrics.extract_features(extractor, noise(4), "", tmp_path)
    pixels = noise(4)
    pixels[3, 15, 15, 2] ^= 1
    for other in (pixels, noise(5), noise(4)[::-1], noise(4).reshape(4, 8, 32, 3)):
        with pytest.raises(AssertionError, match="extracted again"):
            feature_metrics.extract_features(failing(extractor), other, "", tmp_path)
    layers = failing(feature_metrics.vgg_extractor(LAYERS[:1]))
    with pytest.raises(AssertionError, match="extracted again"):
        feature_metrics.extract_features(layers, noise(4), "", tmp_path)


def pickled(path: Path) -> None:
    np.savez(path, rows=np.array([{"a": 1}] * 4, object))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def of_other_pictures(path: Path) -> None:
    np.savez(path, rows=np.zeros((3, 192), np.float32))


def not_finite(path: Path) -> None:
    np.savez(path, rows=np.full((4, 192), np.nan, np.float32))


@pytest.mark.parametrize("damage", [pickled, truncated, of_other_pictures, not_finite])
def test_a_damaged_cache_file_is_replaced(
    extractor: feature_metrics.Extractor, tmp_path: Path, damage: Any
):
    expected = feature_metrics.extract_features(
        extractor, noise(4), "", tmp_path
    ).values
    [path] = tmp_path.iterdir()
    damage(path)
    np.testing.assert_array_equal(
        feature_metrics.extract_features(extractor, noise(4), "", tmp_path).values,
        expected,
    )
    feature_metrics.extract_features(failing(extractor), noise(4), "", tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_cache_that_cannot_be_written_is_ignored(
    extractor: feature_metrics.Extractor, tmp_path: Path
):
    (tmp_path / "file").write_text("mine")
    rows = feature_metrics.extract_features(
        extractor, noise(4), "", tmp_path / "file"
    ).values
    np.testing.assert_array_equal(
        rows, feature_metrics.extract_features(extractor, noise(4), "").values
    )
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        (("relu3_3", "relu3_4"), "layer must be one of .*; got 'relu3_4'"),
        (("",), "layer must be one of"),
        ((), "layers must be one or more, each once"),
        (("relu3_3", "relu3_3"), "each once; got 'relu3_3,relu3_3'"),
    ],
)
def test_invalid_layers_are_refused(layers: tuple[str, ...], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        feature_metrics.vgg_extractor(layers)


def test_the_name_of_inception_depends_on_its_file_of_weights(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(inception, "load", lambda path: jnp.full((1, 3), 2.0))
    monkeypatch.setattr(
        inception, "features", lambda weights, images: images.mean((1, 2)) * weights
    )
    names = []
    for content in ("one", "other"):
        (tmp_path / content).write_text(content)
        extractor = feature_metrics.inception_extractor(tmp_path / content)
        names.append(extractor.name)
        rows = feature_metrics.extract_features(extractor, noise(2), "").values
        np.testing.assert_allclose(rows, noise(2).mean((1, 2)) / 127.5, rtol=1e-5)
    assert names[0] != names[1]


def compare(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    return feature_metrics.compare_features(real, fake, network="vgg", seed=0)


def test_the_frechet_distance_of_a_shifted_set_is_the_squared_shift():
    rows = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    shift = np.array([3, 0, 0, 4, 0, 0], np.float32)
    scalars = compare(rows, rows + shift)
    assert scalars["vgg_frechet_distance"] == pytest.approx(25, rel=1e-4)
    assert scalars["vgg_kernel_distance"] > 5 * scalars["vgg_kernel_distance_error"]
    same = compare(rows, rows)
    assert same["vgg_frechet_distance"] == pytest.approx(0, abs=1e-4)
    fractions = [same[f"vgg_{name}"] for name in ("precision", "recall", "coverage")]
    assert fractions == [1, 1, 1]
    assert set(same) == {
        f"vgg_{name}{end}"
        for name in (
            *("frechet_distance", "kernel_distance"),
            *("precision", "recall", "density", "coverage"),
        )
        for end in ("", "_error")
    }


@pytest.mark.parametrize("count", [feature_metrics.MIN_COUNT, 999, 2001])
def test_any_number_of_pictures_from_the_minimum_can_be_compared(count: int):
    rows = np.random.default_rng(0).normal(size=(2, count, 3)).astype(np.float32)
    scalars = compare(*rows)
    assert all(np.isfinite(value) for value in scalars.values())


def test_too_few_pictures_are_refused():
    rows = np.zeros((feature_metrics.MIN_COUNT - 1, 3), np.float32)
    with pytest.raises(ValueError, match="pictures must be at least 20; got 19"):
        compare(rows, rows)


def test_a_discriminator_classifies_whole_batches_by_their_own_statistics():
    discriminator = Discriminator(32, 4, dtype="float32", rngs=nnx.Rngs(0))
    pixels = np.random.default_rng(1).integers(0, 256, (19, 32, 32, 3), np.uint8)
    state = network_state(discriminator)
    real_fraction = feature_metrics.make_real_fraction(discriminator, 8)
    real, error = real_fraction(state, pixels)
    graphdef, values = nnx.split(discriminator)
    classify = jax.jit(lambda values, images: nnx.merge(graphdef, values)(images))
    logits = []
    for batch in (pixels[:8], pixels[8:16]):
        images = jnp.asarray(batch / 127.5 - 1, "float32")
        logits += list(np.asarray(classify(values, images)))
    assert real == np.mean(np.array(logits) > 0)
    assert 0 < real < 1
    is_real = np.reshape(logits, (2, 8)) > 0
    assert error == pytest.approx(abs(np.diff(is_real.mean(1))[0]) / 2)
    assert np.isnan(real_fraction(state, pixels[:15]).error)
    for before, after in zip(
        jax.tree.leaves(state),
        jax.tree.leaves(network_state(discriminator)),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)

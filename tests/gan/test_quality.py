"""Descriptions of pictures, kept by content, and what is said of them."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxart import inception, vgg
from jaxart.gan import quality
from jaxart.gan.networks import Discriminator
from jaxart.gan.update import network_state


LAYERS = ("relu1_2", "relu3_3")  # 64 and 256 numbers


@pytest.fixture(scope="module")
def extractor() -> quality.Extractor:
    return quality.vgg_extractor(LAYERS)


def noise(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), np.uint8)


def refusing(extractor: quality.Extractor) -> quality.Extractor:
    """The same, but it describes nothing any more."""

    def describe(pixels: np.ndarray) -> Any:
        raise AssertionError("described again")

    return extractor._replace(describe=describe)


def test_a_row_is_the_mean_of_each_layer(extractor: quality.Extractor):
    pixels = noise(3)
    rows = quality.described(extractor, pixels, "").rows
    assert rows.shape == (3, 64 + 256)
    for row, picture in zip(rows, pixels, strict=True):
        maps = vgg.features(vgg.load(), jnp.asarray(picture[None] / 255.0), LAYERS)
        expected = np.concatenate(
            [
                np.asarray(x[0], np.float64).reshape(-1, x.shape[-1]).mean(0)
                for x in maps
            ]
        )
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


def test_a_row_does_not_depend_on_the_others(extractor: quality.Extractor):
    pixels = noise(quality.BATCH + 3)
    many = quality.described(extractor, pixels, "").rows
    few = quality.described(extractor, pixels[-3:], "").rows
    assert many.shape == (quality.BATCH + 3, 320)
    np.testing.assert_array_equal(many[-3:], few)


def test_any_number_of_pictures_is_one_compilation(extractor: quality.Extractor):
    compiled: Any = extractor.describe
    quality.described(extractor, noise(2), "")
    before = compiled.func._cache_size()
    for count in (1, 7, quality.BATCH, quality.BATCH + 1):
        quality.described(extractor, noise(count), "")
    assert compiled.func._cache_size() == before


def test_what_was_described_is_read_back(extractor: quality.Extractor, tmp_path: Path):
    first = quality.described(extractor, noise(4), "", tmp_path / "new")
    again = quality.described(refusing(extractor), noise(4), "", tmp_path / "new")
    np.testing.assert_array_equal(first.rows, again.rows)
    assert first.seconds is not None
    assert first.seconds > 0
    assert again.seconds is None
    assert len(list((tmp_path / "new").iterdir())) == 1


def test_other_pictures_and_other_layers_are_not_taken_for_them(
    extractor: quality.Extractor, tmp_path: Path
):
    quality.described(extractor, noise(4), "", tmp_path)
    pixels = noise(4)
    pixels[3, 15, 15, 2] ^= 1
    for other in (pixels, noise(5), noise(4)[::-1], noise(4).reshape(4, 8, 32, 3)):
        with pytest.raises(AssertionError, match="described again"):
            quality.described(refusing(extractor), other, "", tmp_path)
    layers = refusing(quality.vgg_extractor(LAYERS[:1]))
    with pytest.raises(AssertionError, match="described again"):
        quality.described(layers, noise(4), "", tmp_path)


def pickled(path: Path) -> None:
    np.savez(path, rows=np.array([{"a": 1}] * 4, object))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def of_others(path: Path) -> None:
    np.savez(path, rows=np.zeros((3, 320), np.float32))


def without_numbers(path: Path) -> None:
    np.savez(path, rows=np.full((4, 320), np.nan, np.float32))


@pytest.mark.parametrize("damage", [pickled, truncated, of_others, without_numbers])
def test_a_damaged_file_is_written_anew(
    extractor: quality.Extractor, tmp_path: Path, damage: Any
):
    expected = quality.described(extractor, noise(4), "", tmp_path).rows
    [path] = tmp_path.iterdir()
    damage(path)
    np.testing.assert_array_equal(
        quality.described(extractor, noise(4), "", tmp_path).rows, expected
    )
    quality.described(refusing(extractor), noise(4), "", tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_where_nothing_can_be_kept_nothing_is(
    extractor: quality.Extractor, tmp_path: Path
):
    (tmp_path / "file").write_text("mine")
    rows = quality.described(extractor, noise(4), "", tmp_path / "file").rows
    np.testing.assert_array_equal(rows, quality.described(extractor, noise(4), "").rows)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("layers", "complaint"),
    [
        (("relu3_3", "relu3_4"), "layer must be one of .*; got 'relu3_4'"),
        (("",), "layer must be one of"),
        ((), "layers must be some, each once"),
        (("relu3_3", "relu3_3"), "each once; got 'relu3_3,relu3_3'"),
    ],
)
def test_layers_that_cannot_be_are_refused(layers: tuple[str, ...], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        quality.vgg_extractor(layers)


def test_the_file_of_inception_is_part_of_what_its_rows_depend_on(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(inception, "load", lambda path: jnp.full((1, 3), 2.0))
    monkeypatch.setattr(
        inception, "features", lambda weights, images: images.mean((1, 2)) * weights
    )
    names = []
    for content in ("one", "other"):
        (tmp_path / content).write_text(content)
        extractor = quality.inception_extractor(tmp_path / content)
        names.append(extractor.name)
        rows = quality.described(extractor, noise(2), "").rows
        np.testing.assert_allclose(rows, noise(2).mean((1, 2)) / 127.5, rtol=1e-5)
    assert names[0] != names[1]


def compared(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    return quality.compared(real, fake, network="vgg", seed=0)


def test_a_collection_that_is_shifted_is_as_far_as_the_shift():
    rows = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    shift = np.array([3, 0, 0, 4, 0, 0], np.float32)
    figures = compared(rows, rows + shift)
    assert figures["vgg_frechet_distance"] == pytest.approx(25, rel=1e-4)
    assert figures["vgg_kernel_distance"] > 5 * figures["vgg_kernel_distance_error"]
    same = compared(rows, rows)
    assert same["vgg_frechet_distance"] == pytest.approx(0, abs=1e-4)
    shares = [same[f"vgg_{name}"] for name in ("precision", "recall", "coverage")]
    assert shares == [1, 1, 1]
    assert set(same) == {
        f"vgg_{name}{end}"
        for name in (
            *("frechet_distance", "kernel_distance"),
            *("precision", "recall", "density", "coverage"),
        )
        for end in ("", "_error")
    }


@pytest.mark.parametrize("count", [quality.LEAST, 999, 2001])
def test_any_number_of_pictures_from_the_least_on_can_be_compared(count: int):
    rows = np.random.default_rng(0).normal(size=(2, count, 3)).astype(np.float32)
    figures = compared(*rows)
    assert all(np.isfinite(value) for value in figures.values())


def test_too_few_pictures_are_refused():
    rows = np.zeros((quality.LEAST - 1, 3), np.float32)
    with pytest.raises(ValueError, match="pictures must be at least 20; got 19"):
        compared(rows, rows)


def test_a_discriminator_judges_whole_batches_by_their_own_statistics():
    discriminator = Discriminator(32, 4, dtype="float32", rngs=nnx.Rngs(0))
    pixels = np.random.default_rng(1).integers(0, 256, (19, 32, 32, 3), np.uint8)
    values = network_state(discriminator)
    judge = quality.judge(discriminator, 8)
    believed, error = judge(values, pixels)
    answers = []
    for batch in (pixels[:8], pixels[8:16]):
        fresh = Discriminator(32, 4, dtype="float32", rngs=nnx.Rngs(0))
        answers += list(np.asarray(fresh(jnp.asarray(batch / 127.5 - 1, jnp.float32))))
    assert believed == np.mean(np.array(answers) > 0)
    assert 0 < believed < 1
    shares = np.reshape(answers, (2, 8)) > 0
    assert error == pytest.approx(abs(np.diff(shares.mean(1))[0]) / 2)
    assert np.isnan(judge(values, pixels[:15]).error)
    for before, after in zip(
        jax.tree.leaves(values),
        jax.tree.leaves(network_state(discriminator)),
        strict=True,
    ):
        np.testing.assert_array_equal(before, after)

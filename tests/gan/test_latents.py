from typing import get_args

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxart.gan import latents
from jaxart.gan.networks import Generator
from jaxart.gan.update import network_state


def angle(a, b):
    """Angle between two vectors, by the arc cosine in double precision."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.arccos(a @ b / np.sqrt((a @ a) * (b @ b)))


def points(count, latent=50, seed=3):
    return latents.draw(seed, 0, count, latent)


def test_a_point_depends_on_its_number_and_seed_alone():
    whole = latents.draw(5, 0, 10, latent=7)
    np.testing.assert_array_equal(latents.draw(5, 4, 3, latent=7), whole[4:7])
    assert not np.array_equal(latents.draw(6, 0, 10, latent=7), whole)


def test_points_are_normal_and_all_different():
    points = np.asarray(latents.draw(0, 0, 1000, latent=100))
    assert abs(points.mean()) < 0.02
    assert abs(points.std() - 1) < 0.02
    assert len(np.unique(points)) > 99_000


def test_a_number_names_the_point_that_is_drawn_in_its_place():
    whole = np.asarray(latents.draw(5, 0, 10, latent=7))
    found = latents.numbered(5, [9, 0, 4, 4], latent=7)
    np.testing.assert_array_equal(found, whole[[9, 0, 4, 4]])


@pytest.mark.parametrize("numbers", [[], [3, -1]])
def test_a_number_that_no_point_has_is_refused(numbers):
    with pytest.raises(ValueError, match="none negative; got"):
        latents.numbered(0, numbers, latent=3)


@pytest.mark.parametrize("way", get_args(latents.Way))
def test_each_way_ends_where_the_next_begins_and_the_last_one_at_the_first(way):
    visited = points(4)
    ways = latents.walks(visited, jnp.linspace(0, 1, 5), way, closed=True)
    assert ways.shape == (4, 5, 50)
    np.testing.assert_allclose(ways[:, 0], visited, atol=1e-5)
    np.testing.assert_allclose(ways[:, -1], np.roll(visited, -1, 0), atol=1e-5)


@pytest.mark.parametrize("way", get_args(latents.Way))
def test_an_open_walk_does_not_come_back(way):
    shares = jnp.linspace(0, 1, 5)
    closed = latents.walks(points(3), shares, way, closed=True)
    np.testing.assert_array_equal(
        latents.walks(points(3), shares, way, closed=False), closed[:2]
    )


def test_the_linear_way_is_straight_and_its_middle_the_mean():
    a, b = np.asarray(points(2))
    (way,) = latents.walks(points(2), jnp.array([0.25, 0.5]), "linear", closed=False)
    np.testing.assert_allclose(way[0], a + 0.25 * (b - a), atol=1e-6)
    np.testing.assert_allclose(way[1], np.mean([a, b], axis=0), atol=1e-6)


def test_the_spherical_way_turns_and_grows_at_a_constant_rate():
    ends = points(2) * jnp.array([[1.0], [3.0]])
    shares = jnp.linspace(0, 1, 7)
    (way,) = latents.walks(ends, shares, "spherical", closed=False)
    whole = angle(*ends)
    turned = [angle(ends[0], point) for point in way]
    np.testing.assert_allclose(turned, whole * shares, atol=1e-3)
    lengths = np.linalg.norm(ends, axis=1)
    expected = lengths[0] + (lengths[1] - lengths[0]) * shares
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), expected, rtol=1e-5)


def test_the_spherical_way_of_two_unit_vectors_is_a_circle():
    ends = jnp.eye(2, 3)
    shares = jnp.array([1 / 3, 1 / 2, 2 / 3])
    (way,) = latents.walks(ends, shares, "spherical", closed=False)
    turned = np.pi / 2 * shares
    expected = np.stack([np.cos(turned), np.sin(turned), 0 * turned], axis=1)
    np.testing.assert_allclose(way, expected, atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, -1.0, 1 + 1e-7])
def test_no_way_is_undefined_between_equal_or_opposite_points(factor):
    ends = jnp.concatenate([points(1), factor * points(1)])
    shares = jnp.linspace(0, 1, 5)
    (way,) = latents.walks(ends, shares, "spherical", closed=False)
    assert np.isfinite(way).all()
    np.testing.assert_allclose(np.asarray(way)[[0, -1]], ends, atol=1e-5)


def test_in_many_dimensions_only_the_spherical_way_keeps_its_distance():
    ends = points(2, latent=10_000)
    middle = jnp.array([0.5])
    straight, round_ = (
        np.linalg.norm(latents.walks(ends, middle, way, closed=False)) / 100
        for way in get_args(latents.Way)
    )
    assert straight == pytest.approx(np.sqrt(0.5), abs=0.02)
    assert round_ == pytest.approx(1, abs=0.02)


def test_impossible_walks_are_refused():
    shares = jnp.array([0.5])
    with pytest.raises(ValueError, match="points must be at least two; got 1"):
        latents.walks(points(1), shares, "linear", closed=True)
    with pytest.raises(ValueError, match=r"way must be one of .*; got 'zigzag'"):
        latents.walks(points(2), shares, "zigzag", closed=True)


def test_arithmetic_adds_and_subtracts_averages():
    plus, minus, to = jnp.split(points(6), [3, 5])
    expected = [
        (a + b + c) / 3 - (d + e) / 2 + f
        for a, b, c, d, e, f in zip(*plus, *minus, *to, strict=True)
    ]
    np.testing.assert_allclose(latents.arithmetic(plus, minus, to), expected, atol=1e-6)


def test_what_is_added_and_taken_away_again_leaves_the_point():
    a, b = points(1, seed=1), points(1, seed=2)
    np.testing.assert_allclose(latents.arithmetic(a, a, b), b[0])


def test_a_picture_is_the_same_however_many_are_drawn():
    generator = Generator(32, 4, 10, dtype="float32", rngs=nnx.Rngs(0))
    sampler, values = latents.sampler(generator), network_state(generator)

    def drawn(count: int) -> np.ndarray:
        numbered = latents.draw(5, 0, count, 10)
        return np.concatenate([*latents.pictures(sampler, values, numbered)])

    many = drawn(latents.BATCH + 2)
    assert many.shape == (latents.BATCH + 2, 32, 32, 3)
    np.testing.assert_array_equal(many[:3], drawn(3))
    np.testing.assert_array_equal(drawn(latents.BATCH + 9)[: len(many)], many)
    last = sampler(values, latents.draw(5, latents.BATCH + 1, 1, 10))
    np.testing.assert_allclose(many[-1:].astype(int), np.asarray(last), atol=1)

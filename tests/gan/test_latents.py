import numpy as np

from jaxart.gan import latents


def test_a_point_depends_on_its_number_and_seed_alone():
    whole = latents.draw(5, 0, 10, latent=7)
    np.testing.assert_array_equal(latents.draw(5, 4, 3, latent=7), whole[4:7])
    assert not np.array_equal(latents.draw(6, 0, 10, latent=7), whole)


def test_points_are_normal_and_all_different():
    points = np.asarray(latents.draw(0, 0, 1000, latent=100))
    assert abs(points.mean()) < 0.02
    assert abs(points.std() - 1) < 0.02
    assert len(np.unique(points)) > 99_000

"""What pictures are asked to be: classes of a dataset, and their numbers."""

import importlib.util

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxart import titles
from jaxart.gan.conditions import Conditions, find_classes
from jaxart.gan.networks import Discriminator, Generator


LABELS = [
    {"style": "Realism", "genre": "portrait"},
    {"style": "Realism", "genre": ""},
    {"style": "Baroque", "genre": "portrait"},
]
KNOWN = Conditions(("style=Baroque", "style=Realism", "genre=portrait"), False)


def test_classes_of_too_few_pictures_are_folded_and_listed():
    found = find_classes(LABELS, ["style", "genre"], min_pictures=2)
    assert found.names == ("style=Realism", "genre=portrait")
    assert found.folded == {"style=Baroque": 1}
    assert str(found) == (
        "classes: 2; unknown, for too few pictures: style=Baroque (1)"
    )


def test_labels_that_no_picture_has_are_refused():
    nothing = [{"style": ""}] * 3
    with pytest.raises(ValueError, match="none has a style that at least 2 have"):
        find_classes(nothing, ["style"], min_pictures=2)


def test_a_condition_has_a_one_for_the_class_of_each_kind_or_for_unknown():
    vectors = KNOWN.vectors([*LABELS, {"style": "Cubism", "genre": "portrait"}])
    # Unknown, Baroque, Realism; unknown, portrait.
    assert vectors.tolist() == [
        [0, 0, 1, 0, 1],
        [0, 0, 1, 1, 0],
        [0, 1, 0, 0, 1],
        [1, 0, 0, 0, 1],
    ]


def test_what_is_not_asked_for_is_drawn_by_seed_and_index_alone():
    drawn = KNOWN.draw(3, range(64), {"genre": "unknown"})
    assert (drawn[:, 3:] == [1, 0]).all()
    assert (drawn[:, 0] == 0).all()  # no picture is drawn unknown
    assert 20 < drawn[:, 1].sum() < 44  # both styles are as likely
    np.testing.assert_array_equal(
        KNOWN.draw(3, [9, 2], {"genre": "unknown"}), drawn[[9, 2]]
    )
    assert (KNOWN.draw(4, range(64), {"genre": "unknown"}) != drawn).any()


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ({"style": "Barok"}, "such as Baroque; got 'Barok'"),
        ({"artist": "Klee"}, "artist must be .*; it knows style and genre"),
        ({"title": "A storm"}, "title must be .*; it knows style and genre"),
    ],
)
def test_what_a_run_does_not_know_is_refused(asked: dict[str, str], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        KNOWN.draw(0, [0], asked)


def test_networks_begin_without_a_preference_and_learn_one():
    rngs = nnx.Rngs(0)
    options = {"condition_size": 5, "dtype": "float32", "rngs": rngs}
    discriminator = Discriminator(32, 4, normalisation="none", **options)
    images = jnp.tanh(rngs.normal((3, 32, 32, 3)))
    plain = discriminator(images)
    conditions = jnp.stack([KNOWN.vectors(LABELS), KNOWN.vectors(LABELS[::-1])])
    np.testing.assert_array_equal(discriminator(images, conditions), [plain, plain])
    kernel = rngs.normal(discriminator.condition_scores.kernel.shape)
    discriminator.condition_scores.kernel = nnx.Param(kernel)
    both = discriminator(images, conditions)
    features = discriminator.maps(images)[-1].reshape(3, -1)
    for logits, condition in zip(both, conditions, strict=True):
        expected = plain + ((features @ kernel) * condition).sum(1)
        np.testing.assert_allclose(logits, expected, rtol=1e-4)


def test_a_condition_scales_and_shifts_each_map():
    rngs = nnx.Rngs(0)
    options = {"condition_size": 5, "dtype": "float32", "rngs": rngs}
    generator = Generator(32, 4, 10, normalisation="none", **options)
    points = jnp.concatenate([rngs.normal((3, 10)), KNOWN.vectors(LABELS)], axis=1)
    before = generator(points)
    other = points.at[0, 10:].set(points[2, 10:])
    stage = generator.stages[1]
    kernel = jnp.zeros(stage.modulation.kernel.shape)
    stage.modulation.kernel = nnx.Param(kernel.at[1].set(1.0))  # for Baroque alone
    after = generator(points)
    np.testing.assert_array_equal(after[:2], before[:2])
    assert (after[2] != before[2]).any()
    assert (generator(other)[0] != after[0]).any()


def test_titles_that_mean_the_same_are_near():
    for name in ("tokenizers", "wordllama"):
        if importlib.util.find_spec(name) is None:
            pytest.skip("the extra titles is not installed")
    texts = ["a stormy sea", "shipwreck in a tempest", "", "a lady", "not text: \udcff"]
    rows = titles.embed(texts)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), [1, 1, 0, 1, 1], atol=1e-5)
    near, far = rows[0] @ rows[1], rows[0] @ rows[3]
    assert near > far + 0.05


def test_titles_without_the_extra_are_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(titles.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"pip install 'jaxart\[titles\]'"):
        titles.check_installed()

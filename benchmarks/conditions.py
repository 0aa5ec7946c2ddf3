"""Are samples what was asked for? By a classifier, or by titles.

    python benchmarks/conditions.py --digits=DIR
    python benchmarks/conditions.py --titles=DIR

`--digits` is the folder of a run with `condition.labels=digit`. A convolutional network
that never saw it learns MNIST's training digits, as pictures of the run's size, and
then names the run's samples; its accuracy on the test digits says how far to trust it.

`--titles` is the folder of a run with `condition.titles`. For each of the held-out
pictures, or of those of the dataset in `--unseen`, D's answer to the picture's own
title is ranked among those to 99 others, drawn from all titles of the training pictures
and of these: "first" is the share where it is the best of the hundred (`--among`),
"rank" the mean of ranks from 0 to 1, which chance makes 0.5. Errors are standard errors
over pictures.

Prints one JSON object on a line.
"""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import app, flags
from flax import nnx
from tqdm import tqdm

from jaxart import images
from jaxart.gan import latents, trained
from jaxart.gan.settings import Settings
from jaxart.gan.update import apply
from jaxart.paintings import digits, labels, training_data


_DIGITS = flags.DEFINE_string("digits", None, "folder of a run by digit")
_TITLES = flags.DEFINE_string("titles", None, "folder of a run by title")
_COUNT = flags.DEFINE_integer("count", 1000, "samples", lower_bound=10)
_AMONG = flags.DEFINE_integer("among", 100, "titles to rank", lower_bound=2)
_UNSEEN = flags.DEFINE_string(
    "unseen", None, "folder of a dataset whose pictures the run of titles never saw"
)
_STEPS = flags.DEFINE_integer("steps", 1500, "updates of the classifier", lower_bound=1)
_BATCH = 64


class Classifier(nnx.Module):
    """Three strided convolutions and a linear layer: grey pictures to ten logits."""

    def __init__(self, size: int, rngs: nnx.Rngs):
        def conv(i: int, o: int) -> nnx.Conv:
            return nnx.Conv(i, o, (5, 5), strides=2, rngs=rngs)

        self.layers = nnx.List([conv(1, 16), conv(16, 32), conv(32, 64)])
        self.out = nnx.Linear(64 * (size // 8) ** 2, 10, rngs=rngs)

    def __call__(self, pixels: jax.Array) -> jax.Array:
        """Return logits of pictures, uint8."""
        x = images.to_images(pixels).mean(axis=-1, keepdims=True)
        for layer in self.layers:
            x = nnx.relu(layer(x))
        return self.out(x.reshape(len(x), -1))


def train_classifier(data: digits.Digits, size: int) -> Classifier:
    """Return a classifier that has learned the training digits."""
    model = Classifier(size, nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.adam(1e-3), wrt=nnx.Param)

    @nnx.jit
    def update(model: Classifier, optimizer: Any, pixels: jax.Array, names: jax.Array):
        def loss(model: Classifier) -> jax.Array:
            logits = model(pixels)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, names)
            return losses.mean()

        optimizer.update(model, nnx.grad(loss)(model))

    rng = np.random.default_rng(0)
    for _ in tqdm(range(_STEPS.value), "classifier", leave=False):
        records = [data[int(i)] for i in rng.integers(len(data), size=_BATCH)]
        pixels = np.stack([record["pixels"] for record in records])
        names = np.array([record["label"] for record in records])
        update(model, optimizer, jnp.asarray(pixels), jnp.asarray(names))
    return model


def accuracy(model: Classifier, pixels: np.ndarray, names: np.ndarray) -> float:
    """Return the share of pictures that the classifier names so."""
    classify = nnx.jit(lambda model, pixels: model(pixels).argmax(-1))
    parts = [
        np.asarray(classify(model, pixels[at : at + _BATCH]))
        for at in range(0, len(pixels), _BATCH)
    ]
    return float((np.concatenate(parts) == names).mean())


def by_digit(workdir: str) -> dict[str, Any]:
    """Return how many samples are the digits that were asked for."""
    generator = trained.restore_generator(workdir)
    settings = generator.settings
    size, data_dir = settings.size, settings.data.data_dir
    where = training_data.data_dir_or_default(data_dir)
    model = train_classifier(digits.open_digits(where, size=size), size)
    test = digits.open_digits(where, size=size, split="test")
    records = [test[index] for index in range(len(test))]
    pixels = np.stack([record["pixels"] for record in records])
    names = np.array([record["label"] for record in records])
    asked = [str(n % 10) for n in range(_COUNT.value)]
    points = [
        latents.sample_points(settings, 0, [index], {"digit": name})
        for index, name in enumerate(asked)
    ]
    sampler = latents.make_sampler(generator.network)
    samples = latents.sample_pictures(sampler, generator.state, np.concatenate(points))
    samples = np.concatenate([*samples])
    return {
        "step": generator.step,
        "samples": _COUNT.value,
        "as_asked": accuracy(model, samples, np.array(asked, int)),
        "classifier": accuracy(model, pixels, names),
    }


def middle(pixels: np.ndarray, size: int) -> np.ndarray:
    """Return the crop from the middle of a picture."""
    top, left = ((side - size) // 2 for side in pixels.shape[:2])
    return pixels[top : top + size, left : left + size]


def read_titled(settings: Settings) -> tuple[np.ndarray, list[str], list[str]]:
    """Return crops that a run never saw, their titles, and titles to rank.

    Pictures without a title are left out.
    """
    data = settings.data
    of_training = labels.read(data.name, data.data_dir, [labels.TITLE])
    splits = [True]
    if _UNSEEN.value is not None:
        settings, splits = settings.with_data(data_dir=_UNSEEN.value), [False, True]
    crops, titles = [], []
    for held_out in splits:
        records = training_data.open_records(settings, held_out=held_out)
        known = labels.read(
            data.name, settings.data.data_dir, [labels.TITLE], held_out=held_out
        )
        crops += [middle(record["pixels"], settings.size) for record in records]
        titles += [each[labels.TITLE] for each in known]
    every = {*titles, *(each[labels.TITLE] for each in of_training)} - {""}
    titled = [place for place, title in enumerate(titles) if title]
    return (
        np.stack([crops[place] for place in titled]),
        [titles[place] for place in titled],
        sorted(every),
    )


def by_title(workdir: str) -> dict[str, Any]:
    """Return how well D finds the title of a picture that it never saw."""
    discriminator = trained.restore_discriminator(workdir)
    settings = discriminator.settings
    pixels, titles, every = read_titled(settings)
    if len(every) < _AMONG.value:
        raise app.UsageError(
            f"among must be at most {len(every)}, the titles there are"
        )
    known = settings.condition.known
    vectors = known.vectors([{labels.TITLE: title} for title in every])
    graphdef = nnx.graphdef(nnx.view(discriminator.network, use_running_average=True))
    stacked = jnp.asarray(vectors)[:, None].repeat(len(pixels), axis=1)
    logits, _ = apply(
        graphdef, discriminator.state, images.to_images(pixels), stacked
    )  # [titles, pictures]
    rng = np.random.default_rng(0)
    first, ranks = [], []
    for answers, title in zip(np.asarray(logits).T, titles, strict=True):
        own = every.index(title)
        others = np.delete(answers, own)
        others = rng.choice(others, size=_AMONG.value - 1, replace=False)
        better, equal = ((others > answers[own]).sum(), (others == answers[own]).sum())
        # Among equals, the right one is as likely first as any other.
        first.append(0 if better else 1 / (1 + equal))
        ranks.append((better + equal / 2) / (_AMONG.value - 1))
    error = np.sqrt(len(pixels))
    return {
        "step": discriminator.step,
        "pictures": len(pixels),
        "titles": len(every),
        "first": float(np.mean(first)),
        "first_error": float(np.std(first) / error),
        "first_by_chance": 1 / _AMONG.value,
        "rank": float(np.mean(ranks)),
        "rank_error": float(np.std(ranks) / error),
    }


def main(_: list[str]) -> None:
    """Measure what was asked for."""
    if _DIGITS.value is not None:
        print(json.dumps(by_digit(_DIGITS.value)))
    if _TITLES.value is not None:
        print(json.dumps(by_title(_TITLES.value)))


if __name__ == "__main__":
    app.run(main)

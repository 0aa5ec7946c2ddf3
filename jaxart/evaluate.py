"""Measure how good a model is: `python -m jaxart.evaluate --workdir=DIR`.

Prints one JSON object. Samples are compared with crops of the training pictures; so are
other real crops, the floor, which a perfect model would reach, and noise, random
pixels. The metrics are of features of VGG16, hence their names, and depend on `count`:
compare only those of the same dataset, layers and count with each other.

The errors are those of drawing crops and samples from the given pictures. Crops of one
picture are not independent: for other pictures of the same kind, the errors are several
times too small where there are few pictures.

`discriminator_accuracy` shows over-fitting: a discriminator that has memorised the
training pictures classifies them as real, and those that were held out as fake. It uses
the statistics of its batch, which depend on how many pictures the crops are of; so they
are of as many training pictures, chosen at random, as were held out. The errors are
over batches, null if there is only one. The accuracy itself is null with the
relativistic loss, and for runs with conditions.

`checkerboard` compares the spectra at periods of 2 and 4 pixels with those of the
crops; see `jaxart/spectra.py`. `copies` is the share of pictures that are nearer to a
crop, by features of VGG16, than 99 % of the held-out crops are; null if no pictures
were held out.

Of a run with conditions, samples are asked to be what the training pictures are; with
`--style=NAME` and the like, crops and samples are those of the class. A run without
conditions can be compared with the crops of a class, too.

`seconds` are those of drawing the samples, of cutting all crops, and for each network
of extracting the features of each set, null if they were cached, and of comparing the
samples with the crops. All sets are in memory, at size 64 about 12 kB a picture of six
sets: 0.7 GB at 10,000.

Source: Beyers and Loane, section 5, who judge by eye; `jaxart/metrics.py`.
"""

import json
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np

from jaxart import arguments, command
from jaxart.gan import evaluation, feature_metrics, run_dir, trained
from jaxart.paintings import evaluation_crops, training_data
from jaxart.validation import MAX_COUNT, FilePath, Range, Seed, validate


def main(
    workdir: arguments.Workdir,
    count: Annotated[int, "how many samples, and crops to compare them with"] = 10_000,
    seed: Annotated[int, "of the samples and of the crops"] = 0,
    step: arguments.Step = None,
    weights: arguments.Weights = None,
    layers: Annotated[str, "of VGG16, set side by side"] = ",".join(
        feature_metrics.LAYERS
    ),
    floor: Annotated[
        Literal["train", "held_out"], "where the other real crops come from"
    ] = "train",
    nearest: Annotated[
        FilePath | None, "FILE.png for samples, each with its nearest training crops"
    ] = None,
    inception_weights: Annotated[
        FilePath | None, "pt_inception-2015-12-05-6726825d.pth, to find FID as well"
    ] = None,
    data_dir: arguments.DataDir = None,
    style: arguments.Style = None,
    genre: arguments.Genre = None,
    artist: arguments.Artist = None,
    digit: arguments.Digit = None,
) -> None:
    """Restore a checkpoint and measure how good its samples are."""
    timer = evaluation.Timer()
    validate(
        "count", count, Annotated[int, Range(feature_metrics.MIN_COUNT, MAX_COUNT)]
    )
    validate("seed", seed, Seed)
    if nearest is not None:
        arguments.check_out("nearest", nearest, (".png",))
    extractors = {"vgg": feature_metrics.vgg_extractor(layers.split(","))}
    if inception_weights is not None:
        extractors["inception"] = feature_metrics.inception_extractor(inception_weights)
    settings = run_dir.read_settings(workdir)
    size, data = settings.size, settings.data
    data_dir = training_data.data_dir_or_default(
        data.data_dir if data_dir is None else data_dir
    )
    splits = evaluation_crops.open_splits(
        data.name, data_dir, source=data.source, size=size, floor=floor
    )
    generator = trained.restore_generator(workdir, step, weights)
    conditions = None
    asked = arguments.asked(style=style, genre=genre, artist=artist, digit=digit)
    known = settings.condition.known
    if known.size:
        known.check(asked)
    if known.size or asked:
        splits, found = evaluation_crops.of_classes(
            splits,
            data.name,
            data_dir,
            known.kinds or [*asked],
            partial(known.include, asked),
            floor=floor,
        )
        conditions = known.vectors(found) if known.size else None
    # Of the same step, even if the run saves another one meanwhile.
    discriminator = trained.restore_discriminator(workdir, str(generator.step))
    timer.lap()
    samples = evaluation.sample(generator, count, seed, conditions)
    seconds: dict[str, Any] = {"draw": timer.lap()}
    crops = evaluation_crops.cut(splits, size=size, count=count, seed=seed, floor=floor)
    seconds["cut"] = timer.lap()
    noise = np.random.default_rng(seed).integers(0, 256, samples.shape, np.uint8)
    sets = evaluation.PictureSets(
        crops.real, samples, crops.floor, noise, crops.held_out
    )
    features = {}
    for network, extractor in extractors.items():
        features[network], seconds[network] = evaluation.extract(
            network, extractor, sets, feature_metrics.cache_dir(data_dir)
        )
    if nearest is not None:
        evaluation.save_nearest(nearest, sets, features["vgg"])
    scalars = evaluation.compare_sets(features, seed, seconds)
    spectra = evaluation.compare_spectra(sets)
    copies = evaluation.count_copies(features["vgg"])
    scalars = {name: scalars[name] | spectra[name] | copies[name] for name in scalars}
    accuracy = evaluation.accuracy(discriminator, crops.train, crops.held_out, samples)
    result = {
        "step": generator.step,
        "count": count,
        "dataset": data.name,
        "pictures": {name: len(split) for name, split in splits._asdict().items()},
        "layers": layers.split(","),
        **scalars["samples"],
        "floor": {"split": floor, **scalars["floor"]},
        "noise": scalars["noise"],
        "discriminator_accuracy": accuracy,
        "seconds": seconds | {"total": timer.total()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    command.run(main)

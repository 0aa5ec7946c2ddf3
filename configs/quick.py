"""The recipe of `best.py`, cut short: a laptop's CPU shows a result in a few minutes.

Source: `best.py`. 3,000 updates; the average of the weights is shorter, since there are
fewer of them, and distances are not measured on the way. The generator's resampling is
`smooth`, which came further in as many updates (docs/quality.md).
Command: `python -m jaxart.train --config=configs/quick.py --workdir=runs/quick`
Measured on two cores of an AMD EPYC, 28 November 2026, on the synthetic paintings:
Fréchet distance of 1,000 samples 745 ± 9 (with `strided` resampling 1,048 ± 11; other
crops 92). README.md has the minutes.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.size = 64  # side of the pictures, in pixels
    config.batch_size = 16
    config.steps = 3_000
    config.loss = "relativistic"  # or "non_saturating", "minimax", "hinge"
    config.parallel = "jit"  # or "pmap"
    config.steps_per_call = 1  # updates done in one compiled call
    config.dtype = "float32"  # of the products; or "bfloat16"
    config.data = ConfigDict(
        {
            "name": "paintings",  # or "mnist", "synthetic"
            "data_dir": "",  # where the dataset is; empty: TFDS's own folder
            "source": "",  # a folder with the files that a dataset is made from
            "workers": 0,  # processes that read ahead; 0: a thread
            "on_device": "auto",  # all pictures in device memory; or True, False
            "mirrored": True,  # half of the crops, left to right
        }
    )
    # What pictures may be asked for: labels of the dataset.
    config.condition = ConfigDict(
        {
            "labels": "",  # of "style,genre,artist", or "digit"; "": none
            "titles": False,  # of the pictures; needs the extra `titles`
            "min_pictures": 20,  # of a class; a smaller one is unknown
            "mismatch": 1.0,  # weight of pictures with others' labels, as fakes
        }
    )
    config.generator = ConfigDict(
        {
            "width": 32,
            "latent": 100,
            "normalisation": "batch",  # or "none"
            "resampling": "smooth",  # or "strided"
            "excitation": False,  # the smallest map scales the largest
            "strokes": "",  # grids of cells, strokes of each; "": pixels
            "brush": "soft",  # that strokes are drawn with
            "palette": "colours",  # of strokes; or "chalk": greys on black
            "average": 0.998,  # decay of the average of its weights; 0: none
        }
    )
    config.discriminator = ConfigDict(
        {
            "width": 32,
            "normalisation": "none",  # or "batch", "spectral"
            "resampling": "strided",  # or "smooth"
            "learning_rate_ratio": 1.0,  # its learning rate over the generator's
        }
    )
    # Of D's gradient at real (r1) and fake (r2) pictures.
    config.penalty = ConfigDict({"r1": 0.1, "r2": 0.1, "every_steps": 4})
    # Of what D sees: of "colour,translation,cutout"; each with this probability, which
    # with a target above 0 follows the sign of D's answers.
    config.augment = ConfigDict(
        {"transformations": "", "probability": 0.0, "adaptive_target": 0.0}
    )
    config.optimizer = ConfigDict(
        {"learning_rate": 3e-4, "b1": 0.0, "b2": 0.99, "eps": 1e-8}
    )
    config.checkpoints = ConfigDict(
        {"every_steps": 1_000, "keep": 1, "keep_every_steps": 10_000}
    )
    config.samples = ConfigDict({"every_steps": 200, "count": 64})
    # Fréchet distance of samples, by VGG16; the best checkpoint is kept. 0: never.
    config.evaluate = ConfigDict({"every_steps": 0, "count": 1000})
    config.log = ConfigDict({"every_steps": 20})
    return config

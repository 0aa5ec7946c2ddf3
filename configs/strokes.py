"""A generator that paints: the recipe of `best.py`, with strokes for pixels.

Source: `best.py`; `jaxart/gan/strokes.py` says how the strokes are told. G learns
faster than D, and the penalties are stronger: with those of `best.py` there were fewer
faces.
Command: `python -m jaxart.train --config=configs/strokes.py --workdir=DIR`
Measured on 393 paintings prepared with `--pixels=6400`, and with adaptive augmentation,
two cores of an AMD EPYC, 28 November 2026: 34,000 updates, about 50 minutes where
nothing else runs, Fréchet distance of 1,000 samples 648, with seed 1 660 (other crops
47); docs/strokes.md has the command. The last 36,000 updates have not been run.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.size = 64  # side of the pictures, in pixels
    config.batch_size = 16
    config.steps = 70_000
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
            "strokes": "1x8,4x2,8x2,16x2",  # cells, strokes of each; "": pixels
            "brush": "soft",  # that strokes are drawn with
            "palette": "colours",  # of strokes; or "chalk": greys on black
            "average": 0.999,  # decay of the average of its weights; 0: none
        }
    )
    config.discriminator = ConfigDict(
        {
            "width": 32,
            "normalisation": "none",  # or "batch", "spectral"
            "resampling": "strided",  # or "smooth"
            "learning_rate_ratio": 0.4,  # its learning rate over the generator's
        }
    )
    # Of D's gradient at real (r1) and fake (r2) pictures.
    config.penalty = ConfigDict({"r1": 1.0, "r2": 1.0, "every_steps": 4})
    # Of what D sees: of "colour,translation,cutout"; each with this probability, which
    # with a target above 0 follows the sign of D's answers.
    config.augment = ConfigDict(
        {"transformations": "", "probability": 0.0, "adaptive_target": 0.0}
    )
    config.optimizer = ConfigDict(
        {"learning_rate": 6e-4, "b1": 0.0, "b2": 0.99, "eps": 1e-8}
    )
    config.checkpoints = ConfigDict(
        {"every_steps": 5_000, "keep": 3, "keep_every_steps": 20_000}
    )
    config.samples = ConfigDict({"every_steps": 1_000, "count": 64})
    # Fréchet distance of samples, by VGG16; the best checkpoint is kept. 0: never.
    config.evaluate = ConfigDict({"every_steps": 5_000, "count": 1000})
    config.log = ConfigDict({"every_steps": 100})
    return config

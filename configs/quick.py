"""The same recipe, small: a laptop's CPU shows a result in about three minutes.

Source: `art.py`. Width 16 for 128, batches of 64 for 128, and a learning rate that is
as much larger as the networks are narrower: Adam moves every weight by the learning
rate, and the sum over fewer channels moves by less.
Command: `python -m jaxart.train --config=configs/quick.py --workdir=runs/quick`
Measured on two cores of an AMD EPYC, 27 November 2026: 655 images/s, three minutes with
installation and the drawing of the paintings. Palettes and soft masses under a
checkerboard; no subjects yet.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.size = 64  # side of the pictures, in pixels
    config.batch_size = 64
    config.steps = 1_000
    config.loss = "non_saturating"  # or "minimax", "hinge", "relativistic"
    config.parallel = "jit"  # or "pmap"
    config.steps_per_call = 1  # updates done in one compiled call
    config.dtype = "float32"  # or "bfloat16"; docs/scale.md says what it means
    config.data = ConfigDict(
        {
            "name": "paintings",  # or "mnist", "synthetic"
            "data_dir": "",  # where the dataset is; empty: TFDS's own folder
            "source": "",  # a folder with the files that a dataset is made from
            "workers": 0,  # processes that read ahead; 0: a thread
            "on_device": "auto",  # all pictures in device memory; or True, False
            "mirrored": False,  # half of the crops, left to right
        }
    )
    config.generator = ConfigDict(
        {
            "width": 16,
            "latent": 100,
            "normalisation": "batch",  # or "none"
            "resampling": "strided",  # or "smooth"
            "excitation": False,
            "average": 0.0,  # decay of the average of its weights; 0: none
        }
    )
    config.discriminator = ConfigDict(
        {
            "width": 16,
            "normalisation": "batch",  # or "none", "spectral"
            "resampling": "strided",  # or "smooth"
            "learning_rate_ratio": 1.0,  # its learning rate over the generator's
        }
    )
    # Of D's gradient at real (r1) and fake (r2) pictures.
    config.penalty = ConfigDict({"r1": 0.0, "r2": 0.0, "every_steps": 1})
    # Of what D sees: of "color,translation,cutout"; each with this probability, which
    # with a target above 0 follows the sign of D's answers.
    config.augment = ConfigDict(
        {"transformations": "", "probability": 0.0, "adaptive_target": 0.0}
    )
    config.optimizer = ConfigDict(
        {"learning_rate": 8e-4, "b1": 0.5, "b2": 0.999, "eps": 1e-8}
    )
    config.checkpoints = ConfigDict(
        {"every_steps": 500, "keep": 1, "keep_every_steps": 10_000}
    )
    config.samples = ConfigDict({"every_steps": 100, "count": 64})
    # Fréchet distance of samples, by VGG16; the best checkpoint is kept. 0: never.
    config.evaluate = ConfigDict({"every_steps": 0, "count": 1000})
    config.log = ConfigDict({"every_steps": 20})
    return config

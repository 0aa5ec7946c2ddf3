"""The paper's proof of concept: the same networks on handwritten digits.

Source: Beyers and Loane, section 3.1.
Command: `python -m jaxart.train --config=configs/mnist.py --workdir=DIR`
Measured at width 32 for two epochs; README.md shows the result. Narrower networks need
a learning rate as much larger (4e-4 at width 32): with 1e-4, D had won by update 500
(its loss 0.001) and G's samples were all the same grey. The whole of it (width 128, 15
epochs) has not been run.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.size = 64  # side of the pictures, in pixels
    config.batch_size = 128
    config.steps = 7_031  # 15 epochs of 60,000 digits
    config.loss = "non_saturating"  # or "minimax", "hinge", "relativistic"
    config.parallel = "jit"  # or "pmap"
    config.steps_per_call = 1  # updates done in one compiled call
    config.dtype = "float32"  # or "bfloat16"; docs/scale.md says what it means
    config.data = ConfigDict(
        {
            "name": "mnist",  # or "paintings", "synthetic"
            "data_dir": "",  # where the dataset is; empty: TFDS's own folder
            "source": "",  # the folder of the four idx files; empty: download them
            "workers": 0,  # processes that read ahead; 0: a thread
            "on_device": "auto",  # all pictures in device memory; or True, False
            "mirrored": False,  # half of the crops, left to right
        }
    )
    # What pictures may be asked for: labels of the dataset.
    config.condition = ConfigDict(
        {
            "labels": "",  # of "style,genre,artist", or "digit"; "": none
            "titles": False,  # of the pictures; needs the extra `titles`
            "min_pictures": 20,  # of a class; a smaller one is unknown
            "mismatch": 0.0,  # weight of pictures with others' labels, as fakes
        }
    )
    config.generator = ConfigDict(
        {
            "width": 128,
            "latent": 100,
            "normalisation": "batch",  # or "none"
            "resampling": "strided",  # or "smooth"
            "excitation": False,  # the smallest map scales the largest
            "strokes": "",  # grids of cells, strokes of each; "": pixels
            "brush": "soft",  # that strokes are drawn with
            "palette": "colours",  # of strokes; or "chalk": greys on black
            "average": 0.0,  # decay of the average of its weights; 0: none
        }
    )
    config.discriminator = ConfigDict(
        {
            "width": 128,
            "normalisation": "batch",  # or "none", "spectral"
            "resampling": "strided",  # or "smooth"
            "learning_rate_ratio": 1.0,  # its learning rate over the generator's
        }
    )
    # Of D's gradient at real (r1) and fake (r2) pictures.
    config.penalty = ConfigDict({"r1": 0.0, "r2": 0.0, "every_steps": 1})
    # Of what D sees: of "colour,translation,cutout"; each with this probability, which
    # with a target above 0 follows the sign of D's answers.
    config.augment = ConfigDict(
        {"transformations": "", "probability": 0.0, "adaptive_target": 0.0}
    )
    config.optimizer = ConfigDict(
        {"learning_rate": 1e-4, "b1": 0.5, "b2": 0.999, "eps": 1e-8}
    )
    config.checkpoints = ConfigDict(
        {"every_steps": 500, "keep": 3, "keep_every_steps": 10_000}
    )
    config.samples = ConfigDict({"every_steps": 500, "count": 64})
    # Fréchet distance of samples, by VGG16; the best checkpoint is kept. 0: never.
    config.evaluate = ConfigDict({"every_steps": 0, "count": 1000})
    config.log = ConfigDict({"every_steps": 50})
    return config

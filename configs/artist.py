"""An artist: a small network that knows where the next stroke goes.

Source: ctmakro, "Training of Artists", for the wish; our own way to it.
Command: `python -m jaxart.train_artist --config=configs/artist.py --workdir=DIR
--out=artist.safetensors`
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.data = "paintings"  # a prepared dataset, or "synthetic"; or "folder"
    config.folder = ""  # of pictures, for "folder"
    config.data_dir = ""  # of the prepared dataset; "" for TFDS's own
    config.side = 256  # of the squares that are painted, in pixels

    config.brush = "soft"
    config.hypotheses = 512
    config.hidden = 48

    config.periods = 10  # of training: paintings, updates, a checkpoint
    config.pictures = 12  # painted in each
    config.strokes = 400  # of each of these
    config.windows = 100  # cut out of each, at most
    config.updates = 60
    config.batch_size = 24  # windows
    config.candidates = 3  # hypotheses drawn in each window
    config.perceptual_share = 0.5  # of VGG16's features, beside the squared error
    config.stroke_rate = 0.02  # learning rate of the hypotheses
    config.network_rate = 0.0002
    config.vgg_weights = ""  # a file; "" for the installed ones
    return config

"""A picture, painted stroke by stroke.

Source: ctmakro, "Training of Artists": strokes of eight parameters, placed where the
error is large, optimised, and accepted if the painting comes closer to the picture.
Command: `python -m jaxart.paint PICTURE --config=configs/paint.py --out=painting.png`
Measured on the essay's flower, 512x512, on two cores of an AMD EPYC, 28 November 2026:
29.68 dB, 13 s for the whole command; with `distance` "vgg" 28.69 dB in 52 s, and 18 %
less LPIPS by VGG16's features.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = ConfigDict()
    config.seed = 0
    config.strokes = 1_000
    config.brush = "soft"
    config.pigment = "rgb"  # or "absorbance"
    config.ground = (0.8, 0.8, 0.8)  # colour of the empty canvas, sRGB

    config.distance = "mse"  # or "vgg", "vgg_rounds", "essay"
    config.emphasis = False  # of errors that stand out from those around them
    config.layers = ("relu1_2",)  # for "vgg_rounds", of each stroke
    config.refine_layers = ("relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3")
    config.shares = (0.005, 0.03, 0.006)  # of each layer: in rounds, then as below
    config.vgg_weights = ""  # a file; "" for the installed ones

    # Gradients; or "finite_differences", "monte_carlo", "artist", "artist+autodiff"
    config.slope = "autodiff"
    config.steps = 16  # of the optimisation of a stroke
    config.artist = ""  # a file; "" for the one that comes with jaxart
    config.refine = 200  # steps of all strokes together
    config.refine_half = 20  # steps after those, for "vgg", at half size
    config.refine_whole = 30  # steps after those, at both sizes
    config.prune = 0.2  # share of strokes that is replaced after each 30 steps

    config.psnr = 0.0  # decibels at which to stop; 0 for no such end
    config.seconds = 0.0  # seconds after which to stop; 0 for no such end
    return config

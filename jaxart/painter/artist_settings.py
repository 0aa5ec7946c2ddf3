"""Settings of the training of an artist, and their allowed values."""

from dataclasses import dataclass
from typing import Annotated

from jaxart.drawing.brushes import BRUSHES
from jaxart.painter.artist import MAX_HIDDEN
from jaxart.painter.settings import Settings
from jaxart.validation import MAX_COUNT, FilePath, OneOf, Range, Seed, Validated


GRID = 1_666  # hypotheses that those of an artist are chosen from
MAX_SIDE = 1_024  # of the pictures that are painted in training, in pixels

Share = Annotated[float, Range(0, 1)]
Count = Annotated[int, Range(1, MAX_COUNT)]
Rate = Annotated[float, Range(0)]


@dataclass(frozen=True)
class ArtistSettings(Validated):
    """How an artist is trained.

    Args:
        seed: of everything random.
        data: "folder", or the name of a prepared dataset.
        folder: of pictures, for "folder".
        data_dir: of the prepared dataset; "" for TFDS's own.
        side: of the squares that are cut out of pictures and painted, in pixels.
        brush: name of one of `brushes.BRUSHES`.
        hypotheses: of the artist.
        hidden: units of the network that weighs them.
        periods: of training. Each begins with paintings, and ends with a checkpoint.
        pictures: that are painted in each.
        strokes: of each of these.
        windows: that are cut out of each, at most.
        updates: in each period.
        batch_size: windows of an update.
        candidates: hypotheses that are drawn in each window.
        perceptual_share: weight of VGG16's features; the rest is squared error's.
        stroke_rate: learning rate of the hypotheses, in their units.
        network_rate: learning rate of the network.
        vgg_weights: file of VGG16's weights; "" for those that are installed.

    Raises:
        ValueError: a value is out of range.
    """

    seed: Seed
    data: str
    folder: FilePath
    data_dir: FilePath
    side: Annotated[int, Range(64, MAX_SIDE)]
    brush: Annotated[str, OneOf(tuple(BRUSHES))]
    hypotheses: Annotated[int, Range(1, GRID)]
    hidden: Annotated[int, Range(1, MAX_HIDDEN)]
    periods: Count
    pictures: Count
    strokes: Annotated[int, Range(1, 10_000)]
    windows: Count
    updates: Count
    batch_size: Count
    candidates: Count
    perceptual_share: Share
    stroke_rate: Rate
    network_rate: Rate
    vgg_weights: FilePath

    def __post_init__(self) -> None:
        """Check the values, alone and together."""
        super().__post_init__()
        if self.candidates > self.hypotheses:
            raise ValueError(
                f"candidates must be at most the {self.hypotheses} hypotheses; "
                f"got {self.candidates}"
            )

    def painter(self, seed: int) -> Settings:
        """Return the settings of a painting of the training."""
        return Settings(
            strokes=self.strokes,
            seed=seed,
            brush=self.brush,
            pigment="rgb",
            ground=(0.8, 0.8, 0.8),
            distance="mse",
            emphasis=False,
            layers=(),
            refine_layers=(),
            shares=(0.0, 0.0, 0.0),
            vgg_weights="",
            slope="autodiff",
            steps=4,
            artist="",
            refine=0,
            refine_half=0,
            refine_whole=0,
            prune=0.0,
            psnr=0.0,
            seconds=0.0,
        )

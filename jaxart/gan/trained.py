"""The networks of a run, as one of its checkpoints has them."""

from collections.abc import Callable
from contextlib import closing
from typing import Any, NamedTuple

from flax import nnx

from jaxart.checkpoints import Checkpoints, read_config
from jaxart.command import Config
from jaxart.gan.networks import Discriminator, Generator
from jaxart.gan.update import Player, player


class Trained(NamedTuple):
    """A network that has learned.

    Args:
        network: a `Generator` or `Discriminator`, of which only the structure counts.
        player: what it learned.
        config: of its run.
        step: updates done until then.
    """

    network: Any
    player: Player
    config: Config
    step: int


def generator(workdir: str, step: str | None = None) -> Trained:
    """Restore the generator of a run.

    Args:
        workdir: folder of the run.
        step: which checkpoint: a number, "best"; None for the latest.

    Raises:
        ValueError: there is no run, or no such checkpoint, or it is damaged.
    """

    def untrained(config: Config) -> Generator:
        return Generator(
            config.size, **config.generator, dtype=config.dtype, rngs=nnx.Rngs(0)
        )

    return _restored(workdir, step, "generator", untrained)


def discriminator(workdir: str, step: str | None = None) -> Trained:
    """Restore the discriminator of a run; arguments and errors as for `generator`."""

    def untrained(config: Config) -> Discriminator:
        return Discriminator(
            config.size, **config.discriminator, dtype=config.dtype, rngs=nnx.Rngs(0)
        )

    return _restored(workdir, step, "discriminator", untrained)


def _restored(
    workdir: str, step: str | None, part: str, untrained: Callable[[Config], nnx.Module]
) -> Trained:
    config = read_config(workdir)
    network = untrained(config)
    with closing(Checkpoints(workdir)) as checkpoints:
        at = checkpoints.find(step)
        restored = checkpoints.restore(at, {part: player(network)})[part]
    return Trained(network, restored, config, at)

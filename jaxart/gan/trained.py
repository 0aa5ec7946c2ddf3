"""Generator and discriminator restored from a run's checkpoint."""

from contextlib import closing
from typing import Any, NamedTuple

from flax import nnx

from jaxart.checkpoints import Checkpoints
from jaxart.gan import run_dir
from jaxart.gan.settings import Settings, flatten
from jaxart.gan.update import NetworkState, network_state


# Settings that the shapes of the networks depend on.
SHAPES = ("size", "generator.", "discriminator.")


class TrainedNetwork(NamedTuple):
    """A network and its values at some step of a run."""

    # A `Generator` or `Discriminator`; only its structure is used, and values are in
    # the state.
    network: Any
    state: NetworkState  # its parameters and batch statistics
    settings: Settings  # of its run
    step: int  # updates done until then


def restore_generator(workdir: str, step: str | None = None) -> TrainedNetwork:
    """Restore the generator of a run at a step: its number, "best", or the latest.

    Raises:
        ValueError: there is no run, or no such checkpoint, or it is damaged.
    """
    settings = run_dir.read_settings(workdir)
    network = settings.make_generator(nnx.Rngs(0))
    return _restored(workdir, step, "generator", network, settings)


def restore_discriminator(workdir: str, step: str | None = None) -> TrainedNetwork:
    """Restore the discriminator of a run, likewise.

    Arguments and errors are those of `restore_generator`.
    """
    settings = run_dir.read_settings(workdir)
    network = settings.make_discriminator(nnx.Rngs(0))
    return _restored(workdir, step, "discriminator", network, settings)


def start_from(origin: run_dir.Origin, settings: Settings) -> dict[str, NetworkState]:
    """Return the networks that a run begins with.

    Args:
        origin: another run's checkpoint.
        settings: of the run that begins.

    Returns:
        The fields `generator` and `discriminator` of its `TrainState`.

    Raises:
        ValueError: the other run's networks have other shapes than this one's, or there
            is no such checkpoint, or it is damaged.
    """
    old, new = (
        flatten(s.to_dict()) for s in (run_dir.read_settings(origin.workdir), settings)
    )
    differences = [
        f"{key} (there {old[key]}, here {new[key]})"
        for key in new
        if key.startswith(SHAPES) and old[key] != new[key]
    ]
    if differences:
        raise ValueError(
            f"from must be a run with the same networks; {origin.workdir} has another "
            f"{', '.join(differences)}"
        )
    step = str(origin.step)
    return {
        "generator": restore_generator(origin.workdir, step).state,
        "discriminator": restore_discriminator(origin.workdir, step).state,
    }


def _restored(
    workdir: str, step: str | None, part: str, network: nnx.Module, settings: Settings
) -> TrainedNetwork:
    with closing(Checkpoints(workdir)) as checkpoints:
        checkpoint_step = checkpoints.find(step)
        template = run_dir.network_to_part(network_state(network))
        restored = checkpoints.restore(checkpoint_step, {part: template})[part]
    state = run_dir.network_from_part(restored)
    return TrainedNetwork(network, state, settings, checkpoint_step)

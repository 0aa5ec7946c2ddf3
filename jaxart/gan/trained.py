"""Generator and discriminator restored from a run's checkpoint."""

from contextlib import closing
from typing import Any, Literal, NamedTuple

from flax import nnx

from jaxart.checkpoints import Checkpoints
from jaxart.gan import run_dir
from jaxart.gan.settings import NETWORK_KEYS, Settings, flatten
from jaxart.gan.strokes import StrokeGenerator
from jaxart.gan.update import NetworkState, network_state


# Which weights of the generator: see `update.TrainState`.
Weights = Literal["average", "last"]


class TrainedNetwork(NamedTuple):
    """A network and its values at some step of a run."""

    # A `Generator` or `Discriminator`; only its structure is used, and values are in
    # the state.
    network: Any
    state: NetworkState  # its parameters and batch statistics
    settings: Settings  # of its run
    step: int  # updates done until then


def restore_generator(
    workdir: str, step: str | None = None, weights: Weights | None = None
) -> TrainedNetwork:
    """Restore the generator of a run.

    Args:
        workdir: folder of the run.
        step: of the checkpoint: its number, "best", or None for the latest.
        weights: None for the average, where the run has one, else the last ones.

    Raises:
        ValueError: there is no run, or no such checkpoint, or it is damaged, or the run
            does not average its weights.
    """
    settings = run_dir.read_settings(workdir)
    has_average = settings.generator.average > 0
    if weights == "average" and not has_average:
        raise ValueError(
            f"weights must be last: the run in {workdir} has generator.average=0, "
            "and no average of its weights"
        )
    part = run_dir.AVERAGE if has_average and weights != "last" else "generator"
    network = settings.make_generator(nnx.Rngs(0))
    return _restored(workdir, step, part, network, settings)


def check_paints(generator: TrainedNetwork, workdir: str, flags: str) -> None:
    """Check that what a run makes are strokes.

    Args:
        generator: of the run.
        workdir: its folder.
        flags: that ask for it.

    Raises:
        ValueError: it makes pixels.
    """
    if not isinstance(generator.network, StrokeGenerator):
        raise ValueError(
            f"{flags} must go with a run of strokes (generator.strokes); the one in "
            f"{workdir} makes pixels"
        )


def restore_discriminator(workdir: str, step: str | None = None) -> TrainedNetwork:
    """Restore the discriminator of a run, likewise."""
    settings = run_dir.read_settings(workdir)
    network = settings.make_discriminator(nnx.Rngs(0))
    return _restored(workdir, step, "discriminator", network, settings)


def start_from(origin: run_dir.Origin, settings: Settings) -> dict[str, NetworkState]:
    """Return the networks that a run begins with.

    Args:
        origin: another run's checkpoint.
        settings: of the run that begins.

    Returns:
        Fields of its `TrainState`: `generator`, `discriminator`, and `average` where
        the run that begins has one.

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
        if key in NETWORK_KEYS and old[key] != new[key]
    ]
    if differences:
        raise ValueError(
            f"from must be a run with the same networks; {origin.workdir} has another "
            f"{', '.join(differences)}"
        )
    step = str(origin.step)
    networks = {
        "generator": restore_generator(origin.workdir, step, "last").state,
        "discriminator": restore_discriminator(origin.workdir, step).state,
    }
    if settings.generator.average:
        networks["average"] = restore_generator(origin.workdir, step).state
    return networks


def _restored(
    workdir: str, step: str | None, part: str, network: nnx.Module, settings: Settings
) -> TrainedNetwork:
    with closing(Checkpoints(workdir)) as checkpoints:
        checkpoint_step = checkpoints.find(step)
        template = run_dir.network_to_part(network_state(network))
        restored = checkpoints.restore(checkpoint_step, {part: template})[part]
    state = run_dir.network_from_part(restored)
    return TrainedNetwork(network, state, settings, checkpoint_step)

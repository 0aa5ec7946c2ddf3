"""The folder of a run."""

import json
from pathlib import Path
from typing import Any

from jaxtyping import PyTree

from jaxart.checkpoints import CONFIG
from jaxart.gan.settings import Settings
from jaxart.gan.update import NetworkState, TrainState


def read_settings(workdir: str | Path) -> Settings:
    """Return the settings of the run in a folder.

    Raises:
        ValueError: the folder holds no run, or its config cannot be read.
    """
    path = Path(workdir) / CONFIG
    if not path.is_file():
        raise ValueError(f"workdir must hold a run ({CONFIG}); {workdir} does not")
    try:
        config = json.loads(path.read_text())
        # Version 0.1 could train several seeds in one call; with one it says so.
        if config.get("seeds") == 1:
            del config["seeds"]
        return Settings.from_config(config)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def network_to_part(state: NetworkState) -> dict[str, PyTree]:
    """Return the part of a checkpoint that holds a network."""
    return {"parameters": state.params, "statistics": state.batch_stats}


def network_from_part(part: dict[str, PyTree]) -> NetworkState:
    """Return the network that a part of a checkpoint holds."""
    return NetworkState(part["parameters"], part["statistics"])


def to_parts(state: TrainState) -> dict[str, Any]:
    """Return the parts of a checkpoint; `generator` is all that sampling needs."""
    return {
        "generator": network_to_part(state.generator),
        "discriminator": network_to_part(state.discriminator),
        "optimizers": (state.generator_opt_state, state.discriminator_opt_state),
        "run": {"step": state.step, "key": state.key},
    }


def from_parts(parts: dict[str, Any]) -> TrainState:
    """Return the state whose `to_parts` these are."""
    return TrainState(
        **parts["run"],
        generator=network_from_part(parts["generator"]),
        discriminator=network_from_part(parts["discriminator"]),
        generator_opt_state=parts["optimizers"][0],
        discriminator_opt_state=parts["optimizers"][1],
    )

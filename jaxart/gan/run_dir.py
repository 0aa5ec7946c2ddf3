"""The folder of a run: its config, checkpoints, samples, metrics, and a lock.

One training process at a time holds the lock; those that only read need none. The
operating system releases it when the process ends, however it ends, so that a killed
one blocks nobody.

A run may go back to one of its checkpoints, and on from there with other settings. What
came later is removed, which takes a while: the config is replaced first, and says so
until all of it is done. Of two configs, an old and a new one, the folder always holds
one; where the new run was killed while it removed what is not its own, the next command
completes that.
"""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from jaxtyping import PyTree

from jaxart import atomic, command
from jaxart.checkpoints import BEST, Checkpoints
from jaxart.checkpoints import FOLDER as CHECKPOINTS
from jaxart.gan.settings import (
    CHANGEABLE_ON_RESUME,
    NETWORK_KEYS,
    SINCE_0_3,
    Settings,
    flatten,
)
from jaxart.gan.update import NetworkState, TrainState
from jaxart.validation import validate


CONFIG = "config.json"
METRICS = "metrics.jsonl"
SAMPLES = "samples"  # folder of their grids
LOCK = "lock"
AVERAGE = "average"  # the part of a checkpoint with the average of G's weights
FROM = "from"  # in the config: the checkpoint that the run began with, if any
# In the config: the step after which everything is being removed, if the run goes back.
GOING_BACK = "going_back_to"

# Beginnings of what a run that goes back cannot change: the networks' shapes, what they
# learn from, and what distances depend on.
FIXED = (
    "augment.adaptive_target",
    "data.name",
    "evaluate.count",
    "generator.average",
    *NETWORK_KEYS,
)


class Origin(NamedTuple):
    """The checkpoint of another run that a run begins with.

    Args:
        workdir: folder of the other run.
        step: of the checkpoint.
    """

    workdir: str
    step: int


class RunDir:
    """The folder of a run, owned by this process from `__enter__` to `__exit__`.

    Args:
        workdir: the folder; it is made if there is none.

    Raises:
        ValueError: on entering, another process trains there, or the folder holds other
            things, or nothing can be written there.
    """

    def __init__(self, workdir: str | Path):
        self.path = Path(workdir)
        self.metrics_file = self.path / METRICS

    def samples_file(self, step: int) -> Path:
        """Return where the samples of a step are."""
        return self.path / SAMPLES / f"{step:06d}.png"

    def __enter__(self) -> "RunDir":
        """Lock the folder."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not os.access(self.path, os.W_OK):
            raise ValueError(f"workdir must be writable; {self.path} is not")
        # Empty folders do not count: a run that was refused leaves `checkpoints`. Nor
        # do hidden files: a killed run leaves what it was writing, a desktop its own.
        names = {
            path.name
            for path in self.path.iterdir()
            if any(
                inner.is_file() and not _is_hidden(inner.relative_to(self.path))
                for inner in itertools.chain([path], path.rglob("*"))
            )
        }
        if names - {LOCK} and CONFIG not in names:
            raise ValueError(
                f"workdir must be empty or hold a run; {self.path} does neither"
            )
        self._lock = _lock(self.path)
        try:
            self._finish_going_back()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Release the lock."""
        (self.path / LOCK).unlink(missing_ok=True)
        os.close(self._lock)

    def check_settings(self, settings: Settings, from_step: int | None = None) -> None:
        """Check that the run in the folder, if any, was started with the same settings.

        Args:
            settings: to go on with.
            from_step: checkpoint that the run goes back to, or None: then `FIXED` ones
                alone must be the same.

        Raises:
            ValueError: it was not, or there is no such checkpoint.
        """
        if from_step is not None:
            self._check_step(from_step)
        if not (self.path / CONFIG).exists():
            return
        differences = self._differences(settings)
        if from_step is not None:
            differences = [text for text in differences if text.startswith(FIXED)]
        if differences:
            raise ValueError(
                f"workdir {self.path} holds a run with other settings: "
                f"{', '.join(differences)}"
            )

    def _differences(self, settings: Settings) -> list[str]:
        """Return how settings differ from the run's, but for what may change."""
        old, new = (flatten(s.to_dict()) for s in (read_settings(self.path), settings))
        changeable = CHANGEABLE_ON_RESUME
        if not settings.condition.classes:  # not yet read from the dataset
            changeable += ("condition.classes",)
        return command.settings_diff(old, new, changeable)

    def _check_step(self, from_step: int) -> None:
        read_settings(self.path)
        with contextlib.closing(Checkpoints(str(self.path))) as checkpoints:
            known = checkpoints.steps()
        if from_step not in known:
            raise ValueError(
                f"from_step must be one of the checkpoints {known} in {self.path}; "
                f"got {from_step}"
            )

    def origin(self, workdir: str | None, step: str | None) -> Origin | None:
        """Return what the run in the folder, or a new one, begins with.

        Args:
            workdir: folder of another run, or None.
            step: of its checkpoints: a number, "best"; None for the latest.

        Raises:
            ValueError: the run in the folder began with something else, or the other
                folder has no such checkpoint.
        """
        if workdir is None:
            if step is not None:
                raise ValueError(f"step must go with from; got {step}")
            return read_origin(self.path)
        if not (self.path / CONFIG).exists():
            read_settings(workdir)
            with contextlib.closing(Checkpoints(workdir)) as checkpoints:
                return Origin(os.path.realpath(workdir), checkpoints.find(step))
        origin = read_origin(self.path)
        asked = os.path.realpath(workdir)
        if origin is None or origin.workdir != asked:
            began = "from new networks" if origin is None else f"from {origin.workdir}"
            raise ValueError(
                f"from must be what the run in {self.path} began with; it began "
                f"{began}, not from {asked}"
            )
        # The latest and the best may be others by now.
        if step not in (None, BEST, str(origin.step)):
            raise ValueError(
                f"step must be what the run in {self.path} began with, "
                f"{origin.step}; got {step}"
            )
        return origin

    def write_settings(self, settings: Settings, origin: Origin | None = None) -> None:
        """Write the settings of the run and what it began with, all or nothing."""
        self._write_config(_config(settings, origin))

    def go_back(
        self,
        checkpoints: Checkpoints,
        step: int,
        settings: Settings,
        origin: Origin | None = None,
    ) -> str:
        """Write the settings of a run that goes back, and remove what came later.

        Lines of metrics are left to `RunLog`.

        Args:
            checkpoints: of the run.
            step: of the checkpoint that it goes back to.
            settings: to go on with.
            origin: what the run began with, if with another run.

        Returns:
            What was done, in one line.
        """
        later = [str(known) for known in checkpoints.steps() if known > step]
        text = f"back at step {step}: what came later is removed"
        text += f", checkpoints {', '.join(later)} among it" if later else ""
        if not self._differences(settings):
            text += "; with the same settings, the run will repeat itself"
        config = _config(settings, origin)
        self._write_config(config | {GOING_BACK: step})
        self._remove_after(step)
        self._write_config(config)
        checkpoints.reload()
        return text

    def _finish_going_back(self) -> None:
        """Remove what a run that was killed had still to remove."""
        if not (self.path / CONFIG).exists():
            return
        with _config_of(self.path) as config:
            step = config.pop(GOING_BACK, None)
            if step is None:
                return
            step = validate(GOING_BACK, step, int)
        self._remove_after(step)
        self._write_config(config)

    def _remove_after(self, step: int) -> None:
        """Remove checkpoints and samples of later steps."""
        for path in (self.path / CHECKPOINTS).glob("*"):
            if path.name.isdecimal() and int(path.name) > step:
                shutil.rmtree(path)
        for path in (self.path / SAMPLES).glob("*.png"):
            if path.stem.isdecimal() and int(path.stem) > step:
                path.unlink()

    def _write_config(self, config: dict[str, Any]) -> None:
        text = json.dumps(config, indent=2, sort_keys=True)
        with atomic.replacing(self.path / CONFIG, lambda _: True) as temporary:
            temporary.write_text(text + "\n")

    def checkpoints(self, settings: Settings) -> Checkpoints:
        """Open the checkpoints for writing."""
        return Checkpoints(
            str(self.path),
            keep=settings.checkpoints.keep,
            keep_every=settings.checkpoints.keep_every_steps,
        )

    def resume(
        self, checkpoints: Checkpoints, state: TrainState, step: int | None = None
    ) -> TrainState:
        """Return the state of a checkpoint, or `state` if there is none.

        Args:
            checkpoints: of the run.
            state: of the run before its first update. Its key is kept: a run that went
                back may have another seed than it had.
            step: of the checkpoint; None for the latest.
        """
        step = checkpoints.latest() if step is None else step
        if step is None:
            return state
        restored = from_parts(checkpoints.restore(step, to_parts(state)))
        return restored._replace(key=state.key)


def read_settings(workdir: str | Path) -> Settings:
    """Return the settings of the run in a folder.

    Raises:
        ValueError: the folder holds no run, or its config cannot be read.
    """
    with _config_of(workdir) as config:
        config.pop(FROM, None)
        config.pop(GOING_BACK, None)
        # Version 0.1 could train several seeds in one call; with one it says so.
        if config.get("seeds") == 1:
            del config["seeds"]
        for key, value in SINCE_0_3.items():
            section, name = key.split(".")
            config.setdefault(section, {}).setdefault(name, value)
        return Settings.from_config(config)


def read_origin(workdir: str | Path) -> Origin | None:
    """Return what the run in a folder began with, if it began with another run.

    Raises:
        ValueError: the config cannot be read.
    """
    if not (Path(workdir) / CONFIG).exists():
        return None
    with _config_of(workdir) as config:
        origin = config.get(FROM)
        if origin is None:
            return None
        return Origin(
            validate(f"{FROM}.workdir", origin["workdir"], str),
            validate(f"{FROM}.step", origin["step"], int),
        )


@contextlib.contextmanager
def _config_of(workdir: str | Path) -> Iterator[dict[str, Any]]:
    path = Path(workdir) / CONFIG
    if not path.is_file():
        raise ValueError(f"workdir must hold a run ({CONFIG}); {workdir} does not")
    try:
        yield json.loads(path.read_text())
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def network_to_part(state: NetworkState) -> dict[str, PyTree]:
    """Return the part of a checkpoint that holds a network."""
    return {"parameters": state.params, "statistics": state.batch_stats}


def network_from_part(part: dict[str, PyTree]) -> NetworkState:
    """Return the network that a part of a checkpoint holds."""
    return NetworkState(part["parameters"], part["statistics"])


def to_parts(state: TrainState) -> dict[str, Any]:
    """Return the parts of a checkpoint; a generator is all that sampling needs."""
    parts = {
        "generator": network_to_part(state.generator),
        "discriminator": network_to_part(state.discriminator),
        "optimizers": (state.generator_opt_state, state.discriminator_opt_state),
        "run": {"step": state.step, "key": state.key},
    }
    if state.average is not None:
        parts[AVERAGE] = network_to_part(state.average)
    if state.augment_probability is not None:
        parts["run"]["augment_probability"] = state.augment_probability
    return parts


def from_parts(parts: dict[str, Any]) -> TrainState:
    """Return the state whose `to_parts` these are."""
    run, average = parts["run"], parts.get(AVERAGE)
    return TrainState(
        step=run["step"],
        key=run["key"],
        generator=network_from_part(parts["generator"]),
        discriminator=network_from_part(parts["discriminator"]),
        generator_opt_state=parts["optimizers"][0],
        discriminator_opt_state=parts["optimizers"][1],
        average=None if average is None else network_from_part(average),
        augment_probability=run.get("augment_probability"),
    )


def _config(settings: Settings, origin: Origin | None) -> dict[str, Any]:
    return settings.to_dict() | ({FROM: origin._asdict()} if origin else {})


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _lock(folder: Path) -> int:
    """Return the file descriptor that holds the lock on a folder.

    Raises:
        ValueError: another process holds it.
    """
    while True:
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise ValueError(
                f"workdir {folder} is in use by another training process"
            ) from None
        # The one that held it may have deleted the file since it was opened here.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), os.stat(folder / LOCK)):
                return lock
        os.close(lock)

import shutil
from contextlib import closing
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxart.checkpoints import Checkpoints


PARTS = {
    "generator": {"kernel": jnp.arange(6.0).reshape(2, 3)},
    "run": {"step": jnp.array(7, jnp.int32)},
}


@pytest.fixture
def workdir(tmp_path: Path) -> str:
    """A run with checkpoints of steps 1, 2, ..., 6: the last two and every third."""
    with closing(Checkpoints(str(tmp_path), keep=2, keep_every=3)) as checkpoints:
        for step in range(1, 7):
            checkpoints.save(step, PARTS)
    return str(tmp_path)


def steps(workdir: str) -> set[str]:
    return {path.name for path in Path(workdir, "checkpoints").iterdir()}


def test_the_last_few_and_every_nth_are_kept(workdir: str):
    assert steps(workdir) == {"3", "5", "6"}


@pytest.fixture
def judged(tmp_path: Path) -> str:
    """A run whose last checkpoint is kept, and of whose six some were evaluated."""
    distances = {1: 5.0, 2: 3.0, 4: 4.0, 5: 3.5}
    with closing(Checkpoints(str(tmp_path), keep=1)) as checkpoints:
        for step in range(1, 7):
            checkpoints.save(step, PARTS, distances.get(step))
    return str(tmp_path)


def test_the_best_is_kept_and_found(judged: str):
    assert steps(judged) == {"2", "6"}
    with closing(Checkpoints(judged)) as checkpoints:
        assert checkpoints.best() == (2, 3.0)
        assert checkpoints.find("best") == 2
        assert checkpoints.find(None) == 6
        assert checkpoints.find("4") == 4
        np.testing.assert_array_equal(
            checkpoints.restore(2, PARTS)["generator"]["kernel"],
            PARTS["generator"]["kernel"],
        )


def test_a_better_one_takes_its_place_and_a_worse_one_does_not(judged: str):
    def save(distances: dict[int, float | None]) -> None:
        with closing(Checkpoints(judged, keep=1)) as checkpoints:
            for step, distance in distances.items():
                checkpoints.save(step, PARTS, distance)

    save({7: 9.0})
    assert steps(judged) == {"2", "7"}
    with closing(Checkpoints(judged)) as checkpoints:
        assert checkpoints.best() == (2, 3.0)
    save({8: 2.5, 9: None})
    assert steps(judged) == {"8", "9"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"[]", "Type-check error|list indices"),
        (b"\0" * 9, "Expecting value"),
    ],
)
def test_a_damaged_distance_is_one_line(judged: str, content: bytes, reason: str):
    for path in Path(judged, "checkpoints", "2", "metrics").rglob("*"):
        if path.is_file():
            path.write_bytes(content)

    def find() -> int:
        with closing(Checkpoints(judged)) as checkpoints:
            return checkpoints.find("best")

    with pytest.raises(ValueError, match=f"cannot be read: {reason}") as caught:
        find()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("step", "complaint"),
    [
        ("best", "evaluated, by a run with evaluate.every_steps above 0; .* has none"),
        ("newest", "step must be a number or best; got 'newest'"),
        ("-1", "step must be a number or best; got '-1'"),
    ],
)
def test_what_is_no_step_is_refused(workdir: str, step: str, complaint: str):
    with (
        closing(Checkpoints(workdir)) as checkpoints,
        pytest.raises(ValueError, match=complaint),
    ):
        checkpoints.find(step)


def test_what_is_saved_is_what_was_there_then(tmp_path: Path):
    array = np.arange(1 << 20, dtype=np.float32)
    with closing(Checkpoints(str(tmp_path), keep=1)) as checkpoints:
        checkpoints.save(1, {"run": {"array": array}})
        array[:] = 0
    with closing(Checkpoints(str(tmp_path))) as checkpoints:
        restored = checkpoints.restore(1, {"run": {"array": array}})
    np.testing.assert_array_equal(restored["run"]["array"], np.arange(1 << 20))


def test_what_was_saved_comes_back_bit_for_bit(workdir: str):
    with closing(Checkpoints(workdir)) as checkpoints:
        assert checkpoints.latest() == 6
        restored = checkpoints.restore(6, PARTS)
    for name, part in PARTS.items():
        for key, array in part.items():
            np.testing.assert_array_equal(restored[name][key], array)


def test_one_part_can_be_read_alone(workdir: str):
    with closing(Checkpoints(workdir)) as checkpoints:
        restored = checkpoints.restore(5, {"generator": PARTS["generator"]})
    assert set(restored) == {"generator"}


def test_reading_changes_nothing(workdir: str):
    before = steps(workdir)
    with closing(Checkpoints(workdir)) as checkpoints:
        checkpoints.restore(3, PARTS)
    assert steps(workdir) == before


def test_an_unknown_step_names_those_that_exist(workdir: str):
    with (
        closing(Checkpoints(workdir)) as checkpoints,
        pytest.raises(ValueError, match=r"\[3, 5, 6\].*got 4"),
    ):
        checkpoints.restore(4, PARTS)


def damage_arrays(step: Path) -> None:
    for path in (step / "generator").rglob("*"):
        if path.is_file():
            path.write_bytes(b"\0" * 100)


def remove_a_part(step: Path) -> None:
    shutil.rmtree(step / "generator")


def empty_the_folder(step: Path) -> None:
    shutil.rmtree(step)
    step.mkdir()


@pytest.mark.parametrize("damage", [damage_arrays, remove_a_part, empty_the_folder])
def test_a_damaged_checkpoint_is_one_line(workdir: str, damage):
    damage(Path(workdir, "checkpoints", "6"))
    with (
        closing(Checkpoints(workdir)) as checkpoints,
        pytest.raises(ValueError, match=r"step must be|cannot be read") as caught,
    ):
        checkpoints.restore(6, PARTS)
    assert "\n" not in str(caught.value)


def test_arrays_of_other_shapes_are_refused(workdir: str):
    other = {"generator": {"kernel": jnp.zeros((3, 3))}}
    with (
        closing(Checkpoints(workdir)) as checkpoints,
        pytest.raises(ValueError, match="cannot be read"),
    ):
        checkpoints.restore(6, other)

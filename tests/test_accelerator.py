"""The benchmark of accelerators measures what it can, whatever fails."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def accelerator() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        import accelerator  # pyright: ignore[reportMissingImports]

        yield accelerator


def good(run: Any) -> Iterator[dict[str, Any]]:
    yield {"seconds": run.turns(lambda: 0.5)[0]}


def bad(run: Any) -> Iterator[dict[str, Any]]:
    yield {"part": "half of it", "seconds": 1.0}
    raise RuntimeError("out of memory\nand a long story")


def test_a_part_that_fails_leaves_the_others(accelerator: Any):
    kept = []
    run = accelerator.Run(accelerator.SMALL, time.monotonic() + 60)
    parts = {"first": good, "second": bad, "third": good}
    rows = accelerator.measure(parts, run, lambda rows: kept.append(len(rows)))
    found = [(row["part"], row["status"], row.get("error")) for row in rows]
    assert found == [
        ("first", "measured", None),
        ("half of it", "measured", None),
        ("second", "failed", "RuntimeError: out of memory"),
        ("third", "measured", None),
    ]
    assert kept == [1, 3, 4]


def test_parts_are_not_reached_once_time_is_up(accelerator: Any):
    run = accelerator.Run(accelerator.NORMAL, time.monotonic() + 0.2)

    def slow(run: Any) -> Iterator[dict[str, Any]]:
        seconds = run.turns(lambda: time.sleep(0.15) or 0.15)
        yield {"seconds": 0.15, "turns": len(seconds)}

    rows = accelerator.measure({"slow": slow, "next": good}, run, lambda _: None)
    assert [row["status"] for row in rows] == ["measured", "not reached"]
    assert rows[0]["turns"] == 2


@pytest.mark.slow
def test_the_command_writes_what_it_prints_and_nothing_over_other_files(
    tmp_path: Path,
):
    def run(out: Path) -> Any:
        script = str(BENCHMARKS / "accelerator.py")
        words = ["--small", "--only=matrix products", f"--out={out}"]
        return subprocess.run(
            [sys.executable, script, *words], capture_output=True, text=True
        )

    out = tmp_path / "found.json"
    for _ in range(2):
        done = run(out)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == json.loads(out.read_text())
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    done = run(mine)
    assert (done.returncode, mine.read_text()) == (2, "mine")
    assert "was not written by jaxart" in done.stderr

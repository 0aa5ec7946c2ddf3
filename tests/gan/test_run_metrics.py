"""The lines of metrics.jsonl, read."""

import json
from pathlib import Path

import pytest

from jaxart.gan import run_metrics


def write(folder: Path, text: str) -> None:
    (folder / "metrics.jsonl").write_text(text)


def test_lines_come_as_they_were_logged(workdir: str):
    written = (Path(workdir) / "metrics.jsonl").read_text().splitlines()
    lines = run_metrics.read(workdir)
    for line, text in zip(lines, written, strict=True):
        assert {"step": line.step, **line.values} == json.loads(text)
    assert [line.step for line in lines] == [2, 4, 6, 8, 10, 12]


def test_a_line_that_is_being_written_is_left_out(tmp_path: Path):
    write(tmp_path, '{"step": 2, "generator_loss": 1}\n{"step": 4, "gener')
    assert run_metrics.read(tmp_path) == [(2, {"generator_loss": 1.0})]


@pytest.mark.parametrize(
    "line",
    ["", "{", "[1]", "7", "{}", '{"step": 2.5}', '{"step": 2, "loss": "x"}', "\0", "é"],
)
def test_a_damaged_line_is_named_in_one_line(tmp_path: Path, line: str):
    write(tmp_path, f'{{"step": 2}}\n{line}\n{{"step": 6}}\n')
    with pytest.raises(ValueError, match=r"metrics\.jsonl, line 2 is damaged: .") as e:
        run_metrics.read(tmp_path)
    assert "\n" not in str(e.value)


def test_a_folder_without_lines_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"workdir must hold a run's metrics\.jsonl; "):
        run_metrics.read(tmp_path)
    write(tmp_path, '{"step": 1')
    with pytest.raises(ValueError, match="workdir must hold a run that has logged"):
        run_metrics.read(tmp_path)

"""Which dataset a run learns from, and whether the device holds it."""

from typing import Any, Literal

import numpy as np
import pytest

from jaxart import machine
from jaxart.paintings import training_data


RECORDS: list[dict[str, Any]] = [{"pixels": np.zeros((10, 10, 3), np.uint8)}] * 10


@pytest.mark.parametrize(
    ("setting", "available", "expected"),
    [
        ("auto", 10**9, True),
        ("auto", 10**3, False),
        ("auto", None, False),
        (True, 10**9, True),
        (True, None, True),
        (False, 10**9, False),
    ],
)
def test_the_device_holds_a_dataset_that_fits_or_is_asked_for(
    setting: bool | Literal["auto"],
    available: int | None,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(machine, "memory_limit", lambda: available)
    assert training_data.fits_on_device(setting, RECORDS) is expected
    line = capsys.readouterr().err
    if setting is False:
        assert not line
    else:
        assert f"kept {'on the device' if expected else 'on the host'}" in line


def test_a_dataset_that_is_asked_for_and_does_not_fit_is_refused(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(machine, "memory_limit", lambda: 5000)
    with pytest.raises(ValueError, match=r"at least the 0.00 GB of .*; it has 0.00"):
        training_data.fits_on_device(True, RECORDS)


def test_a_dataset_by_its_earlier_name_is_refused_wherever_it_is_opened():
    with pytest.raises(ValueError, match="now 'synthetic'; got 'invented'"):
        training_data.open_records_by_name("invented", "", source="", size=64)

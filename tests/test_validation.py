"""Types and ranges of settings, on the painter's, which have all kinds of them."""

import math
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jaxart.painter.settings import Settings
from jaxart.validation import build, expand_home


CONFIG = Path(__file__).parents[1] / "configs" / "paint.py"


def settings(**changes: Any) -> Settings:
    """The settings of the packaged config, but for some."""
    config = runpy.run_path(str(CONFIG))["get_config"]()
    return build(Settings, {**config, **changes})


def test_numbers_become_those_of_the_type():
    exact = settings(ground=(1.0, 0.0, 1.0), psnr=30.0, strokes=7)
    for ground in ((1, 0, 1), [1, 0.0, 1], (np.float32(1), np.int64(0), 1)):
        found = settings(ground=ground, psnr=30, strokes=np.int64(7))
        assert found == exact
        assert [type(part) for part in found.ground] == [float] * 3
        assert type(found.psnr) is float
        assert type(found.strokes) is int


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("strokes", 7.0, "strokes must be a whole number; got 7.0"),
        ("strokes", True, "strokes must be a whole number; got True"),
        ("strokes", "7", "strokes must be a whole number; got '7'"),
        ("strokes", 0, "strokes must be at least 1; got 0"),
        ("strokes", 10**15, "strokes must be at most 300,000; got 1000000000000000"),
        ("strokes", 10**90, "strokes must be at most 300,000; got 10+[.]{3}$"),
        ("seed", 10**20, "seed must be at most 4,294,967,295; got 100000000000000"),
        ("seed", -1, "seed must be at least 0; got -1"),
        ("psnr", math.nan, "psnr must be a finite number; got nan"),
        ("seconds", math.inf, "seconds must be a finite number; got inf"),
        ("seconds", False, "seconds must be a number; got False"),
        ("prune", None, "prune must be a number; got None"),
        ("prune", 1, "prune must be below 1; got 1"),
        ("emphasis", 1, "emphasis must be true or false; got 1"),
        ("emphasis", "no", "emphasis must be true or false; got 'no'"),
        ("ground", (1, 1), r"ground must be 3 values; got \(1, 1\)"),
        ("ground", 1, "ground must be a tuple; got 1"),
        ("ground", (0, 0, 1.5), "ground must be at most 1; got 1.5"),
        ("ground", (0, 0, math.nan), "ground must be a finite number; got nan"),
        ("ground", "red", "ground must be a tuple; got 'red'"),
        ("shares", (0, -1, 0), "shares must be at least 0; got -1"),
        ("layers", "relu1_2", "layers must be a tuple; got 'relu1_2'"),
        ("layers", (5,), "layers must be text; got 5"),
        ("brush", "broom", "brush must be one of .*soft.*; got 'broom'"),
        ("slope", 3, "slope must be one of .*autodiff.*; got 3"),
        ("vgg_weights", 3, "vgg_weights must be text; got 3"),
    ],
)
def test_what_is_of_another_type_or_out_of_range_is_one_line(
    name: str, value: Any, complaint: str
):
    with pytest.raises(ValueError, match=complaint) as error:
        settings(**{name: value})
    assert "\n" not in str(error.value)


def test_a_path_may_begin_with_the_home_folder(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", "/home/ada")
    assert settings(vgg_weights="~/vgg.npz").vgg_weights == "/home/ada/vgg.npz"
    assert expand_home("out", "~/pictures/") == "/home/ada/pictures/"
    assert expand_home("out", "~") == "/home/ada"
    for path in ("a/~/b", "./~", "~nobody-has-this-name/a.png", "hf:owner/name", ""):
        assert expand_home("out", path) == path


@pytest.mark.parametrize("home", ["", "not/absolute"])
def test_without_a_home_folder_such_a_path_is_one_line(
    home: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", home)
    with pytest.raises(ValueError, match="out must not begin with ~ without a home"):
        expand_home("out", "~/a.png")

"""The settings of a run: what they may be, and what they become."""

import json
import math
from typing import Any

import pytest
from ml_collections import ConfigDict

from jaxart.gan.settings import Settings, flatten


@pytest.fixture
def nested(config: Any) -> dict[str, Any]:
    """The small config as nested dictionaries, to be changed."""
    return config.to_dict()


def test_settings_have_the_values_of_the_config(config: Any):
    config.data.on_device = "true"
    settings = Settings.from_config(config)
    assert settings.generator.width == config.generator.width
    assert settings.optimizer.learning_rate == config.optimizer.learning_rate
    assert settings.data.on_device is True
    found = {"data.on_device": True, "condition.classes": ()}
    assert flatten(settings.to_dict()) == flatten(config) | found


def test_settings_survive_json(config: Any):
    settings = Settings.from_config(config)
    assert Settings.from_config(json.loads(json.dumps(settings.to_dict()))) == settings


def test_a_whole_number_serves_where_any_number_does(config: Any):
    config.optimizer.eps = 1
    eps = Settings.from_config(config).optimizer.eps
    assert isinstance(eps, float)
    assert eps == 1


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        *(
            ("size", size, rf"size must be one of .*; got {size}")
            for size in (0, 16, 63, 96, 512)
        ),
        ("generator.width", 0, "generator.width must be at least 1; got 0"),
        ("discriminator.width", 0, "discriminator.width must be at least 1; got 0"),
        ("generator.latent", -1, "generator.latent must be at least 1; got -1"),
        ("batch_size", 0, "batch_size must be at least 1"),
        ("steps", 0, "steps must be at least 1"),
        ("steps_per_call", 0, "steps_per_call must be at least 1"),
        ("seed", -1, "seed must be at least 0; got -1"),
        ("seed", 2**32, "seed must be at most 4,294,967,295; got 42"),
        ("samples.every_steps", 0, "samples.every_steps must be at least 1"),
        ("evaluate.every_steps", -1, "evaluate.every_steps must be at least 0"),
        ("evaluate.count", 19, "evaluate.count must be at least 20; got 19"),
        ("loss", "wasserstein", "loss must be one of .*; got 'wasserstein'"),
        ("generator.normalisation", "spectral", "must be one of batch, none; got"),
        (
            "discriminator.normalisation",
            "layer",
            "must be one of batch, none, spectral",
        ),
        ("generator.resampling", "bilinear", "must be one of strided, smooth; got"),
        ("generator.average", 1, "generator.average must be below 1; got 1"),
        ("generator.excitation", 1, "generator.excitation must be true or false"),
        (
            "generator.strokes",
            "3x4",
            "generator.strokes must have grids of 1, 4, 8 ",
        ),
        ("generator.strokes", "many", 'generator.strokes must be as "1x12,4x4"; got'),
        ("generator.brush", "brush.png", "generator.brush must be one of soft, round"),
        ("generator.palette", "oil", "generator.palette must be one of colours, chalk"),
        ("generator.palette", "chalk", "generator.palette must be colours where there"),
        ("penalty.every_steps", 0, "penalty.every_steps must be at least 1; got 0"),
        ("penalty.r1", -1, "penalty.r1 must be at least 0; got -1"),
        ("augment.transformations", "blur", "must be empty or of colour, translation"),
        ("augment.transformations", "colour,colour", "each once; got 'colour,colour'"),
        ("augment.transformations", "colour", "must go with a probability or an adap"),
        ("augment.probability", 0.5, "augment.transformations must go with a proba"),
        ("augment.probability", 1.5, "augment.probability must be at most 1; got 1.5"),
        ("data.mirrored", "yes", "data.mirrored must be true or false; got 'yes'"),
        ("parallel", "threads", "parallel must be one of .*; got 'threads'"),
        ("dtype", "float8", "dtype must be one of .*; got 'float8'"),
        ("data.workers", -1, "data.workers must be at least 0; got -1"),
        ("data.on_device", "yes", "data.on_device must be auto, true or false"),
        ("steps", 2.5, "steps must be a whole number; got 2.5"),
        ("steps", True, "steps must be a whole number; got True"),
        ("data.name", None, "data.name must be text; got None"),
        ("optimizer.b1", "0.5", "optimizer.b1 must be a number; got '0.5'"),
        ("optimizer.eps", math.nan, "optimizer.eps must be a finite number; got nan"),
        ("optimizer.b2", 1, "optimizer.b2 must be below 1; got 1"),
        ("generator.width", 10**15, "generator.width must be at most 8,192; got 10"),
        ("optimizer.eps", 10**400, "optimizer.eps must be a finite number; got 10+"),
        ("seeds", 2, "seeds is gone.*: run the command once per seed"),
        ("widht", 2, "unknown setting: widht"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(
    nested: dict[str, Any], key: str, value: object, complaint: str
):
    *sections, last = key.split(".")
    section = nested
    for name in sections:
        section = section[name]
    section[last] = value
    with pytest.raises(ValueError, match=complaint):
        Settings.from_config(nested)
    with pytest.raises(ValueError, match=complaint):
        Settings.from_config(ConfigDict(nested))


def test_missing_settings_are_named(nested: dict[str, Any]):
    del nested["evaluate"], nested["steps"]
    complaint = "must have evaluate.count and evaluate.every_steps and steps, as"
    with pytest.raises(ValueError, match=complaint):
        Settings.from_config(nested)

"""Tests that a config is only read from JSON that is one."""

import json
import re

import pytest

from hashnet_jax.configs import CONFIGS, Config
from hashnet_jax.distributed.reading import DamagedFile
from hashnet_jax.distributed.seals import sealed

DIGITS = CONFIGS["digits"]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_is_read_as_it_was_written(name, tmp_path):
    path = tmp_path / "config.json"
    for content in (CONFIGS[name].to_json(), sealed(CONFIGS[name].to_json())):
        path.write_text(json.dumps(content))
        assert Config.read(path) == CONFIGS[name]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{}", "missing field dataset missing field model"),
        ("null", "its top-level value is of type NoneType"),
        ("[]", "its top-level value is of type list"),
        ('{"dataset"', "Expecting"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_json_that_is_not_a_config_is_named(content, reason, tmp_path):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(DamagedFile, match=r"config\.json is damaged or not the config") as error:
        Config.read(path)
    assert reason in str(error.value)
    assert "use the version that started the run" in str(error.value)


@pytest.mark.parametrize(
    ("part", "field", "value", "message"),
    [
        ("train", "total_steps", "many", "train.total_steps must be an integer, but is 'many'"),
        ("train", "total_steps", True, "train.total_steps must be an integer, but is True"),
        ("train", "alpha", [], "train.alpha must be a number or null, but is []"),
        ("train", "balance", float("nan"), "`balance` must be 'batch', 'none' or a finite"),
        (
            "train",
            "learning_rate",
            1e999,
            "`learning_rate` must be > 0 and finite, or None",
        ),
        ("model", "mean", [0.5], "model.mean must be a list of 3 numbers, but is [0.5]"),
        ("model", "bits", 12.5, "model.bits must be an integer, but is 12.5"),
        ("data", "csv", 3, "data.csv must be a string or null, but is 3"),
        (None, "train", None, "train must be an object, but is None"),
        (None, "seed", -1, "`seed` must be in 0..2**32 - 1, got -1."),
        (None, "dataset", "lenet", "`dataset` must be one of digits, "),
        (None, "augmentation", "none", "`augmentation` must be one of "),
        (None, "gamma", 1, "unknown field gamma"),
    ],
)
def test_a_field_of_the_wrong_type_or_range_is_named(part, field, value, message):
    content = DIGITS.to_json()
    (content if part is None else content[part])[field] = value
    with pytest.raises(ValueError, match=re.escape(message)):
        Config.from_json(content)


def test_a_changed_value_does_not_match_the_seal():
    content = sealed(DIGITS.to_json())
    content["seed"] = 1
    with pytest.raises(ValueError, match="does not match its SHA-256"):
        Config.from_json(content)

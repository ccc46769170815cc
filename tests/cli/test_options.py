"""Tests for the options of `hashnet train`, new and resumed."""

import dataclasses
import json

import numpy as np
import pytest

from hashnet_jax.cli import _options, _overlaps, _resolve
from hashnet_jax.cli._execution import Execution
from hashnet_jax.configs import CONFIGS, Config, _derive
from hashnet_jax.data import DATASETS, ArraySource, Dataset, Options, Split, overlap
from hashnet_jax.model import ModelSpec
from hashnet_jax.schedules import SCHEDULES
from hashnet_jax.training import RunFolder, TrainSpec


def config(*argv):
    return _options.config_of(_options.parser().parse_args(argv))


def test_presets_have_the_customary_sizes_and_cutoffs():
    coco, cifar10 = config("--dataset", "coco"), config("--dataset", "cifar10")
    imagenet100 = config("--dataset", "imagenet100")
    assert (coco.data.queries, coco.data.train_images, coco.cutoff) == (5_000, 10_000, 5_000)
    assert (cifar10.data.queries_per_class, cifar10.data.train_per_class) == (100, 500)
    assert cifar10.cutoff is None
    assert (imagenet100.data.train_per_class, imagenet100.cutoff) == (100, 1_000)
    assert coco.data.train_in_database
    assert cifar10.data.train_in_database
    assert imagenet100.data.train_in_database


def test_every_data_set_has_a_preset():
    assert set(CONFIGS) == set(DATASETS)


@pytest.mark.parametrize(("word", "value"), [("rest", True), ("rest-without-train", False)])
def test_the_database_option_decides_whether_the_database_contains_the_training_images(word, value):
    assert config("--dataset", "cifar10", "--database", word).data.train_in_database is value


def test_cutoff_is_a_number_or_all(capsys):
    assert config("--cutoff", "59").cutoff == 59
    assert config("--dataset", "coco", "--cutoff", "all").cutoff is None
    with pytest.raises(ValueError, match="`cutoff` must be >= 1, or None for the whole database"):
        config("--cutoff", "0")
    with pytest.raises(SystemExit):
        config("--cutoff", "some")
    assert "must be an integer or all, got 'some'" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "value"), [("batch", "batch"), ("none", "none"), ("5", 5.0)])
def test_balance_is_a_word_or_a_weight(text, value):
    assert config("--balance", text).train.balance == value


def test_every_training_hyper_parameter_has_an_option():
    names = {field.name for field in dataclasses.fields(TrainSpec)}
    assert names <= _options.CONFIG_FIELDS.keys()
    given = config(
        *(
            "--alpha",
            "0.5",
            "--weight-decay",
            "0.01",
            "--hash-multiplier",
            "2",
            "--momentum",
            "0.5",
        ),
        *("--decay-rate", "0.1", "--decays", "3", "--continuous-similarity", "--loss", "hashnet"),
    ).train
    expected = (0.5, 0.01, 2.0, 0.5, 0.1, 3, True)
    assert expected == (
        *(given.alpha, given.weight_decay, given.hash_multiplier, given.momentum),
        *(given.decay_rate, given.decays, given.continuous_similarity),
    )
    assert config("--alpha", "auto").train.alpha is None


def test_names_of_fields_are_unique_across_the_parts_of_a_config():
    parts = (Config, ModelSpec, TrainSpec, Options, Execution)
    names = [field.name for part in parts for field in dataclasses.fields(part)]
    assert len(names) == len(set(names))


def test_a_registered_schedule_is_immediately_a_choice(monkeypatch):
    monkeypatch.setitem(SCHEDULES, "toy", SCHEDULES["constant"])
    assert config("--beta-schedule", "toy").train.beta_schedule == "toy"


def test_a_switch_can_be_turned_off_again():
    args = ("--variant", "hashnet+c", "--no-continuous-similarity")
    assert config(*args).variant == "hashnet"


def test_the_report_is_written_unless_it_is_turned_off():
    assert _options.execution_of(_options.parser().parse_args([])).report
    assert not _options.execution_of(_options.parser().parse_args(["--no-report"])).report


def test_all_mistakes_in_a_config_are_reported_at_once():
    with pytest.raises(ValueError, match="bits") as error:
        config("--bits", "0", "--steps", "0", "--momentum", "2", "--queries-per-class", "0")
    lines = str(error.value).splitlines()
    for line, name in zip(lines, ("bits", "total_steps", "momentum", "queries"), strict=True):
        assert line.startswith(f"`{name}")


def test_runs_on_lists_are_named_after_the_folder_of_the_lists(tmp_path):
    lists = config("--dataset", "lists", "--lists", str(tmp_path / "nus_wide"))
    assert _resolve.default_folder(lists).name == "nus_wide-alexnet-48bits-seed0"


@pytest.fixture
def resumed(tmp_path):
    """A function that resumes a CIFAR-10 run, started with ``begun``, with the given options."""
    begun = ("--dataset", "cifar10", "--variant", "hashnet+c", "--beta-schedule", "stages")

    def resolve(*argv):
        (tmp_path / "config.json").write_text(json.dumps(config(*begun).to_json()))
        argv = ["--run-dir", str(tmp_path), "--resume", *argv]
        return _resolve.resolve(_options.parser().parse_args(argv))[0]

    resolve.begun = begun
    return resolve


def test_a_run_resumes_with_all_or_none_of_its_original_options(resumed):
    assert resumed() == resumed(*resumed.begun) == config(*resumed.begun)
    assert resumed("--image-root", "elsewhere").data.image_root == "elsewhere"


@pytest.mark.parametrize(
    "other", ["--variant hashnet-w", "--database rest-without-train", "--cutoff 5"]
)
def test_a_run_does_not_resume_with_a_different_protocol_or_variant(resumed, other):
    with pytest.raises(ValueError, match=f"cannot resume the run in .* with {other}, because"):
        resumed(*other.split())


@pytest.fixture
def three():
    images = np.array([5, 5, 6], np.uint8).reshape(3, 1, 1, 1)
    split = Split(query=[0], train=[2], database=[1, 2])
    return Dataset("three", ArraySource(images), np.zeros(3, np.int64), ("one",), split)


def test_overlaps_are_described_saved_and_counted_once_per_run(three, tmp_path, monkeypatch):
    with RunFolder(tmp_path / "run") as folder:
        assert "not checked" in _overlaps.check_overlaps(three, folder, "never")
        found = _overlaps.check_overlaps(three, folder, "auto")
        assert "1 in the database, 0 in the training set" in found
        saved = folder.read_json("overlaps.json")
        assert saved["query/database"] == {"same_image": 0, "same_picture": 1}
        monkeypatch.setattr(overlap, "_identify_pictures", None)
        _overlaps.check_overlaps(three, folder, "always")
        _overlaps.check_overlaps(three, folder, "never")
        assert folder.read_json("overlaps.json") == saved


def test_only_a_pretrained_backbone_can_be_fine_tuned_in_inference_mode():
    pretrained = ("--backbone", "efficientnet_lite0", "--pretrained", "auto")
    mode = ("--backbone-mode", "inference", "--augmentation", "shift_flip")
    tuned = config(*pretrained, *mode)
    assert (tuned.train.backbone_mode, tuned.augmentation) == ("inference", "shift_flip")
    assert tuned.train.learning_rate == _derive.FINE_TUNING["learning_rate"]
    assert config(*pretrained).train.backbone_mode == "train"
    with pytest.raises(ValueError, match="`backbone_mode='inference'` requires pretrained weights"):
        config(*mode)


def test_standardized_features_require_a_frozen_backbone():
    with pytest.raises(ValueError, match="`standardize=True` requires a frozen backbone"):
        config("--standardize")


def test_a_frozen_backbone_changes_the_default_rates_and_options_override_them():
    pretrained = ("--backbone", "efficientnet_lite0", "--pretrained", "auto")
    frozen = config(*pretrained, "--freeze-backbone")
    assert {
        name: getattr(frozen.train, name) for name in _derive.FROZEN_TRAINING
    } == _derive.FROZEN_TRAINING
    assert (frozen.batch_size, frozen.augmentation) == (128, "none")
    own = config(*pretrained, "--freeze-backbone", "--learning-rate", "0.5", "--batch-size", "9")
    assert (own.train.learning_rate, own.batch_size) == (0.5, 9)
    assert own.train.total_steps == _derive.FROZEN_TRAINING["total_steps"]
    assert _resolve.default_folder(frozen).name == "digits-efficientnet_lite0-frozen-48bits-seed0"
    assert config(*pretrained).train.learning_rate == _derive.FINE_TUNING["learning_rate"]
    with pytest.raises(ValueError, match="Leave out `augmentation='shift'`"):
        config(*pretrained, "--freeze-backbone", "--augmentation", "shift")

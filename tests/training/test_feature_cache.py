"""Tests training with a frozen backbone on cached features."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import hashnet_jax
from hashnet_jax.cli import _start, _training
from hashnet_jax.cli import main as hashnet
from hashnet_jax.configs import Config
from hashnet_jax.data import DATASETS, Options
from hashnet_jax.distributed.devices import local_devices
from hashnet_jax.distributed.seals import sealed, unsealed
from hashnet_jax.model import hash_layer, with_hash_layer
from hashnet_jax.training import (
    CachedFeatures,
    FeatureScale,
    _feature_cache,
    feature_batches,
    load_or_compute_features,
)
from tests.support.bad_pictures import picture
from tests.support.same_codes import assert_codes_of

SPEC = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
SMALL = "--freeze-backbone --bits 12 --image-size 8 --steps 30 --batch-size 32 --no-report "
SMALL += "--checkpoint-every 4 --learning-rate 0.0003"


@pytest.fixture(scope="module")
def digits():
    return DATASETS["digits"](Options(queries_per_class=2, train_per_class=10))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Returns a weight file for the small CNN, which has no public weights."""
    folder = tmp_path_factory.mktemp("weights")
    saved = hashnet_jax.save(folder, hashnet_jax.init(jax.random.key(7), SPEC))
    # Not named model.npz, since loading a run's network would load its hash layer as well.
    return shutil.copy(saved, folder / "weights.npz")


@pytest.fixture
def program(weights, monkeypatch, tmp_path, capsys):
    """Returns a function that runs `hashnet train`.

    Its signature is ``(folder name, *options) -> (status, folder, stderr)``.
    """

    def load_backbone(params, file):
        trained = hashnet_jax.load(file.parent)
        return with_hash_layer(dataclasses.replace(trained, spec=params.spec), hash_layer(params))

    def main(name, *argv):
        folder = tmp_path / name
        argv = [*SMALL.split(), "--pretrained", str(weights), *argv, "--run-dir", str(folder)]
        code = hashnet(["train", *map(str, argv)])
        return code, folder, capsys.readouterr().err

    monkeypatch.setattr(_start, "load_backbone", load_backbone)
    return main


def arrays(folder):
    with np.load(folder / "model.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("--standardize",)])
def test_the_saved_network_reproduces_the_codes_of_the_run(options, program, weights):
    code, folder, errors = program("run", *options)
    assert code == 0, errors
    params = hashnet_jax.load(folder)
    config = Config.from_json(json.loads((folder / "config.json").read_text()))
    dataset = DATASETS["digits"](config.data)
    with np.load(folder / "codes.npz") as codes:
        for part in ("query", "database"):
            indices = codes[f"{part}_indices"]
            images = np.stack([dataset.source[i] for i in indices])
            assert_codes_of(params, images, codes[f"{part}_codes"])
    losses = [
        json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert losses[-1] < losses[0]


def test_a_layer_for_standardized_features_is_folded_into_one_for_the_original_features():
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(50, 256)) * 10.0 ** rng.uniform(-2, 2, 256)).astype(np.float32)
    features[:, 3] = 7.0  # a constant feature
    cached = CachedFeatures(features, np.arange(50), FeatureScale.of(features[:40]))
    standardized = cached.take(np.arange(40))
    np.testing.assert_allclose(standardized.mean(axis=0), 0, atol=1e-3)
    stds = np.where(np.arange(256) == 3, 0, 1)
    np.testing.assert_allclose(standardized.std(axis=0), stds, atol=1e-3)
    layer = hash_layer(hashnet_jax.init(jax.random.key(0), SPEC))
    expected = hashnet_jax.logits(layer, cached.take(np.arange(50)))
    folded = hashnet_jax.logits(cached.scale.folded(layer), features)
    np.testing.assert_allclose(folded, expected, atol=1e-4)


@pytest.mark.slow
def test_the_backbone_keeps_its_weights_bit_for_bit_and_the_hash_layer_learns(program, weights):
    _, folder, _ = program("run")
    before, after = arrays(weights.parent), arrays(folder)
    assert before.keys() == after.keys()
    for name in before.keys() - {"spec"}:
        same = np.array_equal(before[name], after[name])
        assert same == ("/hash/" not in name), name


@pytest.mark.slow
def test_an_interrupted_and_resumed_run_ends_bit_for_bit_like_an_uninterrupted_one(
    program, monkeypatch
):
    _, whole, _ = program("whole")
    with monkeypatch.context() as killed:

        def batches(features, dataset, start, **kwargs):
            for t, batch in enumerate(feature_batches(features, dataset, start, **kwargs), start):
                if t == 18:
                    raise KeyboardInterrupt  # between two checkpoints, without saving
                yield batch

        killed.setattr(_training, "feature_batches", batches)
        code, folder, errors = program("run")
        assert code == 130
        assert "--resume" in errors
    monkeypatch.setattr(_feature_cache, "compute_features", None)  # must not be called
    code, folder, errors = program("run", "--resume")
    assert code == 0, errors
    for name, array in arrays(whole).items():
        np.testing.assert_array_equal(arrays(folder)[name], array, err_msg=name)
    assert (folder / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_four_devices_end_where_one_device_does(program):
    ends = []
    for devices in (1, 4):
        code, folder, errors = program(f"run{devices}", "--devices", devices)
        assert code == 0, errors
        ends.append(arrays(folder))
    for name in ends[0].keys() - {"spec"}:
        np.testing.assert_allclose(ends[1][name], ends[0][name], atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_runs_share_a_feature_folder_and_validation_selects_the_checkpoint(
    program, tmp_path, monkeypatch
):
    shared = tmp_path / "shared"
    assert program("first", "--feature-dir", shared, "--validation-per-class", 3)[0] == 0
    assert len(list(shared.glob("features-*.npy"))) == 1
    monkeypatch.setattr(_feature_cache, "compute_features", None)
    code, folder, errors = program(
        *("second", "--feature-dir", shared, "--bits", 16, "--validation-per-class", 3),
        *("--validate-every", 10, "--select", "best"),
    )
    assert code == 0, errors
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    scores = {line["step"]: line["validation_map"] for line in lines if "validation_map" in line}
    assert set(scores) == {10, 20, 30}
    step = json.loads((folder / "result.json").read_text())["step"]
    assert scores[step] == max(scores.values()), scores


def test_a_frozen_backbone_needs_pretrained_weights(program):
    code, folder, errors = program("run", "--pretrained", "none")
    assert code == 1
    assert "--freeze-backbone requires pretrained weights" in errors
    assert not folder.exists()


@pytest.mark.slow
def test_a_run_cannot_be_resumed_as_one_of_another_kind(program):
    _, folder, errors = program("run")
    path = folder / "config.json"
    config = unsealed(json.loads(path.read_text()))
    train = config["train"] | {"standardize": False}
    changed = config | {"freeze_backbone": False, "augmentation": "shift", "train": train}
    path.write_text(json.dumps(sealed(changed)))
    code, _, errors = program("run", "--resume")
    assert code == 1
    assert "with --freeze-backbone, because its config must not change" in errors


@pytest.mark.slow
def test_different_weights_preprocessing_or_splits_get_their_own_feature_file(digits, tmp_path):
    def new_files(params, dataset=digits):
        before = set(tmp_path.iterdir())
        load_or_compute_features(tmp_path, params, dataset, devices=local_devices(1))
        return len(set(tmp_path.iterdir()) - before)

    params = hashnet_jax.init(jax.random.key(0), SPEC)
    assert new_files(params) == 1
    more_bits = hashnet_jax.init(jax.random.key(0), dataclasses.replace(SPEC, bits=16))
    assert (
        new_files(
            with_hash_layer(dataclasses.replace(params, spec=more_bits.spec), hash_layer(more_bits))
        )
        == 0
    )
    assert new_files(hashnet_jax.init(jax.random.key(1), SPEC)) == 1
    assert new_files(dataclasses.replace(params, spec=dataclasses.replace(SPEC, resize=9))) == 1
    split = dataclasses.replace(digits.split, query=digits.split.query[1:])
    assert new_files(params, dataclasses.replace(digits, split=split)) == 1


@pytest.mark.slow
def test_damaged_features_are_named_and_computed_again(digits, tmp_path, capsys):
    params = hashnet_jax.init(jax.random.key(0), SPEC)
    whole = load_or_compute_features(tmp_path, params, digits, devices=local_devices(1))
    expected = np.array(whole.array)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    for damaged in (data[:-1000], data[:-5] + b"x" + data[-4:], b"", expected.tobytes()):
        path.write_bytes(damaged)
        capsys.readouterr()
        again = load_or_compute_features(tmp_path, params, digits, devices=local_devices(1))
        assert f"note: {path} is damaged" in capsys.readouterr().err
        np.testing.assert_array_equal(again.array, expected)
        assert path.read_bytes() == data


def test_features_of_different_pictures_with_the_same_names_and_labels_are_computed(tmp_path):
    params = hashnet_jax.init(jax.random.key(0), SPEC)
    found = []
    for part in ("a", "b"):
        for i in range(8):
            file = tmp_path / part / f"class {i % 2}" / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(i + 8 * (part == "b")).save(file)
        dataset = DATASETS["folder"](Options(image_root=str(tmp_path / part)))
        features = load_or_compute_features(
            tmp_path / "features", params, dataset, devices=local_devices(1)
        )
        found.append((features, dataset))
    (a, first), (b, second) = found
    assert first.names == second.names
    np.testing.assert_array_equal(first.labels, second.labels)
    right = _feature_cache.compute_features(
        params, second.source, b.indices, devices=local_devices(1)
    )
    np.testing.assert_array_equal(b.array, right)
    assert (a.array != b.array).any(axis=1).all()


@pytest.mark.slow
def test_features_are_used_even_if_their_folder_cannot_be_written(digits, monkeypatch, capsys):
    params = hashnet_jax.init(jax.random.key(0), SPEC)
    folder = Path("/dev/null/features")
    features = load_or_compute_features(folder, params, digits, devices=local_devices(1))
    assert len(features.array) == len(features.indices)
    assert "cannot be written" in capsys.readouterr().err


def test_batches_are_a_function_of_seed_and_number_and_contain_no_image_twice(digits):
    # Each image's feature is its index.
    n = len(digits.source)
    features = CachedFeatures(np.arange(n, dtype=np.float32)[:, None], np.arange(n))
    kwargs = {"batch_size": 32, "stop": 12, "seed": 3}
    batches = list(feature_batches(features, digits, 0, **kwargs))
    assert len(batches) == 12
    for batch, again in zip(
        batches[5:], feature_batches(features, digits, 5, **kwargs), strict=True
    ):
        np.testing.assert_array_equal(batch["image"], again["image"])
    for batch in batches:
        images = batch["image"][:, 0].astype(int)
        assert len(set(images)) == 32
        np.testing.assert_array_equal(batch["label"], digits.labels[images])
    # An epoch has three whole batches. The leftover images differ from one epoch to the next.
    epochs = [{int(i) for b in batches[e : e + 3] for i in b["image"][:, 0]} for e in (0, 3)]
    assert all(len(epoch) == 96 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert epochs[0] | epochs[1] <= set(digits.split.train)
    other = next(feature_batches(features, digits, 0, **kwargs | {"seed": 4}))
    assert not np.array_equal(other["image"], batches[0]["image"])
    with pytest.raises(ValueError, match=r"`batch_size` must be in 2\.\.100"):
        feature_batches(features, digits, 0, **kwargs | {"batch_size": 101})


@pytest.mark.slow
def test_a_run_starts_from_the_network_of_a_finished_run_including_its_hash_layer(
    program, monkeypatch
):
    _, first, _ = program("first")
    start = {}

    def fit(state, *args, **kwargs):
        start.update(hash=state.params.variables["params"]["hash"])
        raise ValueError("seen")

    monkeypatch.setattr(_training, "fit", fit)
    assert "seen" in program("second", "--pretrained", first)[2]
    with np.load(first / "model.npz") as file:
        np.testing.assert_array_equal(start["hash"]["kernel"], file["params/hash/kernel"])
    code, _, errors = program("third", "--pretrained", first, "--bits", 16)
    assert code == 1
    assert "the backbone, bits, mean and std must match the network in" in errors

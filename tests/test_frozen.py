"""Training with a frozen backbone: what is trained, what is kept, and what is refused."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest
import run
import starting
from presets import Config

import hashnet_jax
from hashnet_jax import features as features_file
from hashnet_jax.data.datasets import DATASETS, Options
from hashnet_jax.features import Features, cached_features, feature_batches
from hashnet_jax.frozen import hash_layer, with_hash_layer
from hashnet_jax.parallel import local_devices

SPEC = hashnet_jax.ModelSpec("small_cnn", bits=12, image_size=8, resize=8)
SMALL = "--freeze-backbone --bits 12 --image-size 8 --steps 30 --batch-size 32 --no-report "
SMALL += "--checkpoint-every 4 --learning-rate 0.0003"


@pytest.fixture(scope="module")
def digits():
    return DATASETS["digits"](Options(queries_per_class=2, train_per_class=10))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file of weights of the small CNN, which has no public ones."""
    folder = tmp_path_factory.mktemp("weights")
    saved = hashnet_jax.save(folder, hashnet_jax.init(jax.random.key(7), SPEC))
    # Of another name than a run's network, whose hash layer would be taken as well.
    return shutil.copy(saved, folder / "weights.npz")


@pytest.fixture
def program(weights, monkeypatch, tmp_path, capsys):
    """Runs run.py with these weights: ``(name of the folder, *options) -> (code, folder, err)``."""

    def load_backbone(params, file):
        trained = hashnet_jax.load(file.parent)
        return with_hash_layer(dataclasses.replace(trained, spec=params.spec), hash_layer(params))

    def main(name, *argv):
        folder = tmp_path / name
        argv = [*SMALL.split(), "--pretrained", str(weights), *argv, "--run-dir", str(folder)]
        code = run.main([str(arg) for arg in argv])
        return code, folder, capsys.readouterr().err

    monkeypatch.setattr(starting, "load_backbone", load_backbone)
    return main


def arrays(folder):
    with np.load(folder / "model.npz") as file:
        return {name: file[name] for name in file.files}


def test_the_saved_network_gives_the_codes_that_the_run_reported(program, weights):
    code, folder, errors = program("run")
    assert code == 0, errors
    params = hashnet_jax.load(folder)
    config = Config.from_json(json.loads((folder / "config.json").read_text()))
    dataset = DATASETS["digits"](config.data)
    with np.load(folder / "codes.npz") as codes:
        for part in ("query", "database"):
            indices = codes[f"{part}_indices"]
            images = np.stack([dataset.source[i] for i in indices])
            expected = hashnet_jax.pack_bits(hashnet_jax.encode(params, images))
            np.testing.assert_array_equal(codes[f"{part}_codes"], expected)
    losses = [
        json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()
    ]
    assert losses[-1] < losses[0]


def test_the_backbone_keeps_its_weights_to_the_bit_and_the_hash_layer_does_not(program, weights):
    _, folder, _ = program("run")
    before, after = arrays(weights.parent), arrays(folder)
    assert before.keys() == after.keys()
    for name in before.keys() - {"spec"}:
        same = np.array_equal(before[name], after[name])
        assert same == ("/hash/" not in name), name


def test_interrupted_and_resumed_it_ends_bit_for_bit_as_one_never_interrupted(program, monkeypatch):
    _, whole, _ = program("whole")
    with monkeypatch.context() as killed:

        def batches(features, dataset, start, **kwargs):
            for t, batch in enumerate(feature_batches(features, dataset, start, **kwargs), start):
                if t == 18:
                    raise KeyboardInterrupt  # between two checkpoints, and nothing is saved
                yield batch

        killed.setattr(run, "feature_batches", batches)
        code, folder, errors = program("run")
        assert code == 130
        assert "--resume" in errors
    monkeypatch.setattr(features_file, "compute_features", None)  # not computed again
    code, folder, errors = program("run", "--resume")
    assert code == 0, errors
    for name, array in arrays(whole).items():
        np.testing.assert_array_equal(arrays(folder)[name], array, err_msg=name)
    assert (folder / "metrics.jsonl").read_text() == (whole / "metrics.jsonl").read_text()


def test_four_devices_end_where_one_does(program):
    ends = []
    for devices in (1, 4):
        code, folder, errors = program(f"run{devices}", "--devices", devices)
        assert code == 0, errors
        ends.append(arrays(folder))
    for name in ends[0].keys() - {"spec"}:
        np.testing.assert_allclose(ends[1][name], ends[0][name], atol=1e-6, err_msg=name)


def test_runs_share_features_in_a_folder_and_validation_chooses_among_their_checkpoints(
    program, tmp_path, monkeypatch
):
    shared = tmp_path / "shared"
    assert program("first", "--feature-dir", shared, "--validation-per-class", 3)[0] == 0
    assert len(list(shared.glob("features-*.npy"))) == 1
    monkeypatch.setattr(features_file, "compute_features", None)
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
    assert "--freeze-backbone needs a backbone that knows something" in errors
    assert not folder.exists()


def test_a_run_is_not_resumed_as_another_kind(program):
    assert program("run")[0] == 0
    folder = program("run", "--resume")[1]
    (folder / "config.json").write_text(
        (folder / "config.json")
        .read_text()
        .replace('"freeze_backbone": true', '"freeze_backbone": false')
    )
    code, _, errors = program("run", "--resume")
    assert code == 1
    assert "got --freeze-backbone" in errors


def test_features_of_other_weights_preprocessing_or_split_are_other_features(digits, tmp_path):
    def file_of(params, dataset=digits):
        before = set(tmp_path.iterdir())
        cached_features(tmp_path, params, dataset, devices=local_devices(1))
        return len(set(tmp_path.iterdir()) - before)

    params = hashnet_jax.init(jax.random.key(0), SPEC)
    assert file_of(params) == 1
    more_bits = hashnet_jax.init(jax.random.key(0), dataclasses.replace(SPEC, bits=16))
    assert (
        file_of(
            with_hash_layer(dataclasses.replace(params, spec=more_bits.spec), hash_layer(more_bits))
        )
        == 0
    )
    assert file_of(hashnet_jax.init(jax.random.key(1), SPEC)) == 1
    assert file_of(dataclasses.replace(params, spec=dataclasses.replace(SPEC, resize=9))) == 1
    split = dataclasses.replace(digits.split, query=digits.split.query[1:])
    assert file_of(params, dataclasses.replace(digits, split=split)) == 1


def test_a_damaged_file_of_features_is_named(digits, tmp_path):
    params = hashnet_jax.init(jax.random.key(0), SPEC)
    cached_features(tmp_path, params, digits, devices=local_devices(1))
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=rf"{path} must hold the features .* remove it"):
        cached_features(tmp_path, params, digits, devices=local_devices(1))


def test_batches_are_a_function_of_seed_and_number_and_hold_no_image_twice(digits):
    # Features that tell which image they are of.
    n = len(digits.source)
    features = Features(np.arange(n, dtype=np.float32)[:, None], np.arange(n))
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
    # Three whole batches an epoch; what is left over differs from one to the next.
    epochs = [{int(i) for b in batches[e : e + 3] for i in b["image"][:, 0]} for e in (0, 3)]
    assert all(len(epoch) == 96 for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert epochs[0] | epochs[1] <= set(digits.split.train)
    other = next(feature_batches(features, digits, 0, **kwargs | {"seed": 4}))
    assert not np.array_equal(other["image"], batches[0]["image"])
    with pytest.raises(ValueError, match=r"batch_size must be in 2..100"):
        feature_batches(features, digits, 0, **kwargs | {"batch_size": 101})


def test_a_run_starts_from_the_network_of_a_finished_one_hash_layer_included(program, monkeypatch):
    _, first, _ = program("first")
    start = {}

    def fit(state, *args, **kwargs):
        start.update(hash=state.params.variables["params"]["hash"])
        raise ValueError("seen")

    monkeypatch.setattr(run, "fit", fit)
    assert "seen" in program("second", "--pretrained", first)[2]
    with np.load(first / "model.npz") as file:
        np.testing.assert_array_equal(start["hash"]["kernel"], file["params/hash/kernel"])
    code, _, errors = program("third", "--pretrained", first, "--bits", 16)
    assert code == 1
    assert "must be of its backbone, bits" in errors
